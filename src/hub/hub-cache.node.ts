import {
  constants,
  copyFile,
  mkdir,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { TOKENIZER_FILES } from "../text/tokenizer.node.ts";
import { chooseWeights } from "../weights/open-checkpoint.node.ts";
import { readShards } from "../weights/sharded.node.ts";
import type { HubName } from "./hub-name.ts";
import { isIndex, shardEnding } from "./needed-files.node.ts";
import type { HubFile } from "./repository.node.ts";

const COMMIT = /^[0-9a-f]{40}$/;
const NO_LINKS: ReadonlySet<string | undefined> = new Set(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"]);

/**
 * A repository's part of the hub's cache, in the layout that the hub's tools share: `blobs` by their hashes, `snapshots` of
 * commits with links to them, `refs` from branches and tags to commits.
 */
export class HubCache {
  readonly #folder: string;
  /** A folder for what tells other processes that this repository is being written. */
  readonly lockFolder: string;

  constructor(cacheDir: string, { owner, name }: HubName) {
    const folder = `models--${owner}--${name}`;
    this.#folder = join(cacheDir, folder);
    this.lockFolder = join(cacheDir, ".locks", folder);
  }

  snapshot(commit: string): string {
    return join(this.#folder, "snapshots", commit);
  }

  blob({ digest }: HubFile): string {
    return join(this.#folder, "blobs", digest);
  }

  /** Whether the snapshot has the file in its full size. */
  async has(commit: string, file: HubFile): Promise<boolean> {
    return (await sizeOf(join(this.snapshot(commit), file.path))) === file.size;
  }

  async hasBlob(file: HubFile): Promise<boolean> {
    return (await sizeOf(this.blob(file))) === file.size;
  }

  /** Puts a blob that is here into the snapshot. */
  async link(commit: string, file: HubFile): Promise<void> {
    const blob = this.blob(file);
    const link = join(this.snapshot(commit), file.path);
    await mkdir(dirname(link), { recursive: true });
    await rm(link, { force: true });
    try {
      await symlink(relative(dirname(link), blob), link);
    } catch (error) {
      if (!NO_LINKS.has((error as NodeJS.ErrnoException).code)) throw error;
      // Windows without the right to make links: a copy, which costs no room where the disk can share it.
      await copyFile(blob, link, constants.COPYFILE_FICLONE);
    }
  }

  /** The commit that a branch, tag or commit led to last; undefined when that is not known. */
  async commitOf(revision: string): Promise<string | undefined> {
    if (COMMIT.test(revision)) return revision;
    const text = await readFile(join(this.#folder, "refs", revision), "utf8").catch(() => "");
    return COMMIT.test(text.trim()) ? text.trim() : undefined;
  }

  /** Notes what a branch or tag leads to. */
  async setCommit(revision: string, commit: string): Promise<void> {
    if ((await this.commitOf(revision)) === commit) return;
    const file = join(this.#folder, "refs", revision);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, commit);
  }

  /**
   * The snapshot that a name led to last, if what a model needs is in it: the one file, or weights with all their shards
   * and a tokenizer. Smaller files are downloaded before these.
   */
  async complete({ revision, file }: HubName): Promise<string | undefined> {
    const commit = await this.commitOf(revision);
    if (commit === undefined) return undefined;
    const folder = this.snapshot(commit);
    if (file !== undefined) return (await sizeOf(join(folder, file))) === undefined ? undefined : folder;
    return (await isWhole(folder)) ? folder : undefined;
  }
}

/** Size in bytes of a file, of what a link leads to; undefined where there is none. */
const sizeOf = async (path: string): Promise<number | undefined> =>
  (await stat(path).catch(() => undefined))?.size;

async function isWhole(folder: string): Promise<boolean> {
  const names = await readdir(folder).catch(() => []);
  if (!names.some((name) => TOKENIZER_FILES.includes(name))) return false;
  try {
    const weights = chooseWeights(names, "");
    const shards = isIndex(weights) ? await readShards(join(folder, weights), shardEnding(weights)) : [];
    const sizes = await Promise.all([weights, ...shards].map((name) => sizeOf(join(folder, name))));
    return sizes.every((size) => size !== undefined);
  } catch {
    return false;
  }
}
