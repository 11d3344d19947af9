import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";

/**
 * A stand-in for the Hugging Face hub on this machine, for HF_ENDPOINT: the addresses, headers and redirects by which the
 * hub serves models, after its documentation and what its clients expect. Nothing here was tried against the hub itself.
 */
export interface HubServer extends AsyncDisposable {
  readonly url: string;
  /** "GET /path" of each request, in order; those to the host of contents begin with "cdn ". */
  readonly log: string[];
  /** The Authorization header of each request, "" where there is none. */
  readonly tokens: string[];
  /** Answers in place of the server when it returns true. */
  intercept: ((request: HubRequest, response: ServerResponse) => boolean) | undefined;
  /** Bytes after which the host of contents breaks the connection, once for each entry. */
  readonly cuts: number[];
  commit: string;
}

export interface HubRequest {
  readonly host: "hub" | "cdn";
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
}

export interface StubFile {
  readonly bytes: Buffer;
  /** Stored by its SHA-256, as large files are. */
  readonly lfs: boolean;
}

export type StubRepository = ReadonlyMap<string, StubFile>;

export const STUB_COMMIT = "0123456789abcdef0123456789abcdef01234567";
/** Entries of one page of a listing. */
const PAGE = 3;

export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
export const gitHash = (bytes: Uint8Array): string =>
  createHash("sha1").update(`blob ${bytes.byteLength}\0`).update(bytes).digest("hex");

/** A repository with the files of a folder. */
export async function repositoryOfFolder(folder: string): Promise<Map<string, StubFile>> {
  const names = (await readdir(folder)).sort();
  const files = names.map(async (name): Promise<[string, StubFile]> => {
    const lfs = /\.(safetensors|model|gguf|bin)$/.test(name);
    return [name, { bytes: await readFile(join(folder, name)), lfs }];
  });
  return new Map(await Promise.all(files));
}

