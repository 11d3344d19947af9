import { type Entry, openPromise, type ZipFile } from "yauzl";
import type { HostTensor } from "../core/array.ts";
import { DTYPES } from "../core/dtype.ts";
import { CheckpointError } from "../core/errors.ts";
import type { TensorSource } from "../runtime/runtime.ts";
import { type Checkpoint, checkedProduct } from "./checkpoint.ts";
import { readRange, readTensor, withFile } from "./file-range.node.ts";
import { MAX_PICKLE_BYTES } from "./pickle.ts";
import { gather, isContiguous, spanOf } from "./strided.ts";
import { readStateDict, type TorchTensor } from "./torch-pickle.ts";

/** Entries in one archive; a state dict has one per tensor. */
const MAX_ENTRIES = 1_000_000;
/** Strided tensors are copied into memory: no more in all than the file is long, or this for small files. */
const MIN_COPY_BYTES = 64 << 20;

/** Bytes of the file that an entry's data takes. */
interface Range {
  readonly offset: number;
  readonly length: number;
}

/**
 * Opens a state dict that torch.save wrote (the zip-and-pickle format, torch >= 1.6): `.pth`, `.pt` or `.bin`. Nothing
 * in the file is executed. Tensors stay byte ranges of the file, except strided ones (transposed and the like), which
 * are copied row-major into memory. Throws a CheckpointError for older formats, TorchScript, compressed entries,
 * truncated archives, names that tensors do not need, and tensors that reach outside their storage.
 */
export async function openTorchCheckpoint(path: string): Promise<Checkpoint> {
  const fileBytes = await withFile(path, async (file, bytes) => {
    checkMagic(path, await readRange(file, path, 0, Math.min(4, bytes)));
    return bytes;
  });
  const ranges = await readArchive(path);
  const pickle = await bytesAt(path, ranges.get("data.pkl")!);
  const state = readStateDict(path, pickle);
  const tensors = new Map<string, TensorSource>();
  const copies = { left: Math.max(fileBytes, MIN_COPY_BYTES) };
  for (const [key, tensor] of state) {
    const storage = ranges.get(`data/${tensor.storage.key}`);
    if (storage === undefined)
      throw new CheckpointError(
        `${path}: ${key} lies in storage ${tensor.storage.key}, which the archive lacks`,
      );
    tensors.set(key, await locate(path, key, tensor, storage, copies));
  }
  return { name: path, keys: [...tensors.keys()], tensors, metadata: {}, read: readTensor };
}

function checkMagic(path: string, start: Uint8Array): void {
  if (start[0] === 0x50 && start[1] === 0x4b) return;
  throw new CheckpointError(
    start[0] === 0x80
      ? `${path}: torch's format from before 1.6 (a bare pickle). Convert it with Python, if you trust it: torch.save(torch.load(path, map_location="cpu"), new_path)`
      : `${path}: expected a zip archive as torch.save writes it, found something else; the download may have failed`,
  );
}

/** Data ranges of the archive's entries, named relative to the folder that all of them are in. */
async function readArchive(path: string): Promise<Map<string, Range>> {
  let zip: ZipFile | undefined;
  try {
    zip = await openPromise(path, { lazyEntries: true, autoClose: false });
    // A failure while closing has nobody to tell.
    zip.on("error", () => undefined);
    const entries: Entry[] = [];
    for await (const entry of zip.eachEntry()) {
      if (entries.push(entry) > MAX_ENTRIES)
        throw new CheckpointError(`${path}: more than ${MAX_ENTRIES} entries in the archive`);
    }
    return await dataRanges(path, zip, entries);
  } catch (cause) {
    if (cause instanceof CheckpointError) throw cause;
    throw new CheckpointError(
      `${path}: the zip archive is truncated or damaged (${(cause as Error).message}); fetch it again`,
      { cause },
    );
  } finally {
    zip?.close();
  }
}

