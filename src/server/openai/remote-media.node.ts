import { lookup } from "node:dns/promises";
import { type ClientRequest, type IncomingMessage, request as requestHttp } from "node:http";
import { connect, isIP, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { connect as connectTls } from "node:tls";
import { messageOf } from "../../core/errors.ts";
import { ApiError } from "./api-error.ts";
import { isPublicAddress } from "./public-address.ts";

/** How names become addresses and addresses connections. */
export interface Network {
  resolve(hostname: string): Promise<readonly string[]>;
  connect(address: string, port: number): Socket;
}

export const SYSTEM_NETWORK: Network = {
  resolve: async (hostname) => (await lookup(hostname, { all: true })).map(({ address }) => address),
  connect: (address, port) => connect({ host: address, port }),
};

export type MediaKind = "picture" | "video";

export interface RemoteOptions {
  /** For the words of errors, and what is asked for. */
  readonly kind: MediaKind;
  /** Hosts that may be asked: "img.example.com", with any subdomain "*.example.com", with a port "example.com:8443". */
  readonly hosts: readonly string[];
  readonly maxBytes: number;
  /** For the whole, redirects included. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** Is given the bytes as they come. */
  readonly take: (chunk: Uint8Array) => void | Promise<void>;
  readonly network?: Network | undefined;
}

const MAX_REDIRECTS = 3;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/**
 * Reads the bytes at an http or https address. Only hosts of the list are asked, and only at public addresses: the name is
 * resolved once, all its addresses are checked, and the connection goes to the address that was checked, so that a
 * name that changes its mind leads nowhere. Redirects are checked in the same way. Whatever the answer says of its type
 * is ignored. Throws an ApiError (400 or 413), or the signal's reason.
 */
export async function fetchMedia(url: string, options: RemoteOptions): Promise<void> {
  const timeout = AbortSignal.timeout(options.timeoutMs);
  const signal = AbortSignal.any([options.signal, timeout]);
  try {
    let address = parseAddress(url, undefined);
    for (let redirects = 0; ; redirects++) {
      const response = await ask(address, options, signal);
      if (!REDIRECTS.has(response.statusCode ?? 0)) return await readAnswer(response, address, options);
      response.destroy();
      const { location } = response.headers;
      if (redirects === MAX_REDIRECTS)
        throw refused(address, `answers with more than ${MAX_REDIRECTS} redirects`);
      if (location === undefined) throw refused(address, "redirects to nowhere");
      address = parseAddress(location, address);
    }
  } catch (error) {
    if (options.signal.aborted) throw options.signal.reason;
    if (timeout.aborted)
      throw new ApiError(
        400,
        `the ${options.kind} did not come within ${options.timeoutMs} ms; send it as a data URL`,
        {
          code: "invalid_image_url",
        },
      );
    if (error instanceof ApiError) throw error;
    // What the system says of a failed connection tells of its network only what the answer's absence tells too.
    throw new ApiError(400, `the ${options.kind} could not be downloaded: ${messageOf(error)}`, {
      code: "invalid_image_url",
    });
  }
}

function parseAddress(url: string, base: URL | undefined): URL {
  const parsed = URL.canParse(url, base?.href) ? new URL(url, base?.href) : undefined;
  if (!parsed || !/^https?:$/.test(parsed.protocol))
    throw new ApiError(400, "expected an http or https address, or a data URL with base64", {
      code: "invalid_image_url",
    });
  if (parsed.username || parsed.password)
    throw refused(parsed, "has a user name or password in its address; leave them out");
  return parsed;
}

const bareHost = (url: URL): string => url.hostname.replace(/^\[|\]$/g, "").replace(/\.$/, "");

/** Whether the list has the host of an address; ports other than the scheme's own must be named. */
export function isListed(url: URL, hosts: readonly string[]): boolean {
  const host = bareHost(url);
  return hosts.some((entry) => {
    const [, name = "", port = ""] = /^(.*?)(?::(\d+))?$/.exec(entry.toLowerCase())!;
    if (port !== url.port) return false;
    return name.startsWith("*.")
      ? host.endsWith(name.slice(1)) && host.length > name.length - 1
      : host === name;
  });
}

/** The address of a host that may be asked, checked. */
async function checkedAddress(
  url: URL,
  { hosts, network = SYSTEM_NETWORK }: RemoteOptions,
  signal: AbortSignal,
) {
  if (!isListed(url, hosts)) throw refused(url, "is not on the list of hosts that this server may ask");
  const host = bareHost(url);
  const addresses = isIP(host) ? [host] : await abortable(network.resolve(host), signal);
  const [first] = addresses;
  // One that is not public among others is how names are bent.
  if (first === undefined || !addresses.every(isPublicAddress))
    throw refused(url, "is not at a public address");
  return first;
}

/** One request over a connection of its own to the address that was checked. */
async function ask(url: URL, options: RemoteOptions, signal: AbortSignal): Promise<IncomingMessage> {
  const { network = SYSTEM_NETWORK } = options;
  const address = await checkedAddress(url, options, signal);
  const secure = url.protocol === "https:";
  const port = url.port ? Number(url.port) : secure ? 443 : 80;
  const createConnection = (): Duplex => {
    const socket = network.connect(address, port);
    if (!secure) return socket;
    const host = bareHost(url);
    return connectTls({ socket, ...(isIP(host) ? {} : { servername: host }), host });
  };
  return new Promise((resolve, reject) => {
    const request: ClientRequest = requestHttp({
      method: "GET",
      host: bareHost(url),
      path: `${url.pathname}${url.search}`,
      headers: {
        Host: url.host,
        Accept: options.kind === "video" ? "video/*, image/gif" : "image/*",
        "Accept-Encoding": "identity",
        "User-Agent": "internvl",
        Connection: "close",
      },
      // Without an agent, which would make connections of its own.
      createConnection,
      signal,
    });
    request.once("response", resolve);
    // Also after the response has begun: then reading it fails with the same.
    request.on("error", reject);
    request.end();
  });
}

async function readAnswer(
  response: IncomingMessage,
  url: URL,
  { maxBytes, kind, take }: RemoteOptions,
): Promise<void> {
  const tooLarge = () =>
    new ApiError(413, `the ${kind} has more than ${maxBytes} bytes; send a smaller one`, {
      code: "too_large",
    });
  try {
    if (response.statusCode !== 200) throw refused(url, `answers with status ${response.statusCode}`);
    if (Number(response.headers["content-length"] ?? 0) > maxBytes) throw tooLarge();
    let size = 0;
    for await (const chunk of response as AsyncIterable<Uint8Array>) {
      size += chunk.byteLength;
      if (size > maxBytes) throw tooLarge();
      await take(chunk);
    }
  } finally {
    response.destroy();
  }
}

const refused = (url: URL, problem: string): ApiError =>
  new ApiError(400, `${url.protocol}//${url.host} ${problem}`, { code: "invalid_image_url" });

/** What `task` gives, or the signal's reason when that comes first: a name server may never answer. */
function abortable<T>(task: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const leave = () => reject(signal.reason);
    if (signal.aborted) leave();
    signal.addEventListener("abort", leave, { once: true });
    task.then(resolve, reject).finally(() => signal.removeEventListener("abort", leave));
  });
}
