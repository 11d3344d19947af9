import { randomUUID } from "node:crypto";
import { link, open, readFile, readlink, rm, stat, utimes } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { UsageError } from "./errors.ts";

const HEARTBEAT_MS = 5_000;
/** Where a process cannot be asked (another computer or container, no /proc), its heartbeat must be this fresh. */
const STALE_MS = 60_000;
const TAKEOVER_MS = 10_000;
const RETRY_MS = 20;
const ATTEMPTS = 10;

const LockFile = z.object({
  /** Becomes part of a file name. */
  token: z.string().regex(/^[\w-]*$/),
  pid: z.number(),
  host: z.string(),
  /** Tells the holder from a later process of the same number; "" where the system does not say. */
  processStart: z.string(),
  /** In which namespace the pid is one; "" where the system does not say. */
  pidNamespace: z.string().default(""),
  since: z.string(),
});
type LockFile = z.infer<typeof LockFile>;

/** The holder of a damaged lock: its age alone decides. */
const UNKNOWN_HOLDER: LockFile = {
  token: "",
  pid: 0,
  host: "?",
  processStart: "",
  pidNamespace: "",
  since: "an unknown time",
};

/** What systems answer that have no hard links. */
const LINKLESS: ReadonlySet<string | undefined> = new Set(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"]);

const codeOf = (e: unknown): string | undefined => (e as NodeJS.ErrnoException).code;

/** Another process is writing to the folder; it may be done in a moment. */
export class LockHeldError extends UsageError {}

/**
 * The right to write to a folder, such as an index: one file in it named `lock` that says who holds it. A lock whose
 * holder is dead is taken over. Reading needs no lock.
 */
export class FolderLock implements AsyncDisposable {
  #released = false;
  readonly #heartbeat: NodeJS.Timeout;

  private constructor(
    private readonly file: string,
    private readonly mine: LockFile,
  ) {
    this.#heartbeat = setInterval(() => {
      const now = new Date();
      // A failing heartbeat is noticed by verify().
      utimes(this.file, now, now).catch(() => {});
    }, HEARTBEAT_MS);
    this.#heartbeat.unref();
  }

  /** Takes the lock of a folder that exists. Throws a LockHeldError that names the holder. */
  static async acquire(folder: string): Promise<FolderLock> {
    const file = join(folder, "lock");
    const mine: LockFile = {
      token: randomUUID(),
      pid: process.pid,
      host: hostname(),
      processStart: await processStart(process.pid),
      pidNamespace: await pidNamespace(),
      since: new Date().toISOString(),
    };
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      if (await createExclusively(file, mine)) return new FolderLock(file, mine);
      const holder = await readLock(file);
      if (holder === undefined) continue; // Released in between.
      if (!(await isStale(file, holder))) throw held(file, holder);
      await takeOver(file, holder);
    }
    throw held(file, await readLock(file));
  }

  /** Throws when the lock was taken away, e.g. because this computer slept: what follows must not be written. */
  async verify(): Promise<void> {
    const now = await readLock(this.file);
    if (now?.token !== this.mine.token)
      throw new UsageError(
        `${this.file}: expected to hold this lock, found ${now ? `it taken over by process ${now.pid} on ${now.host}` : "it removed"}; start again when nothing else writes to this folder`,
      );
  }

  /** Takes the lock again where it was removed and nobody else has it, and verifies it. */
  async renew(): Promise<void> {
    if ((await readLock(this.file)) === undefined) await createExclusively(this.file, this.mine);
    await this.verify();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#released) return;
    this.#released = true;
    clearInterval(this.#heartbeat);
    if ((await readLock(this.file))?.token === this.mine.token) await rm(this.file, { force: true });
  }
}

/**
 * Creates the file with its contents in one step, so that nobody sees a half-written lock: written beside and then
 * linked, which fails where the name is taken.
 */
async function createExclusively(file: string, contents: LockFile): Promise<boolean> {
  const draft = `${file}.${contents.token}`;
  const handle = await open(draft, "wx");
  try {
    await handle.writeFile(JSON.stringify(contents));
  } finally {
    await handle.close();
  }
  try {
    await link(draft, file);
    return true;
  } catch (e) {
    const code = codeOf(e);
    if (code === "EEXIST") return false;
    if (!LINKLESS.has(code)) throw e;
    return await createInPlace(file, contents);
  } finally {
    await rm(draft, { force: true });
  }
}

