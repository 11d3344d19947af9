import { CheckpointError } from "../core/errors.ts";
import { checkedProduct, firstOf } from "./checkpoint.ts";
import { GGML_TYPES, type GgmlType, ggmlBytes, READABLE_TYPES } from "./ggml-types.ts";

/**
 * The GGUF format (ggml-org/ggml, docs/gguf.md): typed metadata, names and shapes of the tensors, then their data,
 * aligned and little-endian. Here is what is checked of a header that a parser has read.
 */

/** A value of the metadata; 64-bit integers are numbers where those are exact. */
export type GgufValue = number | bigint | boolean | string | readonly GgufValue[];
export type GgufMetadata = ReadonlyMap<string, GgufValue>;

/** A tensor of a file: where its bytes are and how they are to be read. */
export interface GgufTensor {
  readonly type: GgmlType;
  /** Row-major, [out, in] for a linear layer: the file's own order of sizes reversed. */
  readonly shape: readonly number[];
  readonly file: string;
  readonly offset: number;
}

/** What a file of the format, or all of a split one, holds. */
export interface GgufFile {
  readonly name: string;
  readonly metadata: GgufMetadata;
  readonly tensors: ReadonlyMap<string, GgufTensor>;
  /** Reads bytes [offset, offset + length) of one of the files. */
  readBytes(file: string, offset: number, length: number): Promise<Uint8Array>;
}

/** What comes before the metadata. */
export interface GgufCounts {
  readonly tensors: number;
  readonly entries: number;
}

const MAGIC = "GGUF";
/** Magic, version and two counts. */
export const START_BYTES = 24;
/** Least bytes of an entry of the metadata (key, type, value) and of a tensor (name, sizes, type, offset). */
const LEAST_ENTRY = 8 + 4 + 1;
const LEAST_TENSOR = 8 + 4 + 4 + 8;
const MAX_TENSORS = 100_000;
const MAX_ENTRIES = 10_000;
const MAX_RANK = 4;
const MAX_NAME = 256;
const DEFAULT_ALIGNMENT = 32;
const MAX_ALIGNMENT = 1 << 20;

/**
 * Checks the first {@link START_BYTES} bytes. Throws a CheckpointError for other formats and versions, and for counts
 * that a file of `fileBytes` bytes cannot hold.
 */
export function readStart(name: string, start: Uint8Array, fileBytes: number): GgufCounts {
  const fail = (problem: string): never => {
    throw new CheckpointError(`${name}: ${problem}`);
  };
  if (start.byteLength < START_BYTES || String.fromCharCode(...start.subarray(0, 4)) !== MAGIC)
    fail(`expected a GGUF file, which starts with "${MAGIC}"; this is another format or is truncated`);
  const view = new DataView(start.buffer, start.byteOffset, start.byteLength);
  const version = view.getUint32(4, true);
  if (version > 0xffff)
    fail("it is a big-endian GGUF file, only little-endian ones are read; convert it anew");
  if (version !== 2 && version !== 3)
    fail(`it is GGUF version ${version}, versions 2 and 3 are read; convert it anew`);
  const [tensors, entries] = [Number(view.getBigUint64(8, true)), Number(view.getBigUint64(16, true))];
  if (tensors > MAX_TENSORS || entries > MAX_ENTRIES)
    fail(
      `its header claims ${tensors} tensors and ${entries} entries of metadata, at most ${MAX_TENSORS} and ${MAX_ENTRIES} are read`,
    );
  if (START_BYTES + entries * LEAST_ENTRY + tensors * LEAST_TENSOR > fileBytes)
    fail(
      `its header claims ${tensors} tensors and ${entries} entries of metadata, the file has ${fileBytes} bytes; it is truncated, fetch it again`,
    );
  return { tensors, entries };
}

/** A tensor as the header states it: sizes in the file's order, fastest first. */
export interface StatedTensor {
  readonly name: string;
  readonly shape: readonly bigint[];
  readonly dtype: number;
  /** From the start of the data. */
  readonly offset: bigint;
}

/**
 * The tensors of a header that ends at byte `headerEnd`, checked: known types, whole blocks, aligned, inside the file,
 * no two over each other. Types that exist but cannot be read pass here, see {@link checkReadable}. Throws one
 * CheckpointError with everything that is wrong.
 */
