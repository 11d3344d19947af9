import type { HostTensor } from "../core/array.ts";
import { DTYPES } from "../core/dtype.ts";
import { CheckpointError } from "../core/errors.ts";
import type { FileTensor, LazyTensor } from "../runtime/runtime.ts";
import { type Checkpoint, checkedProduct, firstOf } from "./checkpoint.ts";
import { readRange, readTensor, withFile } from "./file-range.node.ts";
import { MAX_PICKLE_BYTES } from "./pickle.ts";
import { gather, isContiguous, spanOf } from "./strided.ts";
import { readStateDict, type TorchTensor } from "./torch-pickle.ts";
import { readZipEntries, type ZipEntry } from "./zip-entries.node.ts";

/** Strided tensors are copied when they are read: no more in all than the file is long, or this for small files. */
const MIN_COPY_BYTES = 64 << 20;

/** Bytes of the file. */
type Range = Pick<ZipEntry, "offset" | "length">;

/**
 * Opens a state dict that torch.save wrote (the zip-and-pickle format, torch >= 1.6): `.pth`, `.pt` or `.bin`. Nothing
 * in the file is executed. Tensors stay byte ranges of the file, except strided ones (transposed and the like), which
 * are made row-major when they are asked for. Throws a CheckpointError for older formats, TorchScript, compressed entries,
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
  const tensors = new Map<string, FileTensor | LazyTensor>();
  const copies = { left: Math.max(fileBytes, MIN_COPY_BYTES) };
  const problems: string[] = [];
  for (const [key, tensor] of state) {
    const place = locate(path, tensor, ranges.get(`data/${tensor.storage.key}`), copies);
    if (typeof place === "string") problems.push(`${key} ${place}`);
    else tensors.set(key, place);
  }
  if (problems.length > 0)
    throw new CheckpointError(`${path}: ${problems.length} of ${state.size} tensors: ${firstOf(problems)}`);
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

/** The archive's entries, named relative to the folder that all of them are in; checked to be plain bytes. */
async function readArchive(path: string): Promise<Map<string, ZipEntry>> {
  const entries = [...(await readZipEntries(path)).values()];
  const pickles = entries.filter((e) => /^[^/]+\/data\.pkl$/.test(e.name));
  if (pickles.length !== 1)
    throw new CheckpointError(
      `${path}: expected one NAME/data.pkl in the archive, found ${pickles.length}; torch.save did not write it`,
    );
  const folder = pickles[0]!.name.slice(0, -"data.pkl".length);
  const held = new Map(
    entries.filter((e) => e.name.startsWith(folder)).map((e) => [e.name.slice(folder.length), e]),
  );
  if (held.has("constants.pkl"))
    throw new CheckpointError(
      `${path}: a TorchScript program; save its weights: torch.save(module.state_dict(), path)`,
    );
  const packed = [...held].filter(([, e]) => !e.stored).map(([name]) => name);
  if (packed.length > 0)
    throw new CheckpointError(
      `${path}: compressed or encrypted in the archive, so that the bytes cannot be mapped: ${firstOf(packed)}; save it again with torch.save, which stores them plainly`,
    );
  await checkByteOrder(path, held.get("byteorder"));
  if (held.get("data.pkl")!.length > MAX_PICKLE_BYTES)
    throw new CheckpointError(
      `${path}: data.pkl is larger than ${MAX_PICKLE_BYTES} bytes; this is no ordinary state dict`,
    );
  return held;
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

/** Where a tensor's bytes are (a strided one is copied, at the cost of `copies.left`), or what is wrong with it. */
function locate(
  path: string,
  { dtype, offset, shape, stride, storage }: TorchTensor,
  range: Range | undefined,
  copies: { left: number },
): FileTensor | LazyTensor | string {
  if (range === undefined) return `lies in storage ${storage.key}, which the archive lacks`;
  const width = DTYPES[dtype].bytes;
  const span = spanOf(shape, stride);
  const unit = storage.dtype === undefined ? 1 : DTYPES[storage.dtype].bytes;
  const storageBytes = checkedProduct([storage.size, unit]) ?? Number.POSITIVE_INFINITY;
  const view = `${dtype} [${shape}], stride [${stride}], offset ${offset}`;
  if (storageBytes > range.length)
    return `(${view}) reaches outside its storage: ${storageBytes} bytes stated, ${range.length} in the archive`;
  // Written so that an overflow to infinity or NaN is refused too.
  if (!((offset + span) * width <= storageBytes))
    return `(${view}) reaches outside its storage of ${storageBytes} bytes`;
  const begin = range.offset + offset * width;
  if (isContiguous(shape, stride)) return { dtype, shape, file: path, offset: begin };
  copies.left -= Math.max(checkedProduct([...shape, width]) ?? Number.POSITIVE_INFINITY, span * width);
  if (copies.left < 0)
    return "and the strided tensors before it would take more memory than the file is long; make them contiguous before saving";
  const load = async (): Promise<HostTensor> => {
    const bytes = await bytesAt(path, { offset: begin, length: span * width });
    return gather(dtype, shape, stride, bytes as Uint8Array<ArrayBuffer>);
  };
  return { dtype, shape, load };
}
