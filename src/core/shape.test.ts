import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ShapeError } from "./errors.ts";
import {
  broadcastShapes,
  canonicalDim,
  type Dim,
  dimAdd,
  dimDiv,
  dimMul,
  dimProduct,
  dimSub,
  evalDim,
  normalizeAxis,
  staticShape,
} from "./shape.ts";

/** A size built by the operations, and the same arithmetic on numbers. */
interface Built {
  readonly dim: Dim;
  readonly value: (symbols: ReadonlyMap<string, number>) => number;
}

const leaf = fc.oneof(
  fc.integer({ min: -4, max: 9 }).map((n): Built => ({ dim: n, value: () => n })),
  fc.constantFrom("B", "L", "N").map((s): Built => ({ dim: s, value: (m) => m.get(s)! })),
);
const { size } = fc.letrec<{ size: Built }>((tie) => ({
  size: fc.oneof(
    { maxDepth: 4 },
    leaf,
    fc.tuple(fc.constantFrom("+", "-", "*"), tie("size"), tie("size")).map(([op, a, b]): Built => {
      if (op === "+") return { dim: dimAdd(a.dim, b.dim), value: (m) => a.value(m) + b.value(m) };
      if (op === "-") return { dim: dimSub(a.dim, b.dim), value: (m) => a.value(m) - b.value(m) };
      return { dim: dimMul(a.dim, b.dim), value: (m) => a.value(m) * b.value(m) };
    }),
  ),
}));
const dim = size.map((s) => s.dim);
const symbols = fc
  .tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 }))
  .map(([B, L, N]) => new Map(Object.entries({ B, L, N })));

const holds = <T extends [unknown, ...unknown[]]>(property: fc.IProperty<T>) =>
  fc.assert(property, { seed: 7 });

describe("symbolic sizes", () => {
  test("stand for the numbers that their arithmetic gives", () => {
    holds(fc.property(size, symbols, (s, m) => evalDim(s.dim, m) === s.value(m)));
  });

  test("are equal as strings when they are equal as polynomials", () => {
    holds(fc.property(dim, dim, (a, b) => dimAdd(a, b) === dimAdd(b, a) && dimMul(a, b) === dimMul(b, a)));
    holds(
      fc.property(dim, dim, dim, (a, b, c) => dimMul(a, dimAdd(b, c)) === dimAdd(dimMul(a, b), dimMul(a, c))),
    );
    holds(fc.property(dim, dim, dim, (a, b, c) => dimAdd(dimAdd(a, b), c) === dimAdd(a, dimAdd(b, c))));
    holds(fc.property(dim, (a) => dimSub(a, a) === 0 && dimAdd(a, 0) === a && dimMul(a, 1) === a));
  });

  test("divide by what they were multiplied with", () => {
    const monomial = fc
      .tuple(fc.integer({ min: 1, max: 6 }), fc.subarray(["B", "L", "L", "N"]))
      .map(([n, names]) => dimProduct([n, ...names]));
    holds(fc.property(dim, monomial, (a, m) => dimDiv(dimMul(a, m), m) === a));
  });

  test.each<[Dim, Dim, Dim | undefined]>([
    ["2*B*L", "B", "2*L"],
    ["B+2*B*L", "B", "1+2*L"],
    [12, 4, 3],
    ["1+N", "1+N", 1],
    [7, 2, undefined],
    ["B", "L", undefined],
    ["1+N", "N", undefined],
    ["3*B", 2, undefined],
    ["B", 0, undefined],
    [0, 5, 0],
  ])("%s / %s is %s", (a, b, expected) => expect(dimDiv(a, b)).toBe(expected));

  test.each<[Dim, Dim]>([
    [dimAdd("N", 1), "1+N"],
    [dimMul(dimMul("L", 2), "B"), "2*B*L"],
    [dimProduct(["L", 3, "B", "L"]), "3*B*L*L"],
    [dimSub("B", dimMul("B", 2)), "-1*B"],
    [dimSub(dimAdd("B", 3), "B"), 3],
    [dimProduct([]), 1],
  ])("are written %s", (actual, expected) => expect(actual).toBe(expected));

  test("a symbol without a value", () => {
    expect(() => evalDim("1+2*N", new Map())).toThrow(ShapeError);
    expect(() => evalDim("1+2*N", new Map())).toThrow('size "1+2*N": symbol N has no value');
  });

  test.each<[Dim, Dim]>([
    ["B+1", "1+B"],
    ["L*B", "B*L"],
    ["N*2+B", "B+2*N"],
    [3, 3],
  ])("written by hand as %s are %s", (given, expected) => expect(canonicalDim("x", given)).toBe(expected));

  test.each<Dim>(["", "B-1", "2B", "B+", "B L", -1, 1.5, Number.NaN])("%j is no size", (given) => {
    expect(() => canonicalDim("here", given)).toThrow(ShapeError);
    expect(() => canonicalDim("here", given)).toThrow("here: ");
  });
});

describe("shapes", () => {
  test("broadcast where sizes are equal or literally 1", () => {
    expect(broadcastShapes("x", ["B", 1, 4], ["L", 1])).toEqual(["B", "L", 4]);
    expect(broadcastShapes("x", [], [2, 3])).toEqual([2, 3]);
    expect(() => broadcastShapes("op", ["B", 2], ["L", 2])).toThrow(
      "op: [B, 2] and [L, 2] do not broadcast (B against L)",
    );
    expect(() => broadcastShapes("op", [3], [2])).toThrow(ShapeError);
  });

  test("axes count from either end", () => {
    expect([0, 2, -1, -3].map((a) => normalizeAxis("x", a, 3))).toEqual([0, 2, 2, 0]);
    for (const axis of [3, -4, 0.5, Number.NaN])
      expect(() => normalizeAxis("op", axis, 3)).toThrow(
        `op: axis ${axis} does not exist in a tensor of rank 3`,
      );
  });

  test("of numbers where they must be known", () => {
    expect(staticShape("x", [2, 3])).toEqual([2, 3]);
    expect(() => staticShape("here", [2, "B"])).toThrow("here: the shape [2, B] must be known here");
  });
});