export function checkTensors(
  file: string,
  stated: readonly StatedTensor[],
  metadata: GgufMetadata,
  headerEnd: number,
  fileBytes: number,
): Map<string, GgufTensor> {
  if (headerEnd > fileBytes)
    throw new CheckpointError(
      `${file}: its header ends at byte ${headerEnd}, the file has ${fileBytes}; it is truncated, fetch it again`,
    );
  const alignment = alignmentOf(file, metadata);
  const dataStart = Math.ceil(headerEnd / alignment) * alignment;
  const problems: string[] = [];
  const tensors = new Map<string, GgufTensor>();
  for (const { name, shape, dtype, offset } of stated) {
    const tensor = checkTensor(file, shape, dtype, offset, dataStart, alignment);
    if (name.length === 0 || name.length > MAX_NAME)
      problems.push(`a tensor's name has ${name.length} characters, 1 to ${MAX_NAME} are expected`);
    else if (tensors.has(name)) problems.push(`${name} is given twice`);
    else if (typeof tensor === "string") problems.push(`${name}: ${tensor}`);
    else tensors.set(name, tensor);
  }
  if (problems.length === 0) problems.push(...checkPlaces(tensors, fileBytes));
  if (problems.length > 0)
    throw new CheckpointError(`${file}: the GGUF header is wrong: ${firstOf(problems, 5)}`);
  return tensors;
}

function alignmentOf(file: string, metadata: GgufMetadata): number {
  const alignment = metadata.get("general.alignment") ?? DEFAULT_ALIGNMENT;
  if (typeof alignment === "number" && alignment >= 1 && alignment <= MAX_ALIGNMENT)
    if (Number.isInteger(Math.log2(alignment))) return alignment;
  throw new CheckpointError(
    `${file}: general.alignment must be a power of two up to ${MAX_ALIGNMENT}, found ${alignment}; the file is damaged`,
  );
}

/** One tensor of the header, or what is wrong with it. */
function checkTensor(
  file: string,
  sizes: readonly bigint[],
  typeNumber: number,
  offset: bigint,
  dataStart: number,
  alignment: number,
): GgufTensor | string {
  const type = GGML_TYPES.get(typeNumber);
  if (type === undefined) return `its type ${typeNumber} is none of ggml's`;
  const shape = sizes.map(Number).reverse();
  const count = checkedProduct([...shape, type.bytes]);
  if (shape.length > MAX_RANK || count === undefined) return `its sizes [${sizes}] are too many or too large`;
  if (shape.length === 0 || count === 0) return `its sizes [${sizes}] hold nothing`;
  if ((shape[shape.length - 1] ?? 1) % type.blockSize !== 0)
    return `its rows of ${shape[shape.length - 1]} weights are no whole blocks of ${type.name} (${type.blockSize} weights)`;
  const begin = dataStart + Number(offset);
  if (!Number.isSafeInteger(begin) || Number(offset) % alignment !== 0)
    return `its data starts at ${offset}, which is no multiple of ${alignment}`;
  return { type, shape, file, offset: begin };
}

/** Bytes of a tensor's data. */
export const tensorBytes = ({ type, shape }: Pick<GgufTensor, "type" | "shape">): number =>
  ggmlBytes(
    type,
    shape.reduce((n, d) => n * d, 1),
  );

function checkPlaces(tensors: ReadonlyMap<string, GgufTensor>, fileBytes: number): string[] {
  const problems: string[] = [];
  const ordered = [...tensors].sort(([, a], [, b]) => a.offset - b.offset || tensorBytes(a) - tensorBytes(b));
  let at = 0;
  for (const [name, tensor] of ordered) {
    const end = tensor.offset + tensorBytes(tensor);
    if (tensor.offset < at) problems.push(`${name} overlaps the tensor before it`);
    if (end > fileBytes)
      problems.push(`${name} ends at byte ${end}, the file at ${fileBytes}: it is truncated`);
    at = Math.max(at, end);
  }
  return problems;
}

/** Throws a CheckpointError that names the tensors whose types exist and cannot be read. */
export function checkReadable(name: string, tensors: ReadonlyMap<string, GgufTensor>): void {
  const unreadable = [...tensors]
    .filter(([, { type }]) => type.dtype === undefined && type.blocks === undefined)
    .map(([key, { type }]) => `${key} is ${type.name}`);
  if (unreadable.length > 0)
    throw new CheckpointError(
      `${name}: ${firstOf(unreadable)}; ${READABLE_TYPES.join(", ")} are read: take a file of another quantisation`,
    );
}
