import { type FileHandle, open } from "node:fs/promises";
import { bytesOf, fromBytes, type HostTensor } from "../core/array.ts";
import { CheckpointError } from "../core/errors.ts";
import type { FileTensor, TensorSource } from "../runtime/runtime.ts";
import { loadSource } from "./checkpoint.ts";

/** One system call moves at most this much: the kernel's own limit is just below 2 GiB. */
const CHUNK_BYTES = 1 << 28;

/** Opens `path` for reading, runs `use`, closes. Throws a CheckpointError when there is no readable file. */
export async function withFile<T>(
  path: string,
  use: (file: FileHandle, bytes: number) => Promise<T>,
): Promise<T> {
  let file: FileHandle;
  try {
    file = await open(path, "r");
  } catch (cause) {
    throw new CheckpointError(`${path}: cannot be opened (${(cause as NodeJS.ErrnoException).code})`, {
      cause,
    });
  }
  try {
    const stat = await file.stat();
    if (!stat.isFile())
      throw new CheckpointError(`${path}: expected a file of weights, found a folder or device`);
    return await use(file, stat.size);
  } finally {
    await file.close();
  }
}

/** Bytes [offset, offset + length) of an open file. Throws a CheckpointError when the file ends before. */
export async function readRange(
  file: FileHandle,
  path: string,
  offset: number,
  length: number,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const wanted = Math.min(CHUNK_BYTES, length - done);
    const { bytesRead } = await file.read(bytes, done, wanted, offset + done);
    if (bytesRead === 0)
      throw new CheckpointError(
        `${path}: ends at byte ${offset + done}, ${offset + length} were expected; it is truncated or being written`,
      );
    done += bytesRead;
  }
  return bytes;
}

/** Writes all of `bytes` at `position`. */
export async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  let done = 0;
  while (done < bytes.byteLength) {
    const wanted = Math.min(CHUNK_BYTES, bytes.byteLength - done);
    done += (await file.write(bytes, done, wanted, position + done)).bytesWritten;
  }
}

/** The data of a tensor: read from its byte range, made where it is lazy, itself where it is in memory already. */
export const readTensor = (source: TensorSource): Promise<HostTensor> => loadSource(source, readFileTensor);

async function readFileTensor({ file: path, offset, dtype, shape }: FileTensor): Promise<HostTensor> {
  const bytes = await withFile(path, (file) => readRange(file, path, offset, bytesOf(dtype, shape)));
  return fromBytes(dtype, shape, bytes);
}
