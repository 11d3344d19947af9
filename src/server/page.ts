import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { extname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { UsageError } from "../core/errors.ts";

export interface PageFile {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly type: string;
  readonly etag: string;
  /** Its name holds a hash of its contents. */
  readonly immutable: boolean;
}

/** The built page, in memory: a request can only name a file that is in this table. */
export interface Page {
  /** By URL path; "/" is index.html. */
  readonly files: ReadonlyMap<string, PageFile>;
}

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".json": "application/json",
  ".webmanifest": "application/manifest+json",
};

const PACKAGE_ROOT = fileURLToPath(new URL("../..", import.meta.url));

/**
 * The page as vite built it. A published package brings it along; a clone builds it when it is missing or older
 * than its sources, which takes about a second.
 */
export async function loadPage(root: string = PACKAGE_ROOT): Promise<Page> {
  const dir = join(root, "dist", "web");
  // Published packages have no vite.config.ts.
  if (existsSync(join(root, "vite.config.ts"))) {
    const { buildPage } = await import("./page-build.ts");
    await buildPage(root, dir);
  }
  return readPage(dir);
}

/** Reads a built page from its folder. */
export async function readPage(dir: string): Promise<Page> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true }).catch(() => []);
  const files = new Map<string, PageFile>();
  for (const entry of entries) {
    const type = TYPES[extname(entry.name)];
    if (!entry.isFile() || !type) continue;
    const path = join(entry.parentPath, entry.name);
    const url = `/${relative(dir, path).split(sep).join("/")}`;
    const bytes = new Uint8Array(await readFile(path));
    const etag = `"${createHash("sha256").update(bytes).digest("base64url").slice(0, 22)}"`;
    files.set(url === "/index.html" ? "/" : url, {
      bytes,
      type,
      etag,
      immutable: url.startsWith("/assets/"),
    });
  }
  if (!files.has("/"))
    throw new UsageError(
      `${dir}: the page is not there; in a clone run npm ci, otherwise install the package again`,
    );
  return { files };
}
