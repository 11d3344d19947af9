import { randomUUID } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { MediaError, UsageError } from "../core/errors.ts";
import { contentHash, readNamedFile } from "./picture.ts";
import { limiter } from "./stream.ts";

export interface ThumbnailOptions {
  /** Largest sum of the files in the cache; the longest unused ones leave. */
  readonly cacheBytes?: number;
  /** Pictures that are decoded at once. */
  readonly concurrency?: number;
  /** Largest file and largest width × height that are decoded where a request does not say. */
  readonly maxBytes?: number;
  readonly maxPixels?: number;
}

type Limits = Required<Pick<ThumbnailOptions, "maxBytes" | "maxPixels">>;

/** Longer side in pixels where none is asked for: sharp in a grid on a dense screen, 10 to 20 kB. */
export const THUMBNAIL_SIZE = 320;
const MIN_SIZE = 16;
const MAX_SIZE = 1024;

const DEFAULTS = { cacheBytes: 256 * 2 ** 20, concurrency: 2, maxBytes: 128 * 2 ** 20, maxPixels: 64e6 };
/** When the cache is full it is emptied to this part, not file by file. */
const KEPT_PART = 0.9;
const QUALITY = 78;
const DRAFT = ".part";
/** An unfinished file this old is left over from a crash. */
const DRAFT_MS = 3_600_000;

/**
 * Small WebP pictures, made on request and kept in a folder under the hash of the original's contents and the size,
 * so that a changed picture never shows its old face. Upright (EXIF), alpha on white, never enlarged.
 */
export class Thumbnails {
  readonly #options: Required<ThumbnailOptions>;
  readonly #run: ReturnType<typeof limiter>;
  /** Cached files and their bytes, the longest unused first; read from the folder at the first request. */
  #cached: Promise<Map<string, number>> | undefined;
  #cachedBytes = 0;
  readonly #making = new Map<string, Promise<Uint8Array>>();

  constructor(
    private readonly dir: string,
    options: ThumbnailOptions = {},
  ) {
    this.#options = { ...DEFAULTS, ...options };
    this.#run = limiter(this.#options.concurrency);
  }

  /**
   * A WebP picture of at most `size` × `size` pixels of the file at `path`, whose contents had the hash `hash` when
   * last seen, within `limits`. Throws a UsageError for an impossible size, a MediaError for an unusable picture.
   */
  async get(
    path: string,
    hash: string,
    size = THUMBNAIL_SIZE,
    limits: Limits = this.#options,
  ): Promise<Uint8Array> {
    if (!Number.isInteger(size) || size < MIN_SIZE || size > MAX_SIZE)
      throw new UsageError(
        `thumbnail size: expected a whole number from ${MIN_SIZE} to ${MAX_SIZE}, found ${size}`,
      );
    this.#cached ??= this.#readCache().catch((e: unknown) => {
      this.#cached = undefined;
      throw e;
    });
    const cached = await this.#cached;
    const hit = await this.#read(cached, nameOf(hash, size));
    if (hit) return hit;
    const request = `${size} ${path}`;
    let making = this.#making.get(request);
    if (!making) {
      making = this.#run(() => this.#make(cached, path, size, limits)).finally(() =>
        this.#making.delete(request),
      );
      this.#making.set(request, making);
    }
    return making;
  }

  /** Waits for those that are being made, also where nobody wants them any more: then nothing is written to the folder. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#making.values());
  }

  async #make(
    cached: Map<string, number>,
    path: string,
    size: number,
    { maxBytes, maxPixels }: Limits,
  ): Promise<Uint8Array> {
    const bytes = await readNamedFile(path, maxBytes);
    const name = nameOf(await contentHash(bytes), size);
    const hit = await this.#read(cached, name); // The index's hash was out of date.
    if (hit) return hit;
    const { openPicture } = await import("../vision/decode.node.ts");
    const { pipeline } = await openPicture(bytes, { maxBytes, maxPixels, vectorSide: size });
    const thumbnail = await pipeline
      .resize(size, size, { fit: "inside", withoutEnlargement: true })
      .toColourspace("srgb") // CMYK pictures arrive as such, which WebP cannot hold.
      .webp({ quality: QUALITY })
      .toBuffer()
      .catch((e: unknown) => {
        throw new MediaError(`${path}: expected a complete picture, found it damaged (${e}); save it again`, {
          cause: e,
        });
      });
    await this.#keep(cached, name, thumbnail);
    return thumbnail;
  }

  async #read(cached: Map<string, number>, name: string): Promise<Uint8Array | undefined> {
    const bytes = cached.get(name);
    if (bytes === undefined) return undefined;
    const file = join(this.dir, name);
    try {
      const contents = await readFile(file);
      // Newest last, in the map and, for the next start, in the folder.
      if (cached.delete(name)) cached.set(name, bytes);
      const now = new Date();
      await utimes(file, now, now);
      return contents;
    } catch {
      // Somebody removed it: it is made again.
      if (cached.delete(name)) this.#cachedBytes -= bytes;
      return undefined;
    }
  }

  async #keep(cached: Map<string, number>, name: string, thumbnail: Uint8Array): Promise<void> {
    const draft = join(this.dir, `${randomUUID()}${DRAFT}`);
    await writeFile(draft, thumbnail);
    await rename(draft, join(this.dir, name));
    this.#cachedBytes += thumbnail.length - (cached.get(name) ?? 0);
    cached.delete(name);
    cached.set(name, thumbnail.length);
    if (this.#cachedBytes <= this.#options.cacheBytes) return;
    for (const [oldest, bytes] of cached) {
      if (this.#cachedBytes <= this.#options.cacheBytes * KEPT_PART) break;
      cached.delete(oldest);
      this.#cachedBytes -= bytes;
      await rm(join(this.dir, oldest), { force: true });
    }
  }

  async #readCache(): Promise<Map<string, number>> {
    await mkdir(this.dir, { recursive: true });
    const files: { name: string; bytes: number; usedMs: number }[] = [];
    for (const name of await readdir(this.dir)) {
      const file = join(this.dir, name);
      const found = await stat(file).catch(() => undefined);
      if (!found?.isFile()) continue;
      if (!name.endsWith(DRAFT)) files.push({ name, bytes: found.size, usedMs: found.mtimeMs });
      else if (Date.now() - found.mtimeMs > DRAFT_MS) await rm(file, { force: true });
    }
    files.sort((a, b) => a.usedMs - b.usedMs);
    this.#cachedBytes = files.reduce((sum, f) => sum + f.bytes, 0);
    return new Map(files.map((f) => [f.name, f.bytes]));
  }
}

const nameOf = (hash: string, size: number): string => `${hash}-${size}.webp`;
