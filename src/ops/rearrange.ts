import { ShapeError } from "../core/errors.ts";
import { type Dim, dimDiv, dimProduct, showShape } from "../core/shape.ts";
import type { Tensor } from "../graph/tensor.ts";
import { reshape, transpose } from "./shape.ts";

type Side = readonly (readonly string[])[];

function parseSide(text: string): Side {
  const groups = text.match(/\([^()]*\)|[^\s()]+/g) ?? [];
  return groups.map((g) => (g.startsWith("(") ? g.slice(1, -1).trim().split(/\s+/).filter(Boolean) : [g]));
}

/** Sizes of all names on the left side; one size of a group may be left to be worked out. */
function bind(
  x: Tensor,
  pattern: string,
  left: Side,
  given: Readonly<Record<string, Dim>>,
): Map<string, Dim> {
  if (left.length !== x.rank)
    throw new ShapeError(
      `rearrange "${pattern}": the pattern has ${left.length} axes, the tensor is ${showShape(x.shape)}`,
    );
  const sizes = new Map<string, Dim>([["1", 1]]);
  left.forEach((group, axis) => {
    const actual = x.shape[axis]!;
    const known = (name: string): Dim | undefined => (name === "1" ? 1 : given[name]);
    const open = group.filter((name) => known(name) === undefined);
    const product = dimProduct(group.flatMap((name) => known(name) ?? []));
    const rest = dimDiv(actual, product);
    if (open.length > 1 || rest === undefined || (open.length === 0 && rest !== 1))
      throw new ShapeError(
        `rearrange "${pattern}": axis ${axis} of ${showShape(x.shape)} is not (${group.join(" ")})` +
          (open.length > 1
            ? `; give all but one of the sizes of ${open.join(", ")}`
            : ` with ${JSON.stringify(given)}`),
      );
    for (const name of group) if (name !== "1") sizes.set(name, known(name) ?? rest);
  });
  return sizes;
}

/**
 * Splits, permutes and merges axes by name: `rearrange(x, "B L (H d) -> B H L d", { H: 4 })`. Every name of one side
 * stands on the other; "1" is an axis of size 1. Lowers to at most one transpose between two reshapes.
 */
export function rearrange(x: Tensor, pattern: string, sizes: Readonly<Record<string, Dim>> = {}): Tensor {
  const [from, to, ...more] = pattern.split("->");
  if (from === undefined || to === undefined || more.length > 0)
    throw new ShapeError(`rearrange "${pattern}": expected one "->"`);
  const [left, right] = [parseSide(from), parseSide(to)];
  const bound = bind(x, pattern, left, sizes);
  const names = left.flat().filter((n) => n !== "1");
  const target = right.flat().filter((n) => n !== "1");
  if (new Set(names).size !== names.length || [...names].sort().join() !== [...target].sort().join())
    throw new ShapeError(`rearrange "${pattern}": both sides must hold the same names, each once`);
  const split = reshape(
    x,
    names.map((n) => bound.get(n)!),
  );
  const moved = transpose(
    split,
    target.map((n) => names.indexOf(n)),
  );
  return reshape(
    moved,
    right.map((group) => dimProduct(group.map((n) => bound.get(n)!))),
  );
}

/**
 * Checks the rank and the named sizes of x and returns all sizes by name: `dims(x, "B L D", { D: 64 })`. Axes of one
 * name must be equal.
 */
export function dims<const P extends string>(
  x: Tensor,
  pattern: P,
  sizes: Readonly<Record<string, Dim>> = {},
): Record<Names<P>, Dim> {
  const names = pattern.split(" ");
  if (names.length !== x.rank)
    throw new ShapeError(
      `dims "${pattern}": ${names.length} axes are expected, the tensor is ${showShape(x.shape)}`,
    );
  names.forEach((name, i) => {
    // A name that stands twice is one size.
    const wanted = /^\d+$/.test(name) ? Number(name) : (sizes[name] ?? x.shape[names.indexOf(name)]);
    if (wanted !== undefined && wanted !== x.shape[i])
      throw new ShapeError(
        `dims "${pattern}": ${name} must be ${wanted}, the tensor is ${showShape(x.shape)}`,
      );
  });
  return Object.fromEntries(names.map((n, i) => [n, x.shape[i]!])) as Record<Names<P>, Dim>;
}

type Names<P extends string> = P extends `${infer Head} ${infer Rest}` ? Head | Names<Rest> : P;
