import { lstat, opendir } from "node:fs/promises";
import { extname, join } from "node:path";
import { PICTURE_EXTENSIONS } from "../vision/sniff.ts";
import { UNSUPPORTED_EXTENSIONS } from "./unsupported.ts";

export interface FoundFile {
  /** Absolute. */
  readonly path: string;
  readonly size: number;
  readonly mtimeMs: number;
}

/** Something in a folder that could not be looked at. */
export interface Problem {
  readonly path: string;
  readonly reason: string;
}

export interface WalkOptions {
  /** Absolute paths of folders that are left out, e.g. the index's own. */
  readonly skip?: ReadonlySet<string>;
  /** Lower-case, with the dot. Default: {@link PICTURE_EXTENSIONS}. */
  readonly extensions?: ReadonlySet<string>;
  readonly signal?: AbortSignal | undefined;
  /** A folder that cannot be read, wholly or from some point on: what was missed in it is not known. */
  readonly onUnreadableFolder?: (problem: Problem) => void;
  /** A file with the ending of a picture that cannot be decoded; it is passed over. */
  readonly onUnsupported?: (extension: string) => void;
  /** A file that cannot be looked at. */
  readonly onUnreadableFile?: (problem: Problem) => void;
}

/** Folders that hold copies, caches or rubbish instead of somebody's pictures (beside all that begin with a dot). */
const NOISE: ReadonlySet<string> = new Set([
  "node_modules",
  "bower_components",
  "__pycache__",
  "__MACOSX",
  "@eaDir", // Synology's thumbnails
  "#recycle",
  "$RECYCLE.BIN",
  "System Volume Information",
  "lost+found",
]);

/** How many files are looked at together: enough to keep the file system's thread pool busy. */
const STAT_BATCH = 64;

/**
 * All picture files below `root`, as a stream in the file system's order; memory does not grow with the number of
 * files. Links are never followed: what they lead to inside the folder is found anyway, and what is outside does not
 * belong to it; so there are no loops. Files that go while they are looked at are passed over. Throws only the
 * signal's reason.
 */
export async function* walk(
  root: string,
  options: WalkOptions = {},
): AsyncGenerator<FoundFile, void, undefined> {
  const { skip, extensions = PICTURE_EXTENSIONS } = options;
  const folders = [root];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    let batch: string[] = [];
    try {
      for await (const entry of await opendir(folder, { bufferSize: 256 })) {
        options.signal?.throwIfAborted();
        const { name } = entry;
        if (name.startsWith(".")) continue;
        const path = join(folder, name);
        if (entry.isDirectory()) {
          if (!NOISE.has(name) && !skip?.has(path)) folders.push(path);
          continue;
        }
        const extension = extname(name).toLowerCase();
        if (!entry.isFile()) continue;
        if (extensions.has(extension)) batch.push(path);
        else if (UNSUPPORTED_EXTENSIONS.has(extension)) options.onUnsupported?.(extension);
        if (batch.length === STAT_BATCH) {
          yield* await lookAt(batch, options);
          batch = [];
        }
      }
    } catch (e) {
      if (!isFileError(e)) throw e;
      if (e.code !== "ENOENT" || folder === root)
        options.onUnreadableFolder?.({ path: folder, reason: describeFileError(e) });
    }
    yield* await lookAt(batch, options);
  }
}

async function lookAt(paths: readonly string[], options: WalkOptions): Promise<FoundFile[]> {
  const found = await Promise.all(
    paths.map(async (path) => {
      try {
        const s = await lstat(path);
        return s.isFile() ? { path, size: s.size, mtimeMs: s.mtimeMs } : undefined;
      } catch (e) {
        if (!isFileError(e)) throw e;
        // Names that are not UTF-8 arrive with replacement characters and name no file.
        if (e.code === "ENOENT" && path.includes("\uFFFD"))
          options.onUnreadableFile?.({
            path,
            reason: "expected a name in UTF-8, found other bytes; rename the file",
          });
        else if (e.code !== "ENOENT") options.onUnreadableFile?.({ path, reason: describeFileError(e) });
        return undefined;
      }
    }),
  );
  options.signal?.throwIfAborted();
  return found.filter((f) => f !== undefined);
}

/** An error of the file system, as against a defect. */
export const isFileError = (e: unknown): e is NodeJS.ErrnoException =>
  e instanceof Error && typeof (e as NodeJS.ErrnoException).syscall === "string";

const REASONS: Readonly<Record<string, string>> = {
  EACCES: "no permission to read it; change its permissions",
  EPERM: "no permission to read it; change its permissions",
  ENOENT: "it does not exist",
  ENOTDIR: "it is not a folder",
  ELOOP: "it is a symbolic link",
  ENAMETOOLONG: "its path is too long for this system; move it up",
  EMFILE: "too many open files; raise the limit (ulimit -n) or lower the concurrency",
  EIO: "the device reports a read error",
};

/** The reason in words, without the path. */
export const describeFileError = (e: NodeJS.ErrnoException): string =>
  REASONS[e.code ?? ""] ?? `the system reports ${e.code ?? e.message}`;
