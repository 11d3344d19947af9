import { basename, dirname, join, resolve } from "node:path";
import { type GGUFParseOutput, type GGUFTypedMetadata, gguf } from "@huggingface/gguf";
import { CheckpointError, messageOf } from "../core/errors.ts";
import { readRange, withFile } from "./file-range.node.ts";
import {
  checkReadable,
  checkTensors,
  type GgufFile,
  type GgufMetadata,
  type GgufTensor,
  readStart,
  START_BYTES,
} from "./gguf.ts";
import { readMetadata, type StatedEntry } from "./gguf-metadata.ts";

const SHARD = /^(?<stem>.+)-(?<index>\d{5})-of-(?<count>\d{5})\.gguf$/;
const MAX_SHARDS = 1000;

/**
 * Opens a `.gguf` file, or all files of a split one (`…-00001-of-0000n.gguf`, any of them given). Reads headers only;
 * tensors stay where they are. Throws a CheckpointError for files that are damaged, lying or incomplete, and for
 * tensors of types that cannot be read, which it names.
 */
export async function openGguf(path: string): Promise<GgufFile> {
  const first = await openFile(path);
  const count = first.metadata.get("split.count") ?? 1;
  const opened = count === 1 ? first : await openSplit(path, count);
  checkReadable(path, opened.tensors);
  return {
    name: path,
    ...opened,
    readBytes: (file, offset, length) => withFile(file, (handle) => readRange(handle, file, offset, length)),
  };
}

interface Opened {
  readonly metadata: GgufMetadata;
  readonly tensors: ReadonlyMap<string, GgufTensor>;
}

async function openSplit(path: string, stated: unknown): Promise<Opened> {
  const { stem, count } = SHARD.exec(basename(path))?.groups ?? {};
  const total = Number(count);
  if (total !== stated || total > MAX_SHARDS)
    throw new CheckpointError(
      `${path}: it is one of ${stated} files of a split model, whose names end in "-00001-of-${`${stated}`.padStart(5, "0")}.gguf"; give it its name back`,
    );
  const tensors = new Map<string, GgufTensor>();
  let metadata: GgufMetadata = new Map();
  for (let i = 0; i < total; i++) {
    const name = `${stem}-${`${i + 1}`.padStart(5, "0")}-of-${count}.gguf`;
    const shard = await openFile(join(dirname(path), name));
    if (shard.metadata.get("split.no") !== i || shard.metadata.get("split.count") !== total)
      throw new CheckpointError(
        `${path}: ${name} says that it is file ${shard.metadata.get("split.no")} (from 0) of ${shard.metadata.get("split.count")}; fetch it again`,
      );
    if (i === 0) metadata = shard.metadata;
    for (const [key, tensor] of shard.tensors) {
      if (tensors.has(key))
        throw new CheckpointError(`${path}: ${key} is in ${name} and in a file before it`);
      tensors.set(key, tensor);
    }
  }
  const wanted = metadata.get("split.tensors.count");
  if (wanted !== undefined && wanted !== tensors.size)
    throw new CheckpointError(`${path}: its files hold ${tensors.size} tensors, ${wanted} are expected`);
  return { metadata, tensors };
}

function openFile(path: string): Promise<Opened> {
  return withFile(path, async (file, bytes) => {
    const start = await readRange(file, path, 0, Math.min(START_BYTES, bytes));
    const { entries } = readStart(path, start, bytes);
    const parsed = await parse(path);
    const [infoStart, headerEnd] = parsed.tensorInfoByteRange;
    if (infoStart > bytes)
      throw new CheckpointError(
        `${path}: its metadata ends beyond the file; it is truncated, fetch it again`,
      );
    const header = await readRange(file, path, 0, infoStart);
    const stated = parsed.typedMetadata as Readonly<Record<string, StatedEntry>>;
    const metadata = readMetadata(path, header, START_BYTES, entries, stated);
    return { metadata, tensors: checkTensors(path, parsed.tensorInfos, metadata, headerEnd, bytes) };
  });
}

/** The header as the parser reads it: past the end of the file it sees zeros, and it trusts what it sees. */
async function parse(path: string): Promise<GGUFParseOutput & { typedMetadata: GGUFTypedMetadata }> {
  try {
    return await gguf(resolve(path), { typedMetadata: true, allowLocalFile: true });
  } catch (cause) {
    throw new CheckpointError(
      `${path}: the GGUF header cannot be read (${messageOf(cause)}); the file is damaged, fetch it again`,
      { cause },
    );
  }
}
