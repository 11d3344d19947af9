import { dirname } from "node:path";
import { RuntimeFailure } from "../core/errors.ts";
import type { FolderLock } from "../core/folder-lock.node.ts";
import type { Embedder } from "../infer/embedder.ts";
import type { ImageTable, Row } from "./image-table.ts";
import { KnownFiles } from "./known-files.ts";
import type { LoadPicture } from "./picture.ts";
import { type Failed, type Gone, type Known, type Picture, type Prepared, prepare } from "./prepare.ts";
import type { ProgressMeter } from "./progress.ts";
import { inList, under } from "./sql.ts";
import { mapAhead } from "./stream.ts";
import type { Unsupported } from "./unsupported.ts";
import { type FoundFile, type Problem, walk } from "./walk.ts";

/** Bounds on what an update takes in and how it works. */
export interface UpdateLimits {
  /** Largest file that is read. */
  readonly maxBytes: number;
  /** Largest width × height that is decoded. */
  readonly maxPixels: number;
  /** Pictures in one call of the embedder. */
  readonly batch: number;
  /** Files that are read and decoded at once. */
  readonly concurrency: number;
  /** A commit is due after so many rows or so much time: what a crash costs at most, with one batch more. */
  readonly commitRows: number;
  readonly commitMs: number;
  /** Changed files whose paths are remembered between counting and embedding; with more, folders are walked twice. */
  readonly pendingPaths: number;
}

/** No buffer holds more pixels or bytes: limits are not raised above it, whatever a user or an index says. */
export const LARGEST_LIMIT = 2 ** 31 - 1;

export const UPDATE_LIMITS: UpdateLimits = {
  maxBytes: 128 * 2 ** 20,
  maxPixels: 64e6,
  batch: 32,
  concurrency: 4,
  commitRows: 256,
  commitMs: 10_000,
  pendingPaths: 65_536,
};

/** What an update did, in files. */
export interface UpdateResult {
  /** New, with an embedding made now. */
  readonly added: number;
  /** Known, whose contents changed. */
  readonly changed: number;
  /** New, moved or touched, with contents that the index knew: nothing was computed. */
  readonly reused: number;
  /** Not there any more, or moved away. */
  readonly removed: number;
  readonly unchanged: number;
  /** Could not be used, in this run; see ImageIndex.failures for the reasons. */
  readonly failed: number;
  /** Could not be used before and have not changed since. */
  readonly stillFailed: number;
  /** Folders and files that could not be looked at (the first thousand); what the index knew below them stays. */
  readonly problems: readonly Problem[];
  /** Pictures of kinds that cannot be decoded. */
  readonly unsupported: Unsupported;
}

export interface UpdateJob {
  readonly table: ImageTable;
  readonly lock: FolderLock;
  readonly embedder: Embedder;
  readonly load: LoadPicture;
  /** Absolute real paths, none inside another. */
  readonly folders: readonly string[];
  /** Folders of the index that are not there now, and why: what the index knows below them stays. */
  readonly missing: readonly Problem[];
  /** Folders that are passed over. */
  readonly skip: ReadonlySet<string>;
  readonly limits: UpdateLimits;
  readonly meter: ProgressMeter;
  readonly signal: AbortSignal | undefined;
  /** Try failed files again although they have not changed. */
  readonly retryFailed: boolean;
}

const MAX_PROBLEMS = 1000;
const DELETE_ROWS = 500;
/** Every so many commits small files are joined: each commit costs time in proportion to their number. */
const TIDY_COMMITS = 64;
/** Rows that are handled in one go, so that the event loop is never held for more than a few milliseconds. */
const ROWS_AT_ONCE = 1024;

/** Brings the table in line with the folders. On an error or abort, what is finished is committed first. */
export async function runUpdate(job: UpdateJob): Promise<UpdateResult> {
  const run = new UpdateRun(job);
  await run.readTable();
  const pending = await run.scan();
  try {
    await run.embedAll(pending);
  } catch (error) {
    await run.commit().catch((second: unknown) => {
      // What failed first says more; what came of it is kept where a stack shows it.
      if (error instanceof Error) error.cause ??= second;
    });
    throw error;
  }
  await run.commit();
  await run.removeGone();
  return run.result;
}

class UpdateRun {
  readonly result = {
    added: 0,
    changed: 0,
    reused: 0,
    removed: 0,
    unchanged: 0,
    failed: 0,
    stillFailed: 0,
    problems: [] as Problem[],
    unsupported: {} as Record<string, number>,
  };
  readonly #known = new KnownFiles();
  /** Folders of which not everything was seen. */
  readonly #unreadable = new Set<string>();
  /** Rows to commit, by path: within one commit a path must not occur twice. */
  #rows = new Map<string, Row>();
  #committedAt = Date.now();
  #commits = 0;

