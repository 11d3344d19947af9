import { bytesOf, fromBytes, type HostTensor, rawBytes } from "../core/array.ts";
import { DTYPES, type DType, dtypeBy } from "../core/dtype.ts";
import { CheckpointError } from "../core/errors.ts";
import { checkedProduct, firstOf } from "./checkpoint.ts";
import { duplicateKey } from "./json-keys.ts";

/**
 * The safetensors format (huggingface/safetensors, README "Format"): u64 length of the header, the header as JSON,
 * then the tensors' bytes, row-major and little-endian, without gaps.
 */

/** Longest header that is read, in bytes; the reference implementation's own limit. */
export const MAX_HEADER_BYTES = 100_000_000;
const LENGTH_BYTES = 8;
const METADATA = "__metadata__";

export interface TensorSpec {
  readonly dtype: DType;
  readonly shape: readonly number[];
}

export interface SafetensorsEntry extends TensorSpec {
  readonly key: string;
  /** Byte range in the file. */
  readonly begin: number;
  readonly end: number;
}

export interface SafetensorsHeader {
  /** In the order of their data. */
  readonly entries: readonly SafetensorsEntry[];
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * Length in bytes of the header that follows the first 8 bytes. Throws a CheckpointError when it is above
 * {@link MAX_HEADER_BYTES} or beyond the end of the file; `fileBytes` is the size of the whole file.
 */
export function headerLength(name: string, start: Uint8Array, fileBytes: number): number {
  if (start.byteLength < LENGTH_BYTES)
    throw new CheckpointError(
      `${name}: a safetensors file has at least ${LENGTH_BYTES} bytes, this one has ${fileBytes}; it is truncated`,
    );
  const length = new DataView(start.buffer, start.byteOffset).getBigUint64(0, true);
  if (length > BigInt(MAX_HEADER_BYTES))
    throw new CheckpointError(
      `${name}: its header claims ${length} bytes, at most ${MAX_HEADER_BYTES} are read; this is no safetensors file`,
    );
  if (LENGTH_BYTES + Number(length) > fileBytes)
    throw new CheckpointError(
      `${name}: its header claims ${length} bytes, the file has ${fileBytes}; it is truncated, fetch it again`,
    );
  return Number(length);
}

/**
 * Reads and checks a header. `json` is the header's bytes without the length. The ranges of the tensors must follow
 * each other without gap or overlap up to the end of the file, and each must be as long as its shape and dtype say.
 * Throws one CheckpointError with everything that is wrong.
 */
export function parseHeader(name: string, json: Uint8Array, fileBytes: number): SafetensorsHeader {
  const record = parseJson(name, json);
  const problems: string[] = [];
  const entries: SafetensorsEntry[] = [];
  const dataStart = LENGTH_BYTES + json.byteLength;
  let metadata: Readonly<Record<string, string>> = {};
  for (const [key, value] of Object.entries(record)) {
    if (key === METADATA) {
      if (isStringRecord(value)) metadata = value;
      else problems.push(`${METADATA} must map names to strings`);
      continue;
    }
    const entry = parseEntry(key, value, dataStart);
    if (typeof entry === "string") problems.push(`${key}: ${entry}`);
    else entries.push(entry);
  }
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  if (problems.length === 0) problems.push(...checkCoverage(entries, dataStart, fileBytes));
  if (problems.length > 0)
    throw new CheckpointError(`${name}: the safetensors header is wrong: ${firstOf(problems, 5)}`);
  return { entries, metadata };
}

function parseJson(name: string, bytes: Uint8Array): Record<string, unknown> {
  let text: string;
  let value: unknown;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    value = JSON.parse(text);
  } catch (cause) {
    throw new CheckpointError(`${name}: the safetensors header is not JSON in UTF-8; the file is damaged`, {
      cause,
    });
  }
  if (!isRecord(value) || !text.startsWith("{"))
    throw new CheckpointError(`${name}: the safetensors header must be a JSON object that starts with "{"`);
  const duplicate = duplicateKey(text);
  if (duplicate !== undefined)
    throw new CheckpointError(`${name}: the safetensors header names ${JSON.stringify(duplicate)} twice`);
  return value;
}

/** One tensor of the header, or what is wrong with it. */
function parseEntry(key: string, value: unknown, dataStart: number): SafetensorsEntry | string {
  if (!isRecord(value)) return "expected { dtype, shape, data_offsets }";
  const { dtype: dtypeName, shape, data_offsets: offsets } = value;
  const dtype = typeof dtypeName === "string" ? dtypeBy("safetensors", dtypeName) : undefined;
  if (dtype === undefined) return `dtype ${JSON.stringify(dtypeName)} is not supported`;
  if (!isSizes(shape)) return `shape ${JSON.stringify(shape)} is no list of sizes`;
  if (!isSizes(offsets) || offsets.length !== 2)
    return `data_offsets ${JSON.stringify(offsets)} is no [begin, end]`;
  const [begin, end] = offsets as [number, number];
  const bytes = checkedProduct([...shape, DTYPES[dtype].bytes]);
  if (bytes === undefined) return `shape [${shape}] is too large`;
  if (end - begin !== bytes)
    return `${dtypeName} [${shape}] needs ${bytes} bytes, data_offsets span ${end - begin}`;
  return { key, dtype, shape, begin: dataStart + begin, end: dataStart + end };
}

