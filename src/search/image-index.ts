import { mkdir, realpath } from "node:fs/promises";
import { join, resolve } from "node:path";
import { UsageError } from "../core/errors.ts";
import { FolderLock } from "../core/folder-lock.node.ts";
import type { Embedder } from "../infer/embedder.ts";
import { checkModel } from "./check-model.ts";
import { below, bytesBelow, checkFolders, isInPlace, outermost, presentFolders, toImage } from "./folders.ts";
import { ImageTable, type Row } from "./image-table.ts";
import { type Manifest, nextTable, readManifest, writeManifest } from "./manifest.ts";
import { type LoadPicture, loadPicture } from "./picture.ts";
import { ProgressMeter } from "./progress.ts";
import { checkWhole, embedQuery } from "./query.ts";
import { rank } from "./ranking.ts";
import { recordedLimits } from "./recorded-limits.ts";
import { allOf, isUnder, quote, under } from "./sql.ts";
import { Thumbnails } from "./thumbnails.ts";
import type {
  Failure,
  IndexedImage,
  IndexStats,
  OpenOptions,
  PageOptions,
  ResultOptions,
  SearchQuery,
  SearchResult,
  UpdateOptions,
} from "./types.ts";
import { runUpdate, UPDATE_LIMITS, type UpdateResult } from "./update.ts";

/** Above this, comparing all takes longer than a person waits: 0.15 s for 768 numbers each on two cores. */
const EXACT_PICTURES = 100_000;
/** A vector index cannot be trained on fewer. */
const MIN_TRAINING = 256;
/** A vector index is trained again when there are so many times the pictures it was trained on. */
const RETRAIN_FACTOR = 4;
const MAX_RESULTS = 10_000;
const MAX_PAGE = 10_000;

/** What there is at the moment: another process may change it. */
interface Current {
  readonly manifest: Manifest;
  readonly table: ImageTable;
}

/**
 * An index of the pictures in folders, in a folder of its own, searched by words or pictures. Embeddings lie in
 * LanceDB, in this process. One process writes at a time (a lock file says which); any number may search meanwhile
 * and see what is committed.
 */
export class ImageIndex implements AsyncDisposable {
  readonly #thumbnails: Thumbnails;
  #open: { readonly name: string; readonly table: Promise<ImageTable> } | undefined;

  private constructor(
    /** The index's own folder, absolute. */
    readonly dir: string,
    private readonly embedder: Embedder,
    private readonly load: LoadPicture,
    private readonly exactPictures: number,
  ) {
    this.#thumbnails = new Thumbnails(join(dir, "thumbnails"));
  }

  /**
   * Opens the index in `indexDir`; where there is none, the first update makes it. The embedder stays the caller's.
   * Throws a ConfigError for the index of another model, unless a rebuild is asked for, and for a damaged one.
   */
  static async open(indexDir: string, embedder: Embedder, options: OpenOptions = {}): Promise<ImageIndex> {
    const { load = loadPicture, create = true, rebuild = false, exactPictures = EXACT_PICTURES } = options;
    const index = new ImageIndex(resolve(indexDir), embedder, load, Math.max(exactPictures, MIN_TRAINING));
    if (!create) await ImageIndex.check(index.dir);
    const manifest = await readManifest(index.dir);
    if (manifest && rebuild) await index.#rebuild();
    else await index.#current();
    return index;
  }

  /** Throws a UsageError where there is no index, without the model that {@link open} wants. */
  static async check(indexDir: string): Promise<void> {
    if (!(await readManifest(resolve(indexDir))))
      throw new UsageError(
        `${resolve(indexDir)}: expected an image index, found none; make one with: internvl index FOLDER`,
      );
  }