/** Where there are no hard links the lock is empty for a moment: an empty one is judged by its age. */
async function createInPlace(file: string, contents: LockFile): Promise<boolean> {
  try {
    await using handle = await open(file, "wx");
    await handle.writeFile(JSON.stringify(contents));
    return true;
  } catch (e) {
    if (codeOf(e) === "EEXIST") return false;
    throw e;
  }
}

/** undefined where there is none. Throws a UsageError for something of that name that is not ours to remove. */
async function readLock(file: string): Promise<LockFile | undefined> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (e) {
    if (codeOf(e) === "ENOENT") return undefined;
    throw new UsageError(`${file}: expected a lock file of internvl, found ${codeOf(e)}; move it away`, {
      cause: e,
    });
  }
  if (text !== "" && !text.startsWith("{"))
    throw new UsageError(`${file}: expected a lock file of internvl, found another file; move it away`);
  try {
    return LockFile.parse(JSON.parse(text));
  } catch {
    return UNKNOWN_HOLDER;
  }
}

async function isStale(file: string, holder: LockFile): Promise<boolean> {
  if (holder.host !== hostname()) return isSilent(file);
  // A container of this host: its numbers mean nothing here.
  if (holder.pidNamespace !== "" && holder.pidNamespace !== (await pidNamespace())) return isSilent(file);
  try {
    process.kill(holder.pid, 0);
  } catch (e) {
    if (codeOf(e) === "ESRCH") return true;
  }
  const start = await processStart(holder.pid);
  // A process of that number lives, and nothing tells whether it is the same.
  if (start === "" || holder.processStart === "") return isSilent(file);
  return start !== holder.processStart;
}

async function isSilent(file: string): Promise<boolean> {
  const heartbeat = await stat(file).catch(() => undefined);
  return heartbeat !== undefined && Date.now() - heartbeat.mtimeMs > STALE_MS;
}

/**
 * Removes the lock of `stale` and no other's. A second name for the lock, made of the dead holder's token, gives the
 * right to do so to one process at a time; what that name then leads to tells whether the lock is still the same.
 */
async function takeOver(file: string, stale: LockFile): Promise<void> {
  const name = `${file}.stale-${stale.token}`;
  try {
    await link(file, name);
  } catch (e) {
    const code = codeOf(e);
    if (code === "ENOENT") return;
    if (LINKLESS.has(code)) {
      // Two that take over in the same moment are not kept apart here.
      if ((await readLock(file))?.token === stale.token) await rm(file, { force: true });
      return;
    }
    if (code !== "EEXIST") throw e;
    const other = await stat(name).catch(() => undefined);
    // Making the name set this time; after so long, whoever made it died over it.
    if (other && Date.now() - other.ctimeMs > TAKEOVER_MS) await rm(name, { force: true });
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    return;
  }
  try {
    if ((await readLock(name))?.token === stale.token) await rm(file, { force: true });
  } finally {
    await rm(name, { force: true });
  }
}

/** Where the numbers of processes mean what they mean to this one; "" where the system does not say. */
const pidNamespace = (): Promise<string> => readlink("/proc/self/ns/pid").catch(() => "");

/** Boot and start time of a process on Linux; "" elsewhere or when there is none. */
async function processStart(pid: number): Promise<string> {
  try {
    const status = await readFile(`/proc/${pid}/stat`, "utf8");
    const boot = await readFile("/proc/sys/kernel/random/boot_id", "utf8");
    // The name, in brackets, may hold anything; the start time is the 20th field after it.
    const fields = status.slice(status.lastIndexOf(")") + 2).split(" ");
    return `${boot.trim()}/${fields[19]}`;
  } catch {
    return "";
  }
}

function held(file: string, holder: LockFile | undefined): LockHeldError {
  const who = holder ? `process ${holder.pid} on ${holder.host} since ${holder.since}` : "another process";
  return new LockHeldError(
    `${file}: expected to be the only one writing to this folder, found it held by ${who}; wait for it, or remove the file if that process is none of ours`,
  );
}