async function dataRanges(
  path: string,
  zip: ZipFile,
  entries: readonly Entry[],
): Promise<Map<string, Range>> {
  const pickles = entries.filter((e) => /^[^/]+\/data\.pkl$/.test(e.fileName));
  if (pickles.length !== 1)
    throw new CheckpointError(
      `${path}: expected one NAME/data.pkl in the archive, found ${pickles.length}; torch.save did not write it`,
    );
  const folder = pickles[0]!.fileName.slice(0, -"data.pkl".length);
  const byName = new Map(
    entries.filter((e) => e.fileName.startsWith(folder)).map((e) => [e.fileName.slice(folder.length), e]),
  );
  if (byName.has("constants.pkl"))
    throw new CheckpointError(
      `${path}: a TorchScript program; save its weights: torch.save(module.state_dict(), path)`,
    );
  const ranges = new Map<string, Range>();
  for (const [name, entry] of byName) {
    if (name !== "data.pkl" && name !== "byteorder" && !name.startsWith("data/")) continue;
    if (
      entry.compressionMethod !== 0 ||
      entry.isEncrypted() ||
      entry.compressedSize !== entry.uncompressedSize
    )
      throw new CheckpointError(
        `${path}: ${name} is compressed or encrypted in the archive, so its bytes cannot be mapped; save it again with torch.save, which stores them plainly`,
      );
    const { fileDataStart } = await zip.readLocalFileHeaderPromise(entry, { minimal: true });
    ranges.set(name, { offset: fileDataStart, length: entry.uncompressedSize });
  }
  await checkByteOrder(path, ranges.get("byteorder"));
  if (ranges.get("data.pkl")!.length > MAX_PICKLE_BYTES)
    throw new CheckpointError(
      `${path}: data.pkl is larger than ${MAX_PICKLE_BYTES} bytes; this is no ordinary state dict`,
    );
  return ranges;
}

/** Archives of torch before 2.1 do not say; they are little-endian. */
async function checkByteOrder(path: string, range: Range | undefined): Promise<void> {
  if (range === undefined) return;
  const order = new TextDecoder().decode(
    await bytesAt(path, { ...range, length: Math.min(range.length, 16) }),
  );
  if (order !== "little")
    throw new CheckpointError(
      `${path}: byte order ${JSON.stringify(order)}, only little-endian files are read`,
    );
}

const bytesAt = (path: string, { offset, length }: Range): Promise<Uint8Array> =>
  withFile(path, (file) => readRange(file, path, offset, length));

/** Where a tensor's bytes are; a strided one is copied, at the cost of `copies.left`. */
async function locate(
  path: string,
  key: string,
  { dtype, offset, shape, stride, storage }: TorchTensor,
  range: Range,
  copies: { left: number },
): Promise<TensorSource> {
  const width = DTYPES[dtype].bytes;
  const span = spanOf(shape, stride);
  const storageBytes = checkedProduct([
    storage.size,
    storage.dtype === undefined ? 1 : DTYPES[storage.dtype].bytes,
  ]);
  const limit = Math.min(storageBytes ?? 0, range.length);
  if (storageBytes === undefined || storageBytes > range.length || !((offset + span) * width <= limit))
    throw new CheckpointError(
      `${path}: ${key} (${dtype} [${shape}], stride [${stride}], offset ${offset}) reaches outside its storage of ${limit} bytes`,
    );
  const begin = range.offset + offset * width;
  if (isContiguous(shape, stride)) return { dtype, shape, file: path, offset: begin };
  const copyBytes = checkedProduct([...shape, width]) ?? Number.POSITIVE_INFINITY;
  copies.left -= copyBytes;
  if (copies.left < 0)
    throw new CheckpointError(
      `${path}: ${key} and the strided tensors before it would take more memory than the file is long; make them contiguous before saving`,
    );
  const bytes = await bytesAt(path, { offset: begin, length: span * width });
  return gather(dtype, shape, stride, bytes as Uint8Array<ArrayBuffer>) satisfies HostTensor;
}