  /**
   * Brings the index in line with the folders, by default with all it knows; a new folder is added to it. Only new
   * and changed files are read (by size, time and then contents); moved ones keep their embeddings; gone ones
   * leave; broken ones are remembered with the reason until they change. Of the known folders, those that are not there
   * now are reported as problems and keep their pictures. Commits as it goes: a killed update continues where it was. Memory: 50 to 100 bytes a file, and the pictures in work.
   */
  async update(folders?: string | readonly string[], options: UpdateOptions = {}): Promise<UpdateResult> {
    const { signal, onProgress, retryFailed = false } = options;
    signal?.throwIfAborted();
    const limits = { ...UPDATE_LIMITS, ...options.limits };
    for (const [name, value] of Object.entries(limits)) checkWhole(name, value, 1, Number.MAX_SAFE_INTEGER);
    const given = folders === undefined ? undefined : await checkFolders([folders].flat(), this.dir);
    await mkdir(this.dir, { recursive: true });
    await using lock = await FolderLock.acquire(this.dir);
    const current = (await this.#current()) ?? (await this.#create());
    const { table } = current;
    const roots = current.manifest.folders;
    const known = given ? undefined : await presentFolders(roots, this.dir);
    const scope = outermost(given ?? known!.present);
    const added = scope.filter((f) => !roots.some((r) => isUnder(f, r)));
    const manifest = { ...current.manifest, folders: [...roots, ...added] };
    if (added.length > 0) await writeManifest(this.dir, manifest);
    const meter = new ProgressMeter(onProgress, () => performance.now());
    const { embedder, load } = this;
    const skip = new Set([this.dir, await realpath(this.dir)]);
    const result = await runUpdate({
      ...{
        table,
        lock,
        embedder,
        load,
        folders: scope,
        missing: known?.missing ?? [],
        skip,
        limits,
        meter,
        signal,
        retryFailed,
      },
    });
    meter.start("optimize");
    await this.#optimize({ manifest, table });
    meter.start("done", 0);
    return result;
  }

  /** Takes a folder out of the index; pictures that lie in another of its folders stay. The files are not touched. */
  async remove(folder: string): Promise<void> {
    await this.#require();
    await using lock = await FolderLock.acquire(this.dir);
    const { manifest, table } = await this.#require();
    const names = new Set([resolve(folder), await realpath(folder).catch(() => resolve(folder))]);
    const rest = manifest.folders.filter((f) => !names.has(f));
    const removed = manifest.folders.find((f) => names.has(f));
    if (removed === undefined)
      throw new UsageError(
        `${folder}: expected a folder of the index, found none of that name; its folders are ${manifest.folders.join(", ") || "none"}`,
      );
    // A folder around this one keeps everything; folders inside it keep their part.
    if (!rest.some((f) => isUnder(removed, f))) {
      const kept = rest.filter((f) => isUnder(f, removed)).map((f) => `NOT ${under(f)}`);
      await lock.verify();
      await table.delete(allOf(under(removed), ...kept)!);
    }
    await writeManifest(this.dir, { ...manifest, folders: rest });
    await table.tidy();
  }

  /**
   * The best results first, equal ones by path. Empty while nothing is indexed. Throws a UsageError for a query that
   * cannot be, a MediaError for an unusable query picture.
   */
  async search(
    query: SearchQuery & ResultOptions & { readonly signal?: AbortSignal },
  ): Promise<SearchResult[]> {
    const vector = await embedQuery(query, this.embedder, this.load);
    const current = await this.#current();
    return current ? this.#rank(current, vector, query) : [];
  }

  /** Results like the picture at `path`, which is in the index and is left out itself. */
  async moreLikeThis(path: string, options: ResultOptions = {}): Promise<SearchResult[]> {
    const current = await this.#require();
    const row = await this.#row(current.table, path);
    if (!row?.vector) throw this.#notIndexed(path);
    return this.#rank(current, row.vector, options, `path <> ${quote(row.path)}`);
  }

  /** The picture at `path`, or undefined when it is not in the index. */
  async get(path: string): Promise<IndexedImage | undefined> {
    const current = await this.#current();
    const row = current && (await this.#row(current.table, path));
    return row?.vector ? toImage(row, current!.manifest.folders) : undefined;
  }

  /** Pictures sorted by path, a page at a time. */
  async list(options: PageOptions = {}): Promise<IndexedImage[]> {
    const { rows, folders } = await this.#page(options, "error IS NULL");
    return rows.map((r) => toImage(r, folders));
  }

  /** Files that could not be indexed, sorted by path, a page at a time. */
  async failures(options: PageOptions = {}): Promise<Failure[]> {
    const { rows } = await this.#page(options, "error IS NOT NULL");
    return rows.map((r) => ({ path: r.path, reason: r.error! }));
  }

  /** The indexed folders, as absolute real paths. */
  async folders(): Promise<readonly string[]> {
    return (await this.#current())?.manifest.folders ?? [];
  }

  async stats(): Promise<IndexStats> {
    const current = await this.#current();
    const count = async (...where: string[]) => {
      const total = (await current?.table.count(allOf(...where))) ?? 0;
      const failed = (await current?.table.count(allOf(...where, "error IS NOT NULL"))) ?? 0;
      return { images: total - failed, failed };
    };
    const folders = [];
    for (const path of current?.manifest.folders ?? []) folders.push({ path, ...(await count(under(path))) });
    const all = await count();
    return {
      ...all,
      folders,
      model: this.embedder.id,
      dimension: this.embedder.dimension,
      exact: !current || this.#isExact(current.manifest, all.images + all.failed),
    };
  }

  /** Bytes of the index on disk, thumbnails included. Looks at every file: not for every request. */
  sizeBytes(): Promise<number> {
    return bytesBelow(this.dir);
  }

  /**
   * The picture at `path`, checked to be what may be shown to whoever may search: in the index, and still at its
   * place, not reached through a link that was put there later. Throws a UsageError otherwise.
   */
  async original(path: string): Promise<IndexedImage> {
    const image = await this.get(path);
    if (!image || !(await isInPlace(image.path))) throw this.#notIndexed(path);
    return image;
  }

  /** A WebP thumbnail, at most `size` × `size` pixels (default: THUMBNAIL_SIZE), of what {@link original} allows. */
  async thumbnail(path: string, size?: number): Promise<Uint8Array> {
    const image = await this.original(path);
    return this.#thumbnails.get(image.path, image.contentHash, size, recordedLimits(image));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const open = this.#open;
    this.#open = undefined;
    await this.#thumbnails.settled();
    (await open?.table)?.close();
  }

  async #rank(
    { manifest, table }: Current,
    vector: Float32Array,
    { k = 20, offset = 0, folder }: ResultOptions,
    condition?: string,
  ): Promise<SearchResult[]> {
    checkWhole("k", k, 1, MAX_RESULTS);
    checkWhole("offset", offset, 0, MAX_RESULTS);
    checkWhole("offset + k", offset + k, 1, MAX_RESULTS);
    const where = allOf(await below(folder), condition);
    const exact = this.#isExact(manifest, await table.count(where));
    const rows = await rank(table, vector, { count: offset + k, where, exact });
    return rows.slice(offset).map(({ distance, ...row }) => ({
      ...toImage(row, manifest.folders),
      score: Math.min(1, Math.max(-1, 1 - distance)),
    }));
  }

  /** `rows`: those that a search would compare. */
  #isExact({ trainedOn }: Manifest, rows: number): boolean {
    return trainedOn === 0 || rows <= this.exactPictures;
  }

  async #page(
    { after, limit = 100, folder }: PageOptions,
    condition: string,
  ): Promise<{ rows: Row[]; folders: readonly string[] }> {
    checkWhole("limit", limit, 1, MAX_PAGE);
    const current = await this.#current();
    if (!current) return { rows: [], folders: [] };
    const where = allOf(await below(folder), condition);
    return { rows: await current.table.page(limit, after, where), folders: current.manifest.folders };
  }

