import { z } from "zod";
import { apiFetch, HostileAnswerError, type HubFetch } from "./hub-fetch.node.ts";
import { type HubName, repositoryOf } from "./hub-name.ts";

/** A file of a repository, as the hub announces it. */
export interface HubFile {
  /** With its folders, separated by slashes. */
  readonly path: string;
  readonly size: number;
  readonly algorithm: "sha256" | "sha1";
  /** Hash in hexadecimal; also the name of the file's blob in the cache. */
  readonly digest: string;
  /** What is hashed before the contents: git hashes a header first. */
  readonly prefix: string;
}

/** A repository at one commit. */
export interface Repository {
  /** 40 hexadecimal digits. */
  readonly commit: string;
  readonly files: ReadonlyMap<string, HubFile>;
}

const MAX_FILES = 20_000;
const MAX_PAGES = 50;

const Commit = z.string().regex(/^[0-9a-f]{40}$/);
const Entry = z.object({
  path: z.string(),
  size: z.int().min(0),
  oid: Commit,
  lfs: z.object({ oid: z.string().regex(/^[0-9a-f]{64}$/), size: z.int().min(0) }).optional(),
});

/** Asks the hub what a name leads to. Throws as {@link HubFetch}. */
export async function readRepository(endpoint: string, name: HubName, fetch: HubFetch): Promise<Repository> {
  // It takes a while to load, and who uses what is on the disk needs none of it.
  const { listFiles, modelInfo } = await import("@huggingface/hub");
  let requests = 0;
  const limited: HubFetch = async (input, init) => {
    if (++requests > MAX_PAGES) throw new HostileAnswerError(`lists files on more than ${MAX_PAGES} pages`);
    return apiFetch(fetch)(input, init);
  };
  const asked = { hubUrl: endpoint, fetch: limited as typeof globalThis.fetch };
  const repo = repositoryOf(name);
  const info = await modelInfo({ ...asked, name: repo, revision: name.revision, additionalFields: ["sha"] });
  const commit = checked(Commit, info.sha, "the commit");
  const files = new Map<string, HubFile>();
  let seen = 0;
  for await (const entry of listFiles({ ...asked, repo, revision: commit, recursive: true })) {
    if (++seen > MAX_FILES) throw new HostileAnswerError(`lists more than ${MAX_FILES} files`);
    if (entry.type !== "file") continue;
    const { path, size, oid, lfs } = checked(Entry, entry, "a file");
    files.set(
      path,
      lfs
        ? { path, size: lfs.size, algorithm: "sha256", digest: lfs.oid, prefix: "" }
        : { path, size, algorithm: "sha1", digest: oid, prefix: `blob ${size}\0` },
    );
  }
  return { commit, files };
}

function checked<T>(schema: z.ZodType<T>, value: unknown, what: string): T {
  const { success, data, error } = schema.safeParse(value);
  if (success) return data;
  throw new HostileAnswerError(`describes ${what} in an unknown way: ${z.prettifyError(error)}`);
}

/** Where a file's contents are. */
export const addressOf = (endpoint: string, name: HubName, commit: string, path: string): string =>
  `${endpoint}/${repositoryOf(name)}/resolve/${commit}/${path.split("/").map(encodeURIComponent).join("/")}`;
