import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, mkdir, open, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { CheckpointError, UsageError } from "../core/errors.ts";
import { HostileAnswerError, type HubFetch, HubStatusError, NetworkError } from "./hub-fetch.node.ts";
import type { HubFile } from "./repository.node.ts";

export interface TransferOptions {
  readonly fetch: HubFetch;
  readonly signal: AbortSignal | undefined;
  /** Before the first new attempt; each further wait is twice as long. */
  readonly retryMs: number;
  /** Bytes of the file that are here, those of earlier runs included. */
  readonly onBytes: (here: number) => void;
}

/** Attempts in a row that bring nothing. */
const ATTEMPTS = 5;
const SYNCED_BYTES = 2 ** 20;

/** Where a file grows. Not the name that other tools use: they may be writing at the same time. */
export const partialOf = (blob: string): string => `${blob}.internvl-incomplete`;

/**
 * Downloads `url` to `blob`, which appears when its size and hash are those of `file`, and not before. What an earlier run
 * left is gone on with; a lost connection is taken up again where it broke. Throws a NetworkError, a HubStatusError, a
 * HostileAnswerError, a CheckpointError for other contents than announced, or a UsageError when the disk is full.
 */
export async function transfer(
  url: string,
  file: HubFile,
  blob: string,
  options: TransferOptions,
): Promise<void> {
  const partial = partialOf(blob);
  await mkdir(dirname(blob), { recursive: true });
  // Contents that do not fit may be an earlier run's fault: once more from the beginning.
  for (let clean = (await sizeOf(partial)) === 0; ; clean = true) {
    const digest = await fetchInto(partial, url, file, options);
    if (digest === file.digest) break;
    await rm(partial, { force: true });
    if (clean)
      throw new CheckpointError(
        `${file.path}: expected contents with ${file.algorithm} ${file.digest}, found ${digest}; the hub or something on the way changed them: try again, or without a mirror (HF_ENDPOINT)`,
      );
  }
  await rename(partial, blob);
}

const sizeOf = async (path: string): Promise<number> => (await stat(path).catch(() => undefined))?.size ?? 0;

/** Brings the file at `path` to its full size; its hash, in hexadecimal. */
async function fetchInto(
  path: string,
  url: string,
  file: HubFile,
  options: TransferOptions,
): Promise<string> {
  let growing = await Growing.open(path, file);
  try {
    for (let failures = 0; growing.size < file.size; ) {
      const before = growing.size;
      options.onBytes(before);
      try {
        const response = await options.fetch(url, {
          // Compressed on the way, ranges would be those of something else.
          headers: { "Accept-Encoding": "identity", ...(before > 0 && { Range: `bytes=${before}-` }) },
        });
        if (!continues(response, before)) growing = await growing.restart();
        for await (const chunk of response.body ?? []) {
          await growing.append(chunk);
          options.onBytes(growing.size);
        }
        if (growing.size < file.size) throw new NetworkError(`${new URL(url).host} closed the connection`);
      } catch (error) {
        // What is here is not part of the file that is there.
        if (error instanceof HubStatusError && error.status === 416 && before > 0) {
          growing = await growing.restart();
          continue;
        }
        const passes = error instanceof NetworkError || (error instanceof HubStatusError && error.passing);
        failures = growing.size > before ? 1 : failures + 1;
        if (!passes || failures >= ATTEMPTS) throw error;
        await sleep(options.retryMs * 2 ** (failures - 1), undefined, signalOf(options));
      }
    }
    return await growing.finish();
  } finally {
    await growing.close();
  }
}

const signalOf = ({ signal }: TransferOptions) => (signal ? { signal } : {});

/** Whether the answer begins at byte `from`; otherwise it is the whole file. */
function continues(response: Response, from: number): boolean {
  if (response.status !== 206) return from === 0;
  const [, start] = /^bytes (\d+)-/.exec(response.headers.get("content-range") ?? "") ?? [];
  if (Number(start) !== from)
    throw new HostileAnswerError(
      `answers bytes ${start ?? "of no range"} where those from ${from} were asked`,
    );
  return true;
}

/** A file that is being written from its beginning, with the hash of what it has. */
class Growing {
  private constructor(
    private readonly path: string,
    private readonly file: HubFile,
    private readonly handle: FileHandle,
    private readonly hash: Hash,
    public size: number,
  ) {}

  /** Goes on with what is at `path`, which is read for its hash. */
  static async open(path: string, file: HubFile): Promise<Growing> {
    const here = await sizeOf(path);
    const hash = createHash(file.algorithm).update(file.prefix);
    if (here === 0 || here > file.size) return new Growing(path, file, await open(path, "w"), hash, 0);
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk);
    return new Growing(path, file, await open(path, "r+"), hash, here);
  }

  async append(chunk: Uint8Array): Promise<void> {
    if (this.size + chunk.byteLength > this.file.size)
      throw new HostileAnswerError(
        `sends more than the ${this.file.size} bytes that were announced of ${this.file.path}`,
      );
    try {
      for (let from = 0; from < chunk.byteLength; ) {
        const { bytesWritten } = await this.handle.write(
          chunk,
          from,
          chunk.byteLength - from,
          this.size + from,
        );
        from += bytesWritten;
      }
    } catch (error) {
      throw (error as NodeJS.ErrnoException).code === "ENOSPC" ? diskFull(this.path, error) : error;
    }
    this.hash.update(chunk);
    this.size += chunk.byteLength;
  }

  async restart(): Promise<Growing> {
    await this.handle.close();
    await rm(this.path, { force: true });
    return Growing.open(this.path, this.file);
  }

  async finish(): Promise<string> {
    // What takes long to download is to outlive a loss of power.
    if (this.size > SYNCED_BYTES) await this.handle.sync();
    return this.hash.digest("hex");
  }

  close(): Promise<void> {
    return this.handle.close();
  }
}

const diskFull = (path: string, cause: unknown): UsageError =>
  new UsageError(
    `${path}: the disk is full; make room and run the same command again, which goes on where it stopped, or set HF_HUB_CACHE to a folder on another disk`,
    { cause },
  );
