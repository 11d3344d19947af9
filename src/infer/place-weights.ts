import { type HostTensor, sizeOf } from "../core/array.ts";
import type { Precision, QuantizedPrecision } from "../core/precisions.ts";
import { keepBlocks } from "../models/keep-blocks.ts";
import { applyPrecision, applyPrecisions, restoreTree } from "../models/precision.ts";
import type { Quantizer } from "../models/quantizer.ts";
import { unstackExperts } from "../models/unstack-experts.ts";
import { type Module, parameters } from "../nn/module.ts";
import type { TensorSource } from "../runtime/runtime.ts";
import { canCast } from "../weights/cast.ts";
import type { Checkpoint } from "../weights/checkpoint.ts";
import { isExpertStack } from "../weights/ggml-rows.ts";
import { COMPUTED_TABLES } from "../weights/internvl-chat-keys.ts";
import type { KeyMap } from "../weights/key-map.ts";
import { type LoadOptions, loadCheckpoint } from "../weights/load-checkpoint.ts";

/** The head of a language model, alone or in a chat model, and the tables that it may share. */
const HEAD = /^(language_model\.)?(lm_head|output)\.weight$/;
const TABLE = /^(language_model\.)?model\.(embed_tokens|tok_embeddings)\.weight$/;

/** How weights are kept; default: as in the file. */
export interface WeightPrecisions {
  readonly precision?: Precision | undefined;
  /** Of the vision tower and its projector; default: `precision`. */
  readonly visionPrecision?: Precision | undefined;
}

/** Float weights from which on they are kept in 8 bits unless something else is said: smaller models are fast as they are. */
const LARGE = 1e8;

/**
 * How the weights of a model to chat with are kept where nothing is said: in 8 bits where they are many and floats, by the
 * measurements in docs/LOG.md, 2026-11-28; otherwise as in the file.
 */
export function usualPrecision({ tensors }: Pick<Checkpoint, "tensors">): Precision | undefined {
  const all = [...tensors.values()];
  const count = all.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  return count >= LARGE && all.every(({ dtype }) => canCast(dtype, "f32")) ? "w8" : undefined;
}

/** With what makes quantised weights, until they are loaded: the quantised precisions need it. */
export interface PlaceOptions extends WeightPrecisions {
  readonly quantizer?: Quantizer | undefined;
}

/**
 * The weights of a model with a language model in it: byte ranges of the files, or made from them when loaded; a head that
 * the file lacks is the embedding table under its own name, since it may be stored in another precision. Without a
 * precision, what the file holds quantised stays so; `stored` is the precision of a file of our own. Changes the model's
 * tree. Throws a CheckpointError with everything that does not fit.
 */
export async function placeWeights(
  root: Module,
  checkpoint: Checkpoint,
  options: PlaceOptions & {
    readonly keys?: KeyMap | undefined;
    readonly stored?: QuantizedPrecision | undefined;
    readonly resize?: LoadOptions["resize"];
  } = {},
): Promise<Map<string, TensorSource>> {
  const { keys, precision, visionPrecision, quantizer, stored, resize } = options;
  if (stored !== undefined) restoreTree(root, stored, [precision, visionPrecision], checkpoint.name);
  const shapes = new Map([...parameters(root)].map(([key, { shape }]) => [key, { shape }]));
  const head = [...shapes.keys()].find((key) => HEAD.test(key));
  const held = new Set(
    checkpoint.keys.map((key) => {
      const to = keys === undefined ? { key } : keys.map(key);
      return to !== undefined && "key" in to ? to.key : undefined;
    }),
  );
  // A quantised head is always in the file: the table is not quantised.
  const isTied = head !== undefined && !held.has(head);
  if (isTied) shapes.delete(head);
  const loaded = await loadCheckpoint(shapes, checkpoint, {
    ...(keys && { keys }),
    ...(resize && { resize }),
    ignore: COMPUTED_TABLES,
  });
  if (isTied) loaded.set(head, loaded.get([...shapes.keys()].find((key) => TABLE.test(key))!)!);
  const read = (source: TensorSource): Promise<HostTensor> => checkpoint.read(source);
  const isAsStored = precision === undefined && stored === undefined;
  const placed = isAsStored ? keepBlocks(root, withOwnExperts(root, loaded, read)) : loaded;
  const others = precision === stored ? undefined : precision;
  return visionPrecision === undefined || visionPrecision === stored
    ? applyPrecision(root, placed, others, { read, quantizer })
    : applyPrecisions(root, placed, { vision: visionPrecision, others }, { read, quantizer });
}

/** Stacks that a file holds as each expert's own weight (GGUF) are used so, and stay quantised. */
const withOwnExperts: typeof unstackExperts = (root, weights, read) =>
  [...weights.values()].some(isExpertStack) ? unstackExperts(root, weights, read) : new Map(weights);
