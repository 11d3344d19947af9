import type { z } from "zod";
import { inHouseForm, kindOf } from "../http-error.ts";
import { ApiError } from "./api-error.ts";
import { whyRefused } from "./fields.ts";

interface Problem {
  readonly param: string;
  readonly message: string;
  readonly code?: string;
}

/** As many are told at once as a person reads. */
const MAX_PROBLEMS = 5;

/** The parsed body of a request, or a 400 that names the fields that are wrong; `param` is the first. */
export function parseRequest<T>(schema: z.ZodType<T>, body: unknown): T {
  const parsed = schema.safeParse(body, { error: inHouseForm, reportInput: true });
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.flatMap((issue) => problemsOf(issue, []));
  const told = problems.slice(0, MAX_PROBLEMS).map(({ param, message }) => `${param || "body"}: ${message}`);
  const more = problems.length > MAX_PROBLEMS ? `; and ${problems.length - MAX_PROBLEMS} more` : "";
  const { param, code } = problems[0]!;
  throw new ApiError(400, `${told.join("; ")}${more}`, {
    ...(param && { param }),
    ...(code !== undefined && { code }),
  });
}

/** The place of a value as OpenAI writes it: messages[0].content[1].image_url.url */
export const paramOf = (path: readonly PropertyKey[]): string =>
  path.map((key, i) => (typeof key === "number" ? `[${key}]` : `${i > 0 ? "." : ""}${String(key)}`)).join("");

function problemsOf(issue: z.core.$ZodIssue, before: readonly PropertyKey[]): Problem[] {
  const path = [...before, ...issue.path];
  if (issue.code === "unrecognized_keys")
    return issue.keys.map((key) => ({
      param: paramOf([...path, key]),
      message: whyRefused(key, path[0] === "messages" ? "message" : "request"),
      code: "unsupported_parameter",
    }));
  if (issue.code === "invalid_union" && issue.errors.length > 0) {
    // The branch of the right type says what is wrong inside; without one, none has the right type.
    const right = issue.errors.find((branch) =>
      branch.some((inner) => inner.path.length > 0 || inner.code !== "invalid_type"),
    );
    if (right) return right.flatMap((inner) => problemsOf(inner, path));
    const expected = issue.errors.flatMap((branch) =>
      branch.flatMap((inner) => (inner.code === "invalid_type" ? [inner.expected] : [])),
    );
    return [
      {
        param: paramOf(path),
        message: `expected ${[...new Set(expected)].join(" or ")}, found ${kindOf(issue.input)}`,
      },
    ];
  }
  return [{ param: paramOf(path), message: issue.message }];
}
