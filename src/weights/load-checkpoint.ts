import type { HostTensor } from "../core/array.ts";
import type { DType } from "../core/dtype.ts";
import { CheckpointError } from "../core/errors.ts";
import { sameShape, showShape } from "../core/shape.ts";
import type { TensorSource } from "../runtime/runtime.ts";
import { type CastDType, canCast, castSource } from "./cast.ts";
import { type Checkpoint, firstOf } from "./checkpoint.ts";
import { concatShape, concatSources } from "./concat.ts";
import type { Drop, KeyMap } from "./key-map.ts";
import { detectLayout } from "./layouts.ts";

/** What a model wants of one of its parameters. Without a dtype, the file's own is taken. */
export interface Expected {
  readonly shape: readonly number[];
  readonly dtype?: DType;
}

export interface LoadOptions {
  /** From the file's key names to ours; without it they are the same. */
  readonly keys?: KeyMap;
  /** Tensors of the file (under our names) that are deliberately left out. */
  readonly ignore?: readonly Drop[];
  /**
   * Makes a tensor of another shape fit: interpolates a position table, for example. Returns undefined for a key it
   * knows nothing about, which then counts as mis-shaped.
   */
  readonly resize?: (key: string, tensor: HostTensor, wanted: readonly number[]) => HostTensor | undefined;
}

/** A tensor of the file, or the parts that make one of ours. */
interface Found {
  readonly fileKeys: string[];
  readonly parts: (TensorSource | undefined)[];
  readonly axis: number;
}

interface Problems {
  readonly missing: string[];
  readonly unexpected: string[];
  readonly misshapen: string[];
  readonly other: string[];
}

/**
 * The tensors of a checkpoint under our names, in the order of `expected`: exactly the expected ones, in the expected
 * shapes. What the file holds as it is wanted stays a byte range of the file; what has to be joined or cast (between
 * float dtypes, where `expected` names one) is made when it is loaded; what was resized is in memory. Throws one CheckpointError with all that is missing,
 * unexpected, mis-shaped or of a dtype that cannot be cast.
 */
export async function loadCheckpoint(
  expected: ReadonlyMap<string, Expected>,
  checkpoint: Checkpoint,
  options: LoadOptions = {},
): Promise<Map<string, TensorSource>> {
  const problems: Problems = { missing: [], unexpected: [], misshapen: [], other: [] };
  const found = collect(checkpoint, options.keys, problems);
  for (const [key, { fileKeys }] of found)
    if (!expected.has(key) && !options.ignore?.some((d) => d.pattern.match(key)))
      problems.unexpected.push(...fileKeys);

  const out = new Map<string, TensorSource>();
  for (const [key, want] of expected) {
    const have = found.get(key);
    if (have === undefined) problems.missing.push(key);
    else {
      const tensor = await makeTensor(key, want, have, checkpoint, options, problems);
      if (tensor !== undefined) out.set(key, tensor);
    }
  }
  failOn(problems, expected.size, checkpoint, options.keys);
  return out;
}

/** Sorts the file's tensors under our names. */
function collect(checkpoint: Checkpoint, keys: KeyMap | undefined, problems: Problems): Map<string, Found> {
  const found = new Map<string, Found>();
  for (const [fileKey, source] of checkpoint.tensors) {
    const to = keys === undefined ? { key: fileKey } : keys.map(fileKey);
    if (to === undefined) problems.unexpected.push(fileKey);
    if (to === undefined || "dropped" in to) continue;
    const { index, count, axis } = to.part ?? { index: 0, count: 1, axis: 0 };
    const parts: Found["parts"] = Array.from({ length: count }, () => undefined);
    const entry: Found = found.get(to.key) ?? { fileKeys: [], parts, axis };
    if (entry.parts[index] !== undefined)
      problems.other.push(`${to.key} is given twice, as ${entry.fileKeys.join(" and ")} and as ${fileKey}`);
    entry.fileKeys.push(fileKey);
    entry.parts[index] = source;
    found.set(to.key, entry);
  }
  return found;
}

