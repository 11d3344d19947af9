import type { z } from "zod";
import { InternVLError, isUserError, MediaError } from "../core/errors.ts";
import { TooLargeError } from "../vision/decode.node.ts";

export type ErrorStatus = 400 | 401 | 403 | 404 | 405 | 409 | 413 | 415 | 422 | 429 | 499 | 500 | 503 | 504;

/** Machine-readable names of what went wrong, one per status. */
const TYPES: { readonly [S in ErrorStatus]: string } = {
  400: "bad_request",
  401: "unauthorized",
  403: "forbidden",
  404: "not_found",
  405: "method_not_allowed",
  409: "conflict",
  413: "too_large",
  415: "unsupported_type",
  422: "unreadable_picture",
  429: "too_many_requests",
  499: "client_closed",
  500: "internal",
  503: "loading",
  504: "timeout",
};

/** A failure with the HTTP status it answers with; the message is shown to the user. */
export class HttpError extends InternVLError {
  constructor(
    readonly status: ErrorStatus,
    message: string,
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(message);
  }
}

export interface ErrorBody {
  readonly error: { readonly message: string; readonly type: string };
}

export const errorBody = (status: ErrorStatus, message: string): ErrorBody => ({
  error: { message, type: TYPES[status] },
});

/**
 * The HTTP form of any error. A user's mistake keeps its message; of a defect only the fact is told, since its
 * message may name files of this machine.
 */
export function toHttpError(error: unknown): HttpError {
  if (error instanceof HttpError) return error;
  if (error instanceof TooLargeError) return new HttpError(413, error.message);
  if (error instanceof MediaError) return new HttpError(422, error.message);
  if (isUserError(error)) return new HttpError(400, error.message);
  if (error instanceof Error && error.name === "TimeoutError")
    return new HttpError(504, "the request took too long and was stopped; try again or ask for less");
  if (error instanceof Error && error.name === "AbortError")
    return new HttpError(499, "the request was cancelled");
  return new HttpError(500, "the server failed on this request; its log says why");
}

const UNITS: Readonly<Record<string, string>> = { string: "characters", array: "entries" };

/** What a schema refuses, as every message here says it; undefined leaves it to the schema's own words. */
export function inHouseForm(issue: z.core.$ZodRawIssue): string | undefined {
  const { code, input } = issue;
  if (code === "too_small" || code === "too_big") {
    const bound = code === "too_small" ? `at least ${issue.minimum}` : `at most ${issue.maximum}`;
    const unit = UNITS[issue.origin as string];
    const found = unit ? (input as { readonly length: number }).length : String(input);
    return `expected ${bound}${unit ? ` ${unit}` : ""}, found ${found}`;
  }
  if (code !== "invalid_type") return undefined;
  const wanted = issue.expected === "int" ? "whole number" : issue.expected;
  return `expected ${/^[aeiou]/.test(wanted) ? "an" : "a"} ${wanted}, found ${kindOf(input)}; give one`;
}

export function kindOf(input: unknown): string {
  if (input === undefined) return "nothing";
  if (input === null) return "null";
  // Text from the address that was to become a number.
  if (Number.isNaN(input)) return "other text";
  if (typeof input === "number") return String(input);
  return Array.isArray(input) ? "array" : typeof input;
}

/** The parsed value, or a 400 that names every problem at once. */
export function validate<T>(where: string, schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value, { error: inHouseForm });
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map((issue) => {
    const name = issue.path.join(".");
    return name ? `${name}: ${issue.message}` : issue.message;
  });
  throw new HttpError(400, `${where}: ${problems.join("; ")}`);
}
