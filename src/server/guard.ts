import { isIP } from "node:net";
import type { MiddlewareHandler } from "hono";
import { HttpError } from "./http-error.ts";

/** `true` for names and addresses that mean this machine only. */
export function isLoopback(host: string): boolean {
  const name = host.replace(/^\[|\]$/g, "").toLowerCase();
  return (
    name === "localhost" ||
    name.endsWith(".localhost") ||
    name === "::1" ||
    (isIP(name) === 4 && name.startsWith("127."))
  );
}

/** The host of a Host header without its port; undefined when the header is malformed. */
export function hostName(header: string): string | undefined {
  const match = /^(\[[0-9a-f:.]+\]|[^\s:/?#@[\]]+)(?::\d{1,5})?$/i.exec(header);
  return match?.[1]?.toLowerCase();
}

/**
 * Refuses requests that another web page makes in the user's browser.
 *
 * DNS rebinding makes a foreign page same-origin by pointing its own name at this server, so the Host header is
 * checked: an IP address or localhost cannot be rebound, other names only pass when they are in `names`. A server
 * bound to the loopback interface further insists on a loopback host. Cross-site requests are told by Origin and
 * Sec-Fetch-Site; a program that sends neither is no browser and acts with its user's rights anyway. Pages of origins
 * that `allows` names for a path may send what browsers send with an Origin; the Host is checked all the same.
 */
export function sameOriginOnly(options: {
  readonly loopback: boolean;
  readonly names: readonly string[];
  readonly allows?: (origin: string, path: string) => boolean;
}): MiddlewareHandler {
  const names = new Set(options.names.map((n) => n.toLowerCase()));
  return async (c, next) => {
    const header = c.req.header("host") ?? new URL(c.req.url).host;
    const host = hostName(header);
    const literal = host !== undefined && isIP(host.replace(/^\[|\]$/g, "")) !== 0;
    const known =
      host !== undefined && (isLoopback(host) || names.has(host) || (!options.loopback && literal));
    if (!known)
      throw new HttpError(
        403,
        `the Host header "${header}" does not name this server; open it as localhost, or start it with its name: internvl serve --host-name NAME`,
      );
    const origin = c.req.header("origin");
    if (origin !== undefined && options.allows?.(origin, c.req.path)) return next();
    if (origin !== undefined && origin !== `http://${header}` && origin !== `https://${header}`)
      throw new HttpError(
        403,
        `requests from ${origin} are refused: only this server's own page may make them`,
      );
    const site = c.req.header("sec-fetch-site");
    const navigation = c.req.method === "GET" && c.req.header("sec-fetch-mode") === "navigate";
    if (
      site !== undefined &&
      site !== "same-origin" &&
      site !== "none" &&
      !(navigation && isPage(c.req.path))
    )
      throw new HttpError(403, "cross-site requests are refused: only this server's own page may make them");
    await next();
  };
}

/** A link from another site may open the page, but not reach into the API. */
const isPage = (path: string): boolean => !/^\/(api|v1|metrics)(\/|$)/.test(path);