/** Serves repositories by "OWNER/NAME". Contents of large files lie on another port, as on another host. */
export async function startHub(repositories: ReadonlyMap<string, StubRepository>): Promise<HubServer> {
  const log: string[] = [];
  const tokens: string[] = [];
  const cuts: number[] = [];
  let cdnUrl = "";
  const passes = (host: "hub" | "cdn", request: IncomingMessage, response: ServerResponse) => {
    const path = request.url ?? "";
    log.push(`${host === "cdn" ? "cdn " : ""}${request.method} ${path}`);
    tokens.push(request.headers.authorization ?? "");
    return !hub.intercept?.({ host, path, headers: request.headers }, response);
  };
  const main = createServer((request, response) => {
    if (passes("hub", request, response)) answer(request, response);
  });
  const contents = createServer((request, response) => {
    if (passes("cdn", request, response)) sendContents(request, response);
  });
  const hub: HubServer = {
    url: await listen(main),
    log,
    tokens,
    cuts,
    intercept: undefined,
    commit: STUB_COMMIT,
    async [Symbol.asyncDispose]() {
      await Promise.all([main, contents].map(close));
    },
  };
  cdnUrl = await listen(contents);
  return hub;

  function answer(request: IncomingMessage, response: ServerResponse): ServerResponse {
    const url = new URL(request.url ?? "", hub.url);
    const [, api, owner, name, verb, revision, file] =
      /^(\/api\/models)?\/([^/]+)\/([^/]+)\/(revision|tree|resolve)\/([^/]+)(?:\/(.+))?$/.exec(
        url.pathname,
      ) ?? [];
    const repo = `${owner}/${name}`;
    const files = repositories.get(repo);
    // To those who do not say who they are, the hub does not tell what exists.
    if (files === undefined)
      return request.headers.authorization
        ? fail(response, 404, "RepoNotFound", "Repository not found")
        : fail(response, 401, "RepoNotFound", "Invalid username or password.");
    if (revision !== "main" && revision !== hub.commit)
      return fail(response, 404, "RevisionNotFound", `Invalid rev id: ${revision}`);
    if (api && verb === "revision")
      return json(response, { _id: "1", id: repo, private: false, gated: false, sha: hub.commit });
    if (api && verb === "tree") return sendTree(url, response, files);
    const found = verb === "resolve" ? files.get(decodeURIComponent(file ?? "")) : undefined;
    if (found === undefined) return fail(response, 404, "EntryNotFound", "Entry not found");
    const headers = { "X-Repo-Commit": hub.commit, "Accept-Ranges": "bytes" };
    if (!found.lfs)
      return sendRange(request, response, found.bytes, { ...headers, ETag: `"${gitHash(found.bytes)}"` });
    const hash = sha256(found.bytes);
    response.writeHead(302, {
      ...headers,
      "X-Linked-Size": found.bytes.byteLength,
      "X-Linked-ETag": `"${hash}"`,
      Location: `${cdnUrl}/${hash}?signature=of-this-request`,
    });
    return response.end();
  }

  function sendTree(url: URL, response: ServerResponse, files: StubRepository): ServerResponse {
    const from = Number(url.searchParams.get("cursor") ?? 0);
    const entries = [
      { type: "directory", oid: "0".repeat(40), size: 0, path: "examples" },
      ...[...files].map(([path, { bytes, lfs }]) => ({
        type: "file",
        oid: lfs ? gitHash(Buffer.from(sha256(bytes))) : gitHash(bytes),
        size: bytes.byteLength,
        path,
        ...(lfs && { lfs: { oid: sha256(bytes), size: bytes.byteLength, pointerSize: 134 } }),
      })),
    ];
    const next = new URL(url);
    next.searchParams.set("cursor", String(from + PAGE));
    const link = from + PAGE < entries.length ? { Link: `<${next.href}>; rel="next"` } : {};
    return json(response, entries.slice(from, from + PAGE), link);
  }

  function sendContents(request: IncomingMessage, response: ServerResponse): ServerResponse {
    const hash = new URL(request.url ?? "", cdnUrl).pathname.slice(1);
    const files = [...repositories.values()].flatMap((repository) => [...repository.values()]);
    const file = files.find(({ bytes, lfs }) => lfs && sha256(bytes) === hash);
    if (file === undefined) return fail(response, 404, "", "no such blob");
    return sendRange(request, response, file.bytes, { ETag: '"of the cdn"' }, cuts.shift());
  }
}

function sendRange(
  request: IncomingMessage,
  response: ServerResponse,
  bytes: Buffer,
  headers: Record<string, string>,
  cut?: number,
): ServerResponse {
  const [, start] = /^bytes=(\d+)-/.exec(request.headers.range ?? "") ?? [];
  const from = Number(start ?? 0);
  const size = bytes.byteLength;
  if (start !== undefined && from >= size) {
    response.writeHead(416, { "Content-Range": `bytes */${size}` });
    return response.end();
  }
  const range = start === undefined ? {} : { "Content-Range": `bytes ${from}-${size - 1}/${size}` };
  response.writeHead(start === undefined ? 200 : 206, {
    ...headers,
    ...range,
    "Content-Length": size - from,
  });
  if (cut === undefined || from + cut >= size) return response.end(bytes.subarray(from));
  response.write(bytes.subarray(from, from + cut), () => response.destroy());
  return response;
}

function json(
  response: ServerResponse,
  value: unknown,
  headers: Record<string, string> = {},
): ServerResponse {
  response.writeHead(200, { "Content-Type": "application/json; charset=utf-8", ...headers });
  return response.end(JSON.stringify(value));
}

/** An error as the hub tells it. */
export function fail(
  response: ServerResponse,
  status: number,
  code: string,
  message: string,
): ServerResponse {
  response.writeHead(status, {
    "Content-Type": "application/json; charset=utf-8",
    ...(code && { "X-Error-Code": code, "X-Error-Message": message }),
  });
  return response.end(JSON.stringify({ error: message }));
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function close(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}