/** The tensor that is wanted, or undefined and a problem more. */
async function makeTensor(
  key: string,
  want: Expected,
  have: Found,
  checkpoint: Checkpoint,
  { resize }: LoadOptions,
  problems: Problems,
): Promise<TensorSource | undefined> {
  const parts = have.parts.filter((p) => p !== undefined);
  if (parts.length < have.parts.length) {
    problems.missing.push(`${key} (only ${have.fileKeys.join(", ")} of its ${have.parts.length} parts)`);
    return undefined;
  }
  const dtype = parts[0]!.dtype;
  const wantedDType = want.dtype ?? dtype;
  if (parts.some((p) => p.dtype !== dtype) || !canCast(dtype, wantedDType)) {
    problems.other.push(
      `${key} is ${parts.map((p) => p.dtype).join(" and ")} where ${wantedDType} is expected`,
    );
    return undefined;
  }
  const shape =
    parts.length === 1
      ? parts[0]!.shape
      : concatShape(
          parts.map((p) => p.shape),
          have.axis,
        );
  const read = (source: TensorSource) => checkpoint.read(source);
  // Where the dtypes are the same, whatever they are, castSource hands the tensor back.
  const cast = (tensor: TensorSource) => castSource(tensor, wantedDType as CastDType, read);
  if (shape !== undefined) {
    const joined = parts.length === 1 ? parts[0]! : concatSources(parts, have.axis, read);
    if (sameShape(shape, want.shape)) return cast(joined);
    const resized = resize?.(key, await read(joined), want.shape);
    if (resized !== undefined && sameShape(resized.shape, want.shape)) return await read(cast(resized));
  }
  const foundShape = parts.map((p) => showShape(p.shape)).join(" and ");
  problems.misshapen.push(
    `${key}: expected ${showShape(want.shape)}, found ${foundShape}${shapeHint(key, want, parts)}`,
  );
  return undefined;
}

/** What a wrong position table means, and what to do about it. */
function shapeHint(key: string, want: Expected, parts: readonly TensorSource[]): string {
  const side = (shape: readonly number[]) => Math.sqrt((shape[1] ?? 0) - 1);
  const [have, wanted] = [side(parts[0]!.shape), side(want.shape)];
  if (!key.endsWith("position_embedding") || !Number.isInteger(have) || !Number.isInteger(wanted)) return "";
  return ` (the table is for ${have}×${have} patches, the model has ${wanted}×${wanted}: interpolate it with the option resize, or set image_size to the file's)`;
}

function failOn(p: Problems, wanted: number, checkpoint: Checkpoint, keys: KeyMap | undefined): void {
  const lines: string[] = [];
  const say = (list: readonly string[], what: string) => {
    if (list.length > 0) lines.push(`${list.length} ${what}: ${firstOf(list)}`);
  };
  say(p.missing, `of ${wanted} tensors missing`);
  say(p.unexpected, "unexpected");
  say(p.misshapen, "of another shape");
  say(p.other, "unusable");
  if (lines.length === 0) return;
  const hint = layoutHint(checkpoint, keys);
  if (hint !== undefined && p.missing.length > 0) lines.push(hint);
  throw new CheckpointError(`loadCheckpoint: ${checkpoint.name} does not fit the model; ${lines.join("; ")}`);
}

/** A word on files whose keys are those of another layout than the one they were loaded with. */
function layoutHint(checkpoint: Checkpoint, keys: KeyMap | undefined): string | undefined {
  const layout = detectLayout(checkpoint.keys);
  if (layout === undefined || layout.name === "14b" || (keys !== undefined && layout.keys === keys))
    return undefined;
  return `the file looks like the ${layout.title} layout (${layout.name}), load it with that layout's key map`;
}
