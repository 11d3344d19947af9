import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { access, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { ConfigError } from "../../src/core/errors.ts";
import type { DebianSource, NpmSource, Source } from "./sources.ts";

const exec = promisify(execFile);

/** Fetching one archive of at most 161 MB may take this long on a slow line. */
const CLIENT_TIMEOUT_MS = 30 * 60_000;

/**
 * Brings a source to `<dir>/<key>` unpacked and returns that folder. An archive already there with the
 * right digest is not fetched again, a folder already unpacked from it is not touched.
 * Throws ConfigError when the client is missing, fails, or brings other bytes than the pinned ones.
 */
export async function obtain(source: Source, downloads: string, unpacked: string): Promise<string> {
  const target = join(unpacked, source.key);
  const stamp = join(target, ".unpacked");
  const digest = source.kind === "npm" ? source.integrity : source.sha256;
  if ((await readFile(stamp, "utf8").catch(() => "")) === digest) return target;

  await mkdir(downloads, { recursive: true });
  const archive = await findArchive(source, downloads);
  const path = archive ?? (await fetchArchive(source, downloads));
  const found = await digestOf(path, source);
  if (found !== digest) {
    throw new ConfigError(
      `${path}: expected ${source.name} ${source.version} with digest ${digest}, found ${found}; ` +
        `delete the file and run again, the download may have been cut short`,
    );
  }
  await rm(target, { recursive: true, force: true });
  await mkdir(target, { recursive: true });
  if (source.kind === "npm") {
    await run("tar", ["-xzf", path, "-C", target, "--strip-components=1", "--no-same-owner"], downloads);
  } else {
    await run("dpkg-deb", ["-x", path, target], downloads);
  }
  await writeFile(stamp, digest); // last: a folder without it is unpacked afresh
  return target;
}

function fetchArchive(source: Source, downloads: string): Promise<string> {
  return source.kind === "npm" ? npmPack(source, downloads) : aptDownload(source, downloads);
}

async function npmPack(source: NpmSource, downloads: string): Promise<string> {
  await run("npm", ["pack", "--silent", `${source.name}@${source.version}`], downloads);
  return required(source, downloads, "npm pack");
}

/** `apt-get download` knows only the versions of its last `update`; a second try follows one. */
async function aptDownload(source: DebianSource, downloads: string): Promise<string> {
  const args = ["download", `${source.name}=${source.version}`];
  try {
    await run("apt-get", args, downloads);
  } catch (first) {
    if (first instanceof ConfigError && first.cause === "absent") throw first;
    await run("apt-get", ["update"], downloads);
    await run("apt-get", args, downloads);
  }
  return required(source, downloads, "apt-get download");
}

async function required(source: Source, downloads: string, client: string): Promise<string> {
  const path = await findArchive(source, downloads);
  if (path !== undefined) return path;
  throw new ConfigError(`${client} ended well but left no archive of ${source.name} in ${downloads}`);
}

async function findArchive(source: Source, downloads: string): Promise<string | undefined> {
  const name = archiveName(source);
  const file = (await readdir(downloads)).find((entry) => decodeURIComponent(entry) === name);
  return file === undefined ? undefined : join(downloads, file);
}

/** The name the client gives the archive, percent signs decoded. */
export function archiveName(source: Source): string {
  if (source.kind === "debian") return `${source.name}_${source.version}_all.deb`;
  return `${source.name.replace("@", "").replace("/", "-")}-${source.version}.tgz`;
}

async function digestOf(path: string, source: Source): Promise<string> {
  const hash = createHash(source.kind === "npm" ? "sha512" : "sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return source.kind === "npm" ? `sha512-${hash.digest("base64")}` : hash.digest("hex");
}

/** Runs a client without a shell; `cause` is "absent" when the program is not installed. */
async function run(program: string, args: readonly string[], cwd: string): Promise<void> {
  await access(cwd);
  try {
    await exec(program, [...args], { cwd, timeout: CLIENT_TIMEOUT_MS, maxBuffer: 16 << 20 });
  } catch (error) {
    const e = error as NodeJS.ErrnoException & { stderr?: string };
    const hint = HINTS[program] ?? "";
    if (e.code === "ENOENT") {
      throw new ConfigError(`the program ${program} is needed and was not found. ${hint}`, {
        cause: "absent",
      });
    }
    const said = (e.stderr ?? e.message).trim().split("\n").slice(-3).join(" / ");
    throw new ConfigError(`${program} ${args.join(" ")} failed in ${cwd}: ${said}. ${hint}`);
  }
}

const DEBIAN_HINT =
  "openclipart and tuxpaint-stamps come as Debian packages: run on Debian, Ubuntu or in such a container, " +
  "or leave them out with --without openclipart,tuxpaint";

const HINTS: Readonly<Record<string, string>> = {
  npm: "It comes with Node.",
  tar: "Install GNU tar or bsdtar.",
  "apt-get": DEBIAN_HINT,
  "dpkg-deb": DEBIAN_HINT,
};
