import { mkdir, stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { UsageError } from "../core/errors.ts";
import { FolderLock, LockHeldError } from "../core/folder-lock.node.ts";
import { readShards } from "../weights/sharded.node.ts";
import { HubCache } from "./hub-cache.node.ts";
import { explained, offlineError } from "./hub-errors.ts";
import { type HubFetch, HubStatusError, hubFetch, NetworkError } from "./hub-fetch.node.ts";
import { type HubName, parseHubName, repositoryOf } from "./hub-name.ts";
import { checkDescriptions, neededFiles, shardEnding, shardsAmong } from "./needed-files.node.ts";
import type { Environment } from "./proxy.node.ts";
import { addressOf, type HubFile, type Repository, readRepository } from "./repository.node.ts";
import { type HubSettings, hubSettings } from "./settings.node.ts";
import { partialOf, transfer } from "./transfer.node.ts";

export interface DownloadProgress {
  /** "waiting" for another process that downloads the same model. */
  readonly phase: "downloading" | "waiting";
  /** Bytes that are here, and bytes in all. */
  readonly done: number;
  readonly total: number;
  /** The file that comes now. */
  readonly file: string;
}

export interface DownloadOptions {
  /** Use only what is in the cache; default: as HF_HUB_OFFLINE says. */
  readonly offline?: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: DownloadProgress) => void;
  /** Told when the hub cannot be reached and the model of an earlier time is used. */
  readonly onNote?: (note: string) => void;
  /** Where the hub's settings are taken from; default: the process's environment. */
  readonly environment?: Environment;
  /** Longest silence of the hub, in milliseconds; default 30,000, or 10,000 where there is a model to fall back on. */
  readonly timeoutMs?: number;
  /** Wait before a broken download is taken up again, in milliseconds; doubled each time; default 1,000. */
  readonly retryMs?: number;
}

const WAIT_MS = 500;
/** Of the disk, for others. */
const SPARE_BYTES = 64 * 2 ** 20;

/**
 * The folder with a model of the Hugging Face hub, for `loadChatModel` and `loadEmbedder`: OWNER/NAME[@REVISION], or the
 * path of one file, OWNER/NAME/FILE.gguf[@REVISION]. What is missing is downloaded into the cache that the hub's tools
 * share, only what loading needs, checked by size and hash; an earlier download that stopped is gone on with. The same
 * environment variables apply (HF_TOKEN, HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_HUB_OFFLINE). Without a network the model
 * of the last time is used. Throws a UsageError or CheckpointError that says what to do, or the signal's reason.
 */
export async function downloadModel(name: string, options: DownloadOptions = {}): Promise<string> {
  const parsed = parseHubName(name);
  if (parsed === undefined)
    throw new UsageError(
      `${name}: expected a model's name on the hub as OWNER/NAME, OWNER/NAME@REVISION or OWNER/NAME/FILE.gguf`,
    );
  const settings = await hubSettings(options.environment ?? process.env);
  const cache = new HubCache(settings.cacheDir, parsed);
  const pathIn = (snapshot: string) => (parsed.file === undefined ? snapshot : join(snapshot, parsed.file));
  const cached = await cache.complete(parsed);
  const isOffline = options.offline ?? settings.offline;
  // A commit does not change.
  const isPinned = (await cache.commitOf(parsed.revision)) === parsed.revision;
  if (cached !== undefined && (isOffline || isPinned)) return pathIn(cached);
  if (isOffline) throw offlineError(parsed, settings.cacheDir);
  try {
    const timeoutMs = options.timeoutMs ?? (cached === undefined ? 30_000 : 10_000);
    return pathIn(await new Download(parsed, settings, cache, { ...options, timeoutMs }).run());
  } catch (error) {
    if (options.signal?.aborted) throw options.signal.reason;
    const isAway = error instanceof NetworkError || (error instanceof HubStatusError && error.passing);
    if (!isAway || cached === undefined) throw explained(error, parsed, settings);
    options.onNote?.(`${name}: the hub is not there (${error.message}); using the model of the last time`);
    return pathIn(cached);
  }
}

/** One model on its way into the cache. */
class Download {
  readonly #fetch: HubFetch;
  #done = 0;
  #total = 0;