/** Entries sorted by offset must tile the data from its start to the end of the file. */
function checkCoverage(entries: readonly SafetensorsEntry[], dataStart: number, fileBytes: number): string[] {
  const problems: string[] = [];
  let at = dataStart;
  for (const { key, begin, end } of entries) {
    if (begin < at) problems.push(`${key} overlaps the tensor before it by ${at - begin} bytes`);
    if (begin > at) problems.push(`${begin - at} bytes before ${key} belong to no tensor`);
    at = Math.max(at, end);
  }
  if (at > fileBytes)
    problems.push(`the tensors end at byte ${at}, the file at ${fileBytes}: it is truncated`);
  if (at < fileBytes) problems.push(`${fileBytes - at} bytes at the end belong to no tensor`);
  return problems;
}

/**
 * Length and header of a file that holds `tensors` in the given order; `entries` say where each one's data goes.
 * The header is padded with spaces so that the data starts at a multiple of 8 bytes. Throws a CheckpointError for a
 * key that is given twice or is not a tensor's name.
 */
export function serializeHeader(
  tensors: Iterable<readonly [key: string, spec: TensorSpec]>,
  metadata: Readonly<Record<string, string>> = {},
): { readonly bytes: Uint8Array; readonly entries: readonly SafetensorsEntry[] } {
  const fields: string[] = [];
  if (Object.keys(metadata).length > 0) fields.push(`"${METADATA}":${JSON.stringify(metadata)}`);
  const entries: SafetensorsEntry[] = [];
  const seen = new Set([METADATA]);
  let at = 0;
  for (const [key, { dtype, shape }] of tensors) {
    if (seen.has(key))
      throw new CheckpointError(
        `serializeHeader: the key ${JSON.stringify(key)} ${key === METADATA ? "is reserved" : "is given twice"}; rename the tensor`,
      );
    seen.add(key);
    const end = at + bytesOf(dtype, shape);
    const value = { dtype: DTYPES[dtype].safetensors, shape, data_offsets: [at, end] };
    fields.push(`${JSON.stringify(key)}:${JSON.stringify(value)}`);
    entries.push({ key, dtype, shape, begin: at, end });
    at = end;
  }
  // Written field by field because an object would move keys that look like numbers to its front.
  const json = new TextEncoder().encode(`{${fields.join(",")}}`);
  const length = Math.ceil(json.byteLength / 8) * 8;
  const bytes = new Uint8Array(LENGTH_BYTES + length).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true);
  bytes.set(json, LENGTH_BYTES);
  const start = bytes.byteLength;
  return { bytes, entries: entries.map((e) => ({ ...e, begin: start + e.begin, end: start + e.end })) };
}

/** A whole file in memory -> its tensors (views of `bytes` where aligned) and metadata. */
export function parseSafetensors(
  name: string,
  bytes: Uint8Array,
): { readonly tensors: Map<string, HostTensor>; readonly metadata: Readonly<Record<string, string>> } {
  const length = headerLength(name, bytes.subarray(0, LENGTH_BYTES), bytes.byteLength);
  const header = parseHeader(name, bytes.subarray(LENGTH_BYTES, LENGTH_BYTES + length), bytes.byteLength);
  const tensors = new Map<string, HostTensor>();
  for (const { key, dtype, shape, begin, end } of header.entries)
    tensors.set(key, fromBytes(dtype, shape, bytes.subarray(begin, end)));
  return { tensors, metadata: header.metadata };
}

/** Tensors -> a whole file in memory, keys in the map's order. */
export function serializeSafetensors(
  tensors: ReadonlyMap<string, HostTensor>,
  metadata?: Readonly<Record<string, string>>,
): Uint8Array {
  const header = serializeHeader(tensors, metadata);
  const out = new Uint8Array(header.entries.at(-1)?.end ?? header.bytes.byteLength);
  out.set(header.bytes);
  for (const { key, begin } of header.entries) out.set(rawBytes(tensors.get(key)!), begin);
  return out;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const isStringRecord = (value: unknown): value is Record<string, string> =>
  isRecord(value) && Object.values(value).every((v) => typeof v === "string");

const isSizes = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((v) => Number.isSafeInteger(v) && v >= 0);