  async #row(table: ImageTable, path: string): Promise<Row | undefined> {
    return (await table.rowsWhere(`path = ${quote(resolve(path))}`))[0];
  }

  #notIndexed(path: string): UsageError {
    return new UsageError(
      `${path}: expected a picture of the index ${this.dir}, found no such one; update the index`,
    );
  }

  async #current(): Promise<Current | undefined> {
    const manifest = await readManifest(this.dir);
    if (!manifest) return undefined;
    checkModel(this.dir, manifest, this.embedder);
    return { manifest, table: await this.#table(manifest, "existing") };
  }

  async #require(): Promise<Current> {
    const current = await this.#current();
    if (!current)
      throw new UsageError(`${this.dir}: expected an image index, found none; add a folder first`);
    return current;
  }

  #table({ table: name, dimension }: Manifest, mode: "existing" | "create"): Promise<ImageTable> {
    if (this.#open?.name !== name || mode === "create") {
      const table = ImageTable.open(this.dir, name, dimension, mode);
      this.#open = { name, table };
      table.catch(() => {
        if (this.#open?.table === table) this.#open = undefined;
      });
    }
    return this.#open.table;
  }

  /** An empty index; its lock is held. The manifest comes last: without it there is no index. */
  async #create(table = "images-1", folders: string[] = []): Promise<Current> {
    const { id: model, dimension } = this.embedder;
    const manifest: Manifest = { format: 1, model, dimension, table, folders, trainedOn: 0 };
    const created = await this.#table(manifest, "create");
    await writeManifest(this.dir, manifest);
    await created.dropOthers();
    return { manifest, table: created };
  }

  async #rebuild(): Promise<void> {
    await using _lock = await FolderLock.acquire(this.dir);
    const old = await readManifest(this.dir);
    if (old) await this.#create(nextTable(old.table), old.folders);
  }

  async #optimize({ manifest, table }: Current): Promise<void> {
    const pictures = await table.count("error IS NULL");
    if (pictures > this.exactPictures && pictures > RETRAIN_FACTOR * manifest.trainedOn) {
      await table.buildVectorIndex(pictures);
      await writeManifest(this.dir, { ...manifest, trainedOn: pictures });
    }
    await table.tidy();
  }
}