  constructor(
    private readonly name: HubName,
    private readonly settings: HubSettings,
    private readonly cache: HubCache,
    private readonly options: DownloadOptions & { readonly timeoutMs: number },
  ) {
    const { timeoutMs, signal } = options;
    this.#fetch = hubFetch({ ...settings, timeoutMs, signal });
  }

  /** The snapshot's folder. */
  async run(): Promise<string> {
    const repository = await readRepository(this.settings.endpoint, this.name, this.#fetch);
    const { commit } = repository;
    const { descriptions, weights, index } = neededFiles(this.name, repository);
    checkDescriptions(this.name, descriptions);
    await this.#bring(repository, [...descriptions, ...weights]);
    if (index !== undefined) {
      const shards = await readShards(join(this.cache.snapshot(commit), index), shardEnding(index));
      await this.#bring(repository, shardsAmong(repository, shards, repositoryOf(this.name)));
    }
    // Last: until then the name leads to what was complete before.
    await this.cache.setCommit(this.name.revision, commit).catch((error: unknown) => {
      if (!isReadOnly(error)) throw error;
    });
    return this.cache.snapshot(commit);
  }

  /** Puts files into the snapshot that are not there yet. */
  async #bring(repository: Repository, files: readonly HubFile[]): Promise<void> {
    if ((await this.#missing(repository, files)).length === 0) return;
    await using _ = await this.#lock();
    // Another process may have brought some.
    const missing = await this.#missing(repository, files);
    const here = await Promise.all(missing.map((file) => this.#bytesOf(file)));
    const left = missing.reduce((sum, { size }, i) => sum + size - here[i]!, 0);
    await this.#checkRoom(left);
    this.#done = 0;
    this.#total = missing.reduce((sum, { size }) => sum + size, 0);
    for (const file of missing) {
      if (!(await this.cache.hasBlob(file))) await this.#transfer(repository.commit, file);
      await this.cache.link(repository.commit, file);
      this.#done += file.size;
    }
  }

  async #missing({ commit }: Repository, files: readonly HubFile[]): Promise<HubFile[]> {
    const present = await Promise.all(files.map((file) => this.cache.has(commit, file)));
    return files.filter((_, i) => !present[i]);
  }

  #transfer(commit: string, file: HubFile): Promise<void> {
    const { signal, retryMs = 1_000 } = this.options;
    const url = addressOf(this.settings.endpoint, this.name, commit, file.path);
    return transfer(url, file, this.cache.blob(file), {
      fetch: this.#fetch,
      signal,
      retryMs,
      onBytes: (here) => this.#report("downloading", file.path, here),
    });
  }

  #report(phase: DownloadProgress["phase"], file: string, here: number): void {
    this.options.onProgress?.({ phase, done: this.#done + here, total: this.#total, file });
  }

  /** Bytes of a file that need not be downloaded. */
  async #bytesOf(file: HubFile): Promise<number> {
    if (await this.cache.hasBlob(file)) return file.size;
    const partial = await stat(partialOf(this.cache.blob(file))).catch(() => undefined);
    return Math.min(file.size, partial?.size ?? 0);
  }

  /** One process at a time writes a repository; the others wait. */
  async #lock(): Promise<FolderLock> {
    const { lockFolder } = this.cache;
    const { signal } = this.options;
    await mkdir(lockFolder, { recursive: true });
    for (;;) {
      try {
        return await FolderLock.acquire(lockFolder);
      } catch (error) {
        if (!(error instanceof LockHeldError)) throw error;
      }
      this.#report("waiting", "another process downloads it", 0);
      await sleep(WAIT_MS, undefined, signal ? { signal } : {});
    }
  }

  async #checkRoom(bytes: number): Promise<void> {
    const { cacheDir } = this.settings;
    const { bavail, bsize } = await statfs(cacheDir);
    const free = bavail * bsize;
    if (bytes + SPARE_BYTES <= free) return;
    const mib = (n: number) => `${Math.ceil(n / 2 ** 20).toLocaleString("en-US")} MiB`;
    throw new UsageError(
      `${repositoryOf(this.name)}: ${mib(bytes)} are to be downloaded, and the disk of ${cacheDir} has ${mib(free)} free; make room, or set HF_HUB_CACHE to a folder on another disk`,
    );
  }
}

const isReadOnly = (error: unknown): boolean =>
  ["EACCES", "EROFS", "EPERM"].includes((error as NodeJS.ErrnoException).code ?? "");
