import { createHash, timingSafeEqual } from "node:crypto";
import type { Context, MiddlewareHandler } from "hono";
import type { Env } from "../context.ts";
import { ApiError } from "./api-error.ts";

const digest = (text: string): Buffer => createHash("sha256").update(text).digest();

/** The key of `Authorization: Bearer KEY`, or undefined. */
const keyOf = (c: Context<Env>): string | undefined =>
  /^Bearer +(\S+) *$/i.exec(c.req.header("authorization") ?? "")?.[1];

/** Lets in who has one of the keys; without keys everyone. */
export function keysOnly(keys: readonly string[]): MiddlewareHandler<Env> {
  const known = keys.map(digest);
  return async (c, next) => {
    const key = keyOf(c);
    // All are compared, in a time that does not depend on what they have in common.
    const found = key === undefined ? [] : known.filter((k) => timingSafeEqual(k, digest(key)));
    if (known.length > 0 && found.length === 0) {
      const what = key === undefined ? "no API key was sent" : "the API key is not known here";
      throw new ApiError(
        401,
        `${what}; send one as Authorization: Bearer KEY`,
        {},
        { "WWW-Authenticate": "Bearer" },
      );
    }
    await next();
  };
}

/** Whose turn a request takes: that of its key where there are keys, else that of its address. */
export function clientOf(c: Context<Env>, keys: readonly string[]): string {
  if (keys.length > 0) return `key ${keyOf(c)}`;
  return `address ${c.env?.incoming?.socket.remoteAddress ?? "none"}`;
}
