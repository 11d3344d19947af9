import type { HostTensor } from "../core/array.ts";
import { ConfigError, UsageError } from "../core/errors.ts";
import { isQuantizedPrecision, type Precision, type QuantizedPrecision } from "../core/precisions.ts";
import { StackedExperts, unstackTree } from "../nn/expert-stacks.ts";
import { Linear } from "../nn/layers.ts";
import { type Module, modules, parameters } from "../nn/module.ts";
import { Int8Linear, type QuantizationSpec, QuantizedLinear, replaceLinears } from "../nn/quantized.ts";
import type { TensorSource } from "../runtime/runtime.ts";
import { castSource } from "../weights/cast.ts";
import { firstOf } from "../weights/checkpoint.ts";
import { inParts } from "./in-parts.ts";
import type { Quantizer } from "./quantizer.ts";
import { unstackExperts } from "./unstack-experts.ts";

const EIGHT: QuantizationSpec = { bits: 8, blockSize: 128 };
const FOUR: QuantizationSpec = { bits: 4, blockSize: 32 };

/** A chat model's vision tower and the projector behind it. */
const VISION = /^(vision_model|mlp1)\./;

/** A language model's head. Of it and of the vision part 4 bits cost more than they save. */
const HEAD = /^(language_model\.)?(lm_head|output)$/;

/**
 * What "w8" and "w4" make of the linear layer at a path: 8 bits in blocks of 128. In "w4" the layers of the language
 * model (and of InternVL-C's text tower) have 4 bits in blocks of 32; its head, the vision tower and the projector stay
 * at 8: docs/LOG.md, 2026-11-28.
 */
export const quantizationOf = (path: string, precision: "w8" | "w4"): QuantizationSpec =>
  precision === "w8" || VISION.test(path) || HEAD.test(path) ? EIGHT : FOUR;

/**
 * The pooling heads see one row a picture and decide the embedding, routers choose experts by small differences: they are
 * cheap and stay unquantised.
 */
const isQuantized = (path: string): boolean => !/^clip_projector|\.mlp\.(gate|router)$/.test(path);

/** What makes weights of others when they are loaded. */
export interface WeightTools {
  read(source: TensorSource): Promise<HostTensor>;
  /** For quantised precisions; until the weights are loaded. */
  readonly quantizer?: Quantizer | undefined;
}

/**
 * Changes a model's tree to a precision and gives the weights that belong to it. Without a precision the parameters
 * take the dtypes of the file. Reads nothing: what changes is lazy, and is read from `weights` and made when it is
 * loaded. Only what `isMeant` accepts by its path. Throws a ConfigError when a weight is missing.
 */
export function applyPrecision(
  model: Module,
  weights: ReadonlyMap<string, TensorSource>,
  precision: Precision | undefined,
  tools: WeightTools,
  isMeant: (path: string) => boolean = () => true,
): Map<string, TensorSource> {
  const missing = [...parameters(model).keys()].filter((key) => !weights.has(key));
  if (missing.length > 0)
    throw new ConfigError(
      `applyPrecision: the weights have no ${firstOf(missing.map((key) => `"${key}"`))}; load them for this model`,
    );
  const isQuantizing = isQuantizedPrecision(precision);
  const read = (source: TensorSource) => tools.read(source);
  const stacks = [...modules(model)].some(([path, m]) => m instanceof StackedExperts && isMeant(path));
  const out = isQuantizing && stacks ? unstackExperts(model, weights, read) : new Map(weights);
  if (isQuantizing) quantize(model, out, precision, tools, isMeant);
  for (const [key, param] of parameters(model)) {
    const source = out.get(key)!;
    const isFloat = ["f32", "f16", "bf16"].includes(source.dtype) && isMeant(key);
    if (isFloat && (precision === "f32" || precision === "f16" || precision === "bf16"))
      out.set(key, castSource(source, precision, read));
    param.dtype = out.get(key)!.dtype;
  }
  return out;
}

/** As {@link applyPrecision}, with a precision of their own for the vision tower and its projector. */
export function applyPrecisions(
  model: Module,
  weights: ReadonlyMap<string, TensorSource>,
  { vision, others }: { readonly vision: Precision; readonly others: Precision | undefined },
  tools: WeightTools,
): Map<string, TensorSource> {
  const isVision = (path: string) => VISION.test(path);
  const half = applyPrecision(model, weights, others, tools, (path) => !isVision(path));
  return applyPrecision(model, half, vision, tools, isVision);
}

/**
 * Gives a model the tree of a checkpoint that was written quantised. Throws a UsageError when another precision than that,
 * or "f32" for what is not quantised, is asked for: `where` begins the message.
 */
export function restoreTree(
  model: Module,
  stored: QuantizedPrecision,
  asked: readonly (Precision | undefined)[],
  where: string,
): void {
  const other = asked.find((precision) => precision && precision !== stored && precision !== "f32");
  if (other !== undefined)
    throw new UsageError(
      `${where}: its weights are stored as ${stored} and cannot become ${other}; leave the precision out`,
    );
  quantizeTree(model, stored);
}

/** Gives a model the tree that a quantised precision makes. */
export function quantizeTree(model: Module, precision: QuantizedPrecision): void {
  unstackTree(model);
  quantizeLinears(model, precision, () => true);
}

function quantizeLinears(
  model: Module,
  precision: QuantizedPrecision,
  isMeant: (path: string) => boolean,
): void {
  const make = (linear: Linear, path: string) =>
    precision === "w8a8"
      ? new Int8Linear(linear)
      : new QuantizedLinear(linear, quantizationOf(path, precision));
  replaceLinears(model, make, (path) => isQuantized(path) && isMeant(path));
}

const PARTS = ["codes", "scales"] as const;

function quantize(
  model: Module,
  weights: Map<string, TensorSource>,
  precision: QuantizedPrecision,
  { read, quantizer }: WeightTools,
  isMeant: (path: string) => boolean,
): void {
  if (quantizer === undefined) throw new UsageError(`applyPrecision: ${precision} needs a quantizer`);
  const linears = [...modules(model)].filter(
    ([path, m]) => m instanceof Linear && isQuantized(path) && isMeant(path),
  );
  quantizeLinears(model, precision, isMeant);
  const tree = parameters(model);
  for (const [path] of linears) {
    const key = `${path}.weight`;
    const source = weights.get(key)!;
    const made = inParts(PARTS, async () =>
      precision === "w8a8"
        ? quantizer.channels(await read(source), key)
        : quantizer.blocks(await read(source), quantizationOf(path, precision), key),
    );
    weights.delete(key);
    for (const part of PARTS) {
      const { dtype, shape } = tree.get(`${key}.${part}`)!;
      weights.set(`${key}.${part}`, { dtype, shape, load: () => made(part) });
    }
  }
}