  constructor(private readonly job: UpdateJob) {
    for (const problem of job.missing) this.#note(problem.path, problem);
  }

  async readTable(): Promise<void> {
    this.job.meter.start("scan");
    let rows = 0;
    for await (const batch of this.job.table.scan(["path", "size", "mtime", "hash", "error"])) {
      const [path, size, mtime, hash, error] = batch.schema.fields.map((f) => batch.getChild(f.name)!);
      for (let i = 0; i < batch.numRows; i++) {
        if (rows++ % ROWS_AT_ONCE === 0) await new Promise(setImmediate);
        const failed = error!.get(i) !== null;
        this.#known.set(path!.get(i), { size: size!.get(i), mtimeMs: mtime!.get(i), failed });
        if (hash!.get(i) !== "") this.#known.addContent(hash!.get(i));
      }
    }
  }

  /** Compares the folders with the index. Returns the files to take in, and how many they are. */
  async scan(): Promise<{ files: Iterable<FoundFile> | AsyncIterable<FoundFile>; count: number }> {
    const { meter, limits } = this.job;
    const pending: FoundFile[] = [];
    let count = 0;
    for await (const file of this.#walk()) {
      meter.step(1, file.path);
      if (this.#isPending(file)) {
        if (count++ < limits.pendingPaths) pending.push(file);
      } else if (this.#known.get(file.path)!.failed) this.result.stillFailed++;
      else this.result.unchanged++;
    }
    return { files: count === pending.length ? pending : this.#walkPending(), count };
  }

  async embedAll(pending: Awaited<ReturnType<UpdateRun["scan"]>>): Promise<void> {
    const { limits, signal, meter } = this.job;
    meter.start("embed", pending.count);
    this.#committedAt = Date.now();
    const options = { running: limits.concurrency, ahead: limits.batch + limits.concurrency };
    const isKnown = (hash: string) => this.#known.mayHaveContent(hash);
    const pictures: Picture[] = [];
    const known: Known[] = [];
    const prepared = mapAhead(pending.files, options, (f) => prepare(f, { ...this.job, isKnown }));
    for await (const item of prepared) {
      signal?.throwIfAborted();
      if (item.kind === "picture") pictures.push(item);
      else if (item.kind === "known") known.push(item);
      else this.#settle(item);
      if (known.length === limits.batch) pictures.push(...(await this.#reuse(known.splice(0))));
      while (pictures.length >= limits.batch) await this.#embed(pictures.splice(0, limits.batch));
      await this.#commitWhenDue();
    }
    pictures.push(...(await this.#reuse(known)));
    while (pictures.length > 0) await this.#embed(pictures.splice(0, limits.batch));
  }

  async commit(): Promise<void> {
    const rows = [...this.#rows.values()];
    this.#rows = new Map();
    this.#committedAt = Date.now();
    if (rows.length === 0) return;
    const { lock, table } = this.job;
    await lock.verify();
    await table.upsert(rows);
    for (const { hash } of rows) if (hash !== "") this.#known.addContent(hash);
    if (++this.#commits % TIDY_COMMITS === 0) await table.tidy();
  }

  /** Rows below the folders whose files were not seen leave, unless it is not known what became of them. */
  async removeGone(): Promise<void> {
    this.job.meter.start("remove");
    let rows = 0;
    for (const folder of this.job.folders) {
      let gone: string[] = [];
      for await (const batch of this.job.table.scan(["path"], under(folder)))
        for (const path of batch.getChild("path")! as Iterable<string>) {
          if (rows++ % ROWS_AT_ONCE === 0) await new Promise(setImmediate);
          if (!this.#known.isSeen(path) && !this.#isBelowUnreadable(path)) gone.push(path);
          if (gone.length === DELETE_ROWS) {
            await this.#remove(gone);
            gone = [];
          }
        }
      await this.#remove(gone);
    }
  }

  async #remove(paths: readonly string[]): Promise<void> {
    if (paths.length === 0) return;
    this.job.signal?.throwIfAborted();
    await this.job.lock.verify();
    await this.job.table.delete(inList("path", paths));
    this.result.removed += paths.length;
    this.job.meter.step(paths.length, paths.at(-1));
  }

  /** Not everything in `folder` was seen. */
  #note(folder: string, problem: Problem): void {
    this.#unreadable.add(folder);
    const { problems } = this.result;
    if (problems.length < MAX_PROBLEMS && !problems.some((p) => p.path === problem.path))
      problems.push(problem);
  }

  async *#walk(): AsyncGenerator<FoundFile> {
    const { folders, skip, signal } = this.job;
    const onUnreadableFolder = (p: Problem) => this.#note(p.path, p);
    const onUnreadableFile = (p: Problem) => this.#note(dirname(p.path), p);
    // The folders may be walked twice.
    const counts: Record<string, number> = {};
    this.result.unsupported = counts;
    const onUnsupported = (extension: string) => {
      counts[extension] = (counts[extension] ?? 0) + 1;
    };
    const options = { skip, signal, onUnreadableFolder, onUnreadableFile, onUnsupported };
    for (const folder of folders)
      for await (const file of walk(folder, options)) {
        this.#known.setSeen(file.path, true);
        yield file;
      }
  }

  async *#walkPending(): AsyncGenerator<FoundFile> {
    for await (const file of this.#walk()) if (this.#isPending(file)) yield file;
  }

  #isPending(file: FoundFile): boolean {
    const known = this.#known.get(file.path);
    if (!known || known.size !== file.size || known.mtimeMs !== file.mtimeMs) return true;
    return known.failed && this.job.retryFailed;
  }

  #isBelowUnreadable(path: string): boolean {
    if (this.#unreadable.size === 0) return false;
    for (let folder = dirname(path); ; folder = dirname(folder)) {
      if (this.#unreadable.has(folder)) return true;
      if (folder === dirname(folder)) return false;
    }
  }

  #settle(item: Gone | Failed): void {
    if (item.kind === "gone") {
      this.#known.setSeen(item.path, false);
      this.job.meter.step(1, item.path);
    } else this.#fail(item.row);
  }

  #fail(row: Row): void {
    this.#rows.set(row.path, row);
    this.result.failed++;
    this.job.meter.failed++;
    this.job.meter.step(1, row.path);
  }

  /** Takes embeddings and failures over from rows of the same contents. Returns what has to be embedded after all. */
  async #reuse(items: readonly Known[]): Promise<Picture[]> {
    const pictures: Picture[] = [];
    if (items.length === 0) return pictures;
    const hashes = [...new Set(items.map((i) => i.hash))];
    const rows = new Map((await this.job.table.rowsWhere(inList("hash", hashes))).map((r) => [r.hash, r]));
    for (const { file, hash } of items) {
      const same = rows.get(hash);
      if (same && (same.error === null || !this.job.retryFailed)) {
        const row = { ...same, path: file.path, size: file.size, mtime: file.mtimeMs };
        if (row.error === null) {
          this.#rows.set(row.path, row);
          this.result.reused++;
          this.job.meter.step(1, row.path);
        } else this.#fail(row);
      } else {
        const item: Prepared = await prepare(file, { ...this.job, isKnown: () => false });
        if (item.kind === "picture") pictures.push(item);
        else if (item.kind !== "known") this.#settle(item);
      }
    }
    return pictures;
  }

  async #embed(pictures: readonly Picture[]): Promise<void> {
    const { embedder, signal, meter } = this.job;
    const images = pictures.map((p) => p.image);
    const vectors = await embedder.embedImages(images, signal ? { signal } : {});
    if (vectors.length !== images.length)
      throw new RuntimeFailure(
        `${embedder.id}: expected ${images.length} embeddings, found ${vectors.length}; the model does not keep its contract`,
      );
    pictures.forEach(({ row }, i) => {
      this.#rows.set(row.path, { ...row, vector: checkVector(embedder, vectors[i]!) });
      if (this.#known.get(row.path)?.failed === false) this.result.changed++;
      else this.result.added++;
    });
    meter.step(pictures.length, pictures.at(-1)!.row.path);
  }

  async #commitWhenDue(): Promise<void> {
    const { commitRows, commitMs } = this.job.limits;
    if (this.#rows.size >= commitRows || Date.now() - this.#committedAt >= commitMs) await this.commit();
  }
}

/** `vector` where it can be compared with others. Throws a RuntimeFailure for a model that computes nonsense. */
export function checkVector(embedder: Embedder, vector: Float32Array): Float32Array {
  const length = Math.sqrt(vector.reduce((sum, v) => sum + v * v, 0));
  if (vector.length !== embedder.dimension || !Number.isFinite(length) || length === 0)
    throw new RuntimeFailure(
      `${embedder.id}: expected an embedding of ${embedder.dimension} finite numbers, found ${vector.length} numbers of length ${length}; the weights may be damaged or overflow in this precision`,
    );
  return vector;
}
