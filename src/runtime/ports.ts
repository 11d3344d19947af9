import type { HostTensor } from "../core/array.ts";
import type { DType } from "../core/dtype.ts";
import { ShapeError } from "../core/errors.ts";

/** An input or output as the model declares it. */
export interface Port {
  readonly name: string;
  /** Undefined for what is no tensor, or of a type that has no counterpart here. */
  readonly dtype: DType | undefined;
  /** Fixed sizes, or the names of the open ones ("?" when they have none); undefined when the rank is open. */
  readonly shape: readonly (number | string)[] | undefined;
}

/** What is fed or bound, for comparison with the port. */
export type Fed = Pick<HostTensor, "dtype" | "shape">;

/** Why `fed` does not fit the port, or undefined when it does. */
export function misfit(port: Port, fed: Fed): string | undefined {
  const { name, dtype, shape } = port;
  const sameType = dtype === undefined || dtype === fed.dtype;
  const sameShape =
    shape === undefined ||
    (shape.length === fed.shape.length &&
      shape.every((size, i) => typeof size === "string" || size === fed.shape[i]));
  if (sameType && sameShape) return undefined;
  return `${name}: the model wants ${dtype} [${shape ?? "any rank"}], found ${fed.dtype} [${fed.shape}]`;
}

/** Checks feeds against the inputs: unknown, missing and misfitting ones are in one ShapeError. */
export function checkFeeds(inputs: readonly Port[], feeds: Readonly<Record<string, Fed | undefined>>): void {
  const problems: string[] = [];
  for (const port of inputs) {
    const fed = feeds[port.name];
    const problem = fed === undefined ? `${port.name} is missing` : misfit(port, fed);
    if (problem !== undefined) problems.push(problem);
  }
  const known = new Set(inputs.map((p) => p.name));
  for (const name of Object.keys(feeds)) if (!known.has(name)) problems.push(`${name} is no input`);
  if (problems.length > 0)
    throw new ShapeError(`run: ${problems.join("; ")}; the inputs are ${[...known].join(", ") || "(none)"}`);
}

/** The names of the outputs asked for, each once; throws a ShapeError that lists the unknown ones. */
export function checkOutputs(outputs: readonly string[], asked: readonly string[]): string[] {
  const unknown = asked.filter((name) => !outputs.includes(name));
  if (unknown.length > 0)
    throw new ShapeError(`run: no output ${unknown.join(", ")}; the outputs are ${outputs.join(", ")}`);
  return [...new Set(asked)];
}
