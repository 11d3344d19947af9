import { ShapeError } from "./errors.ts";

/**
 * A size that may be symbolic: a number, or a polynomial in named sizes in canonical form, e.g. "B", "1+N", "2*B*L".
 * Two sizes are equal exactly when their canonical forms are.
 */
export type Dim = number | string;
export type Shape = readonly Dim[];

/** Monomial ("B*L", "" for the constant) -> coefficient. */
type Polynomial = Map<string, number>;

function parse(dim: Dim): Polynomial {
  if (typeof dim === "number") return new Map(dim === 0 ? [] : [["", dim]]);
  const terms: Polynomial = new Map();
  for (const term of dim.split("+")) {
    let coefficient = 1;
    const symbols: string[] = [];
    for (const factor of term.split("*")) {
      if (/^-?\d+$/.test(factor)) coefficient *= Number(factor);
      else symbols.push(factor);
    }
    const key = symbols.sort().join("*");
    terms.set(key, (terms.get(key) ?? 0) + coefficient);
  }
  return terms;
}

function format(p: Polynomial): Dim {
  const terms = [...p].filter(([, c]) => c !== 0).sort(([a], [b]) => (a < b ? -1 : 1));
  if (terms.length === 0) return 0;
  if (terms.length === 1 && terms[0]![0] === "") return terms[0]![1];
  return terms.map(([m, c]) => (m === "" ? `${c}` : c === 1 ? m : `${c}*${m}`)).join("+");
}

/**
 * The canonical form of a size that was written by hand: "B+1" is "1+B". Throws a ShapeError for what is no size: a
 * negative or broken number, or a name that is not letters, digits and _.
 */
export function canonicalDim(where: string, dim: Dim): Dim {
  const valid =
    typeof dim === "number"
      ? Number.isInteger(dim) && dim >= 0
      : dim.split(/[+*]/).every((factor) => /^-?\d+$|^[A-Za-z_]\w*$/.test(factor));
  if (!valid)
    throw new ShapeError(
      `${where}: ${JSON.stringify(dim)} is no size; expected a whole number, a name such as "B", or a sum of products such as "1+2*N"`,
    );
  return dimAdd(dim, 0);
}

/** a + b. */
export function dimAdd(a: Dim, b: Dim): Dim {
  const out = parse(a);
  for (const [m, c] of parse(b)) out.set(m, (out.get(m) ?? 0) + c);
  return format(out);
}

/** a - b. */
export const dimSub = (a: Dim, b: Dim): Dim => dimAdd(a, dimMul(b, -1));

/** a · b. */
export function dimMul(a: Dim, b: Dim): Dim {
  const out: Polynomial = new Map();
  for (const [ma, ca] of parse(a))
    for (const [mb, cb] of parse(b)) {
      const key = [...ma.split("*"), ...mb.split("*")].filter(Boolean).sort().join("*");
      out.set(key, (out.get(key) ?? 0) + ca * cb);
    }
  return format(out);
}

/** a / b where b is a monomial that divides every term of a; otherwise undefined. */
export function dimDiv(a: Dim, b: Dim): Dim | undefined {
  const divisor = [...parse(b)];
  if (divisor.length !== 1) return a === b ? 1 : undefined;
  const [symbols, coefficient] = divisor[0]!;
  const out: Polynomial = new Map();
  for (const [m, c] of parse(a)) {
    const rest = m.split("*").filter(Boolean);
    for (const s of symbols.split("*").filter(Boolean)) {
      const at = rest.indexOf(s);
      if (at < 0) return undefined;
      rest.splice(at, 1);
    }
    if (c % coefficient !== 0) return undefined;
    out.set(rest.join("*"), c / coefficient);
  }
  return format(out);
}

/** The product of all sizes. */
export const dimProduct = (dims: Shape): Dim => dims.reduce<Dim>(dimMul, 1);

/** The terms of a size: [coefficient, symbols] pairs. */
export const dimTerms = (dim: Dim): [number, string[]][] =>
  [...parse(dim)].map(([m, c]) => [c, m.split("*").filter(Boolean)]);

/** The size's value once its symbols are known; throws a ShapeError for an unknown one. */
export function evalDim(dim: Dim, symbols: ReadonlyMap<string, number>): number {
  let total = 0;
  for (const [coefficient, names] of dimTerms(dim)) {
    let product = coefficient;
    for (const name of names) {
      const value = symbols.get(name);
      if (value === undefined) throw new ShapeError(`size "${dim}": symbol ${name} has no value`);
      product *= value;
    }
    total += product;
  }
  return total;
}

export const sameShape = (a: Shape, b: Shape): boolean =>
  a.length === b.length && a.every((d, i) => d === b[i]);

export const showShape = (shape: Shape): string => `[${shape.join(", ")}]`;

/** A non-negative axis; throws a ShapeError when it is outside the rank. */
export function normalizeAxis(where: string, axis: number, rank: number): number {
  const a = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(axis) || a < 0 || a >= rank)
    throw new ShapeError(`${where}: axis ${axis} does not exist in a tensor of rank ${rank}`);
  return a;
}

/** The shape both broadcast to: equal sizes, or a literal 1 on either side. */
export function broadcastShapes(where: string, a: Shape, b: Shape): Shape {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const da = a[i - rank + a.length] ?? 1;
    const db = b[i - rank + b.length] ?? 1;
    if (da === db || db === 1) return da;
    if (da === 1) return db;
    throw new ShapeError(
      `${where}: ${showShape(a)} and ${showShape(b)} do not broadcast (${da} against ${db})`,
    );
  });
}

/** The concrete shape as numbers; throws when a size is symbolic. */
export function staticShape(where: string, shape: Shape): number[] {
  return shape.map((d) => {
    if (typeof d !== "number")
      throw new ShapeError(`${where}: the shape ${showShape(shape)} must be known here`);
    return d;
  });
}
