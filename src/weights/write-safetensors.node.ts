import { randomBytes } from "node:crypto";
import { type FileHandle, mkdir, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { bytesOf, type HostTensor, rawBytes } from "../core/array.ts";
import { CheckpointError } from "../core/errors.ts";
import { sameShape, showShape } from "../core/shape.ts";
import type { FileTensor, TensorSource } from "../runtime/runtime.ts";
import { loadSource } from "./checkpoint.ts";
import { readTensor, writeAll } from "./file-range.node.ts";
import { serializeHeader } from "./safetensors.ts";

export interface WriteOptions {
  /** Free text that travels in the header. */
  readonly metadata?: Readonly<Record<string, string>>;
  /**
   * Above this many bytes of tensors the checkpoint is split: `model.safetensors` becomes
   * `model-00001-of-0000n.safetensors` … and `model.safetensors.index.json`. A single larger tensor gets its own file.
   */
  readonly maxShardBytes?: number;
}

type Item = readonly [key: string, source: TensorSource];

/**
 * Writes tensors in the given order and returns the paths of the files, the one to open last. Atomic: data goes to a
 * temporary file in the same folder, is flushed to the disk and renamed; an index is renamed after its shards. One
 * tensor at a time is in memory: give lazy tensors or file tensors to stream. The header comes before the data, so an
 * async iterable, whose shapes are known only at its end, passes through a second temporary file.
 */
export async function writeSafetensors(
  path: string,
  tensors: Iterable<Item> | AsyncIterable<Item>,
  options: WriteOptions = {},
): Promise<string[]> {
  if (!path.endsWith(".safetensors"))
    throw new CheckpointError(`writeSafetensors: expected a path that ends in .safetensors, found ${path}`);
  await mkdir(dirname(path), { recursive: true });
  const staged: Staged[] = [];
  const spool = new Staged(join(dirname(path), "spool"));
  try {
    const items = Symbol.asyncIterator in tensors ? await spoolOut(tensors, spool) : [...tensors];
    const plan = planShards(path, items, options.maxShardBytes ?? Number.POSITIVE_INFINITY);
    for (const { file, items } of plan.shards) {
      staged.push(new Staged(file));
      await staged.at(-1)!.write((out) => writeFileBody(out, items, options.metadata));
    }
    if (plan.index !== undefined) {
      staged.push(new Staged(`${path}.index.json`));
      const bytes = new TextEncoder().encode(plan.index);
      await staged.at(-1)!.write((out) => writeAll(out, bytes, 0));
    }
    for (const file of staged) await file.commit();
    await syncFolder(dirname(path));
    return staged.map((s) => s.path);
  } finally {
    await Promise.all([spool, ...staged].map((s) => s.discard()));
  }
}

/** A file that is written under a temporary name beside its own, then renamed. */
class Staged {
  readonly temporary: string;

  constructor(readonly path: string) {
    const tag = randomBytes(6).toString("hex");
    this.temporary = join(dirname(path), `.${basename(path)}.${tag}.tmp`);
  }

  async write(fill: (out: FileHandle) => Promise<void>): Promise<void> {
    const out = await open(this.temporary, "wx");
    try {
      await fill(out);
      await out.sync();
    } finally {
      await out.close();
    }
  }

  commit(): Promise<void> {
    return rename(this.temporary, this.path);
  }

  /** Removes what was not committed. */
  discard(): Promise<void> {
    return rm(this.temporary, { force: true });
  }
}

async function writeFileBody(
  out: FileHandle,
  items: readonly Item[],
  metadata: WriteOptions["metadata"],
): Promise<void> {
  const header = serializeHeader(items, metadata);
  await writeAll(out, header.bytes, 0);
  for (const [i, [key, source]] of items.entries()) {
    const tensor = await loadSource(source, readTensor);
    if (tensor.dtype !== source.dtype || !sameShape(tensor.shape, source.shape))
      throw new CheckpointError(
        `writeSafetensors: ${key} was announced as ${source.dtype} ${showShape(source.shape)} and came as ${tensor.dtype} ${showShape(tensor.shape)}`,
      );
    await writeAll(out, rawBytes(tensor), header.entries[i]!.begin);
  }
}

/** Writes the data of `tensors` as it comes and returns it as ranges of that temporary file. */
async function spoolOut(tensors: AsyncIterable<Item>, spool: Staged): Promise<Item[]> {
  const items: [string, FileTensor][] = [];
  await spool.write(async (out) => {
    let offset = 0;
    for await (const [key, source] of tensors) {
      const tensor: HostTensor = await loadSource(source, readTensor);
      const { dtype, shape } = tensor;
      items.push([key, { dtype, shape, file: spool.temporary, offset }]);
      await writeAll(out, rawBytes(tensor), offset);
      offset += bytesOf(dtype, shape);
    }
  });
  return items;
}

interface Plan {
  readonly shards: readonly { readonly file: string; readonly items: readonly Item[] }[];
  readonly index?: string;
}

/** Fills shards in order; a new one begins where the next tensor would pass the limit. */
function planShards(path: string, items: readonly Item[], maxBytes: number): Plan {
  const size = ([, { dtype, shape }]: Item) => bytesOf(dtype, shape);
  const groups: Item[][] = [[]];
  let bytes = 0;
  for (const item of items) {
    if (bytes > 0 && bytes + size(item) > maxBytes) {
      groups.push([]);
      bytes = 0;
    }
    groups.at(-1)!.push(item);
    bytes += size(item);
  }
  if (groups.length === 1) return { shards: [{ file: path, items }] };
  const five = (n: number) => String(n).padStart(5, "0");
  const shards = groups.map((group, i) => ({
    file: path.replace(/\.safetensors$/, `-${five(i + 1)}-of-${five(groups.length)}.safetensors`),
    items: group,
  }));
  const weightMap: [string, string][] = shards.flatMap(({ file, items }) =>
    items.map(([key]): [string, string] => [key, basename(file)]),
  );
  const seen = new Set(weightMap.map(([key]) => key));
  if (seen.size < weightMap.length) throw new CheckpointError("writeSafetensors: a key is given twice");
  const total = items.reduce((n, item) => n + size(item), 0);
  const index = { metadata: { total_size: total }, weight_map: Object.fromEntries(weightMap) };
  return { shards, index: `${JSON.stringify(index, null, 1)}\n` };
}

/** Makes the renames durable; folders cannot be flushed on every platform, and then the files alone are. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r").catch(() => undefined);
  await handle?.sync().catch(() => undefined);
  await handle?.close();
}
