import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { evaluate } from "../../test/evaluate.ts";
import { f32, type HostTensor, sizeOf } from "../core/array.ts";
import { ShapeError } from "../core/errors.ts";
import { Rng } from "../core/rng.ts";
import { constant, input, type Tensor, topological } from "../graph/tensor.ts";
import { createRuntime } from "../runtime/ort.node.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { dims, rearrange } from "./rearrange.ts";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime[Symbol.asyncDispose]());

const NAMES = ["a", "b", "c", "d", "e"];

/** Names in order, some of them in brackets, some axes of size 1 between. */
function side(rng: Rng, names: readonly string[]): string {
  const parts: string[] = [];
  for (let i = 0; i < names.length; ) {
    const take = Math.min(names.length - i, 1 + rng.int(3));
    const group = names.slice(i, i + take);
    parts.push(take === 1 && rng.int(2) ? group[0]! : `(${group.join(" ")})`);
    if (rng.int(4) === 0) parts.push("1");
    i += take;
  }
  return parts.join(" ");
}

function randomCase(rng: Rng) {
  const names = NAMES.slice(0, 1 + rng.int(NAMES.length));
  const sizes = Object.fromEntries(names.map((n) => [n, 1 + rng.int(4)]));
  const order = rng.shuffle([...names]);
  return { names, sizes, order, left: side(rng, names), right: side(rng, order) };
}

const shapeOf = (text: string, sizes: Record<string, number>) =>
  (text.match(/\([^()]*\)|\S+/g) ?? []).map((g) =>
    sizeOf(
      g
        .replace(/[()]/g, "")
        .split(" ")
        .map((n) => sizes[n] ?? 1),
    ),
  );

/** Element by element, from the definition: names are indices. */
function permuted(data: ArrayLike<number>, names: string[], order: string[], sizes: Record<string, number>) {
  const total = data.length;
  return Array.from({ length: total }, (_, flat) => {
    const index: Record<string, number> = {};
    let rest = flat;
    for (const n of order.toReversed()) {
      index[n] = rest % sizes[n]!;
      rest = Math.floor(rest / sizes[n]!);
    }
    return data[names.reduce((at, n) => at * sizes[n]! + index[n]!, 0)]!;
  });
}

describe("rearrange", () => {
  test("puts every element where its names say, and back", async () => {
    const outputs: Record<string, Tensor> = {};
    const expected: Record<string, HostTensor> = {};
    for (let i = 0; i < 60; i++) {
      const { names, sizes, order, left, right } = randomCase(new Rng(`rearrange/${i}`));
      const shape = shapeOf(left, sizes);
      const value = f32(
        shape,
        Float32Array.from({ length: sizeOf(shape) }, (_, k) => k),
      );
      const there = rearrange(constant(value), `${left} -> ${right}`, sizes);
      outputs[`there ${i}`] = there;
      expected[`there ${i}`] = f32(shapeOf(right, sizes), permuted(value.data, names, order, sizes));
      outputs[`back ${i}`] = rearrange(there, `${right} -> ${left}`, sizes);
      expected[`back ${i}`] = value;
    }
    const results = await evaluate(runtime, outputs);
    for (const [name, t] of Object.entries(expected)) {
      expect(results[name]!.shape, name).toEqual(t.shape);
      expect([...results[name]!.data], name).toEqual([...t.data]);
    }
  });

  test("works out one size of a group, symbolic ones too", () => {
    const x = input("x", "f32", ["B", "1+N", 12]);
    expect(rearrange(x, "B L (H d) -> B H L d", { H: 3 }).shape).toEqual(["B", 3, "1+N", 4]);
    expect(rearrange(x, "B L D -> (B L) D").shape).toEqual(["B+B*N", 12]);
    const flat = input("flat", "f32", ["2*B*L", 5]);
    expect(rearrange(flat, "(B two L) D -> two B L D", { B: "B", two: 2 }).shape).toEqual([2, "B", "L", 5]);
  });

  test("writes nothing where nothing moves, and one transpose at most", () => {
    const x = input("x", "f32", [2, 3, 4]);
    expect(rearrange(x, "a b c -> a b c")).toBe(x);
    const nodes = topological([rearrange(x, "a b (c d) -> (d a) c b", { c: 2 })]).map((n) => n.op.def.name);
    expect(nodes).toEqual(["reshape", "transpose", "reshape"]);
  });

  const x = input("x", "f32", [2, 12]);
  test.each<[string, Record<string, number>, string]>([
    ["a b c -> c b a", {}, "the pattern has 3 axes, the tensor is [2, 12]"],
    ["a b", {}, 'expected one "->"'],
    ["a b -> b -> a", {}, 'expected one "->"'],
    ["a (b c) -> a b c", {}, "axis 1 of [2, 12] is not (b c); give all but one of the sizes of b, c"],
    ["a (b c) -> a b c", { b: 5 }, 'axis 1 of [2, 12] is not (b c) with {"b":5}'],
    ["a (b c) -> a b c", { b: 3, c: 5 }, "axis 1 of [2, 12] is not (b c)"],
    ["a 1 -> a", {}, "axis 1 of [2, 12] is not (1)"],
    ["a b -> a", {}, "both sides must hold the same names, each once"],
    ["a b -> a b c", {}, "both sides must hold the same names, each once"],
    ["a a -> a a", {}, "both sides must hold the same names, each once"],
  ])("%j with %j is refused", (pattern, sizes, message) => {
    expect(() => rearrange(x, pattern, sizes)).toThrow(ShapeError);
    expect(() => rearrange(x, pattern, sizes)).toThrow(`rearrange "${pattern}": ${message}`);
  });
});

describe("dims", () => {
  const x = input("x", "f32", ["B", 3, "1+N"]);

  test("names sizes and checks those that are given", () => {
    expect(dims(x, "B C L")).toEqual({ B: "B", C: 3, L: "1+N" });
    expect(dims(x, "B 3 L", { L: "1+N" })).toMatchObject({ B: "B", L: "1+N" });
  });

  test.each<[string, Record<string, number | string>, string]>([
    ["B C", {}, "2 axes are expected, the tensor is [B, 3, 1+N]"],
    ["B 4 L", {}, "4 must be 4, the tensor is [B, 3, 1+N]"],
    ["B C L", { L: "N" }, "L must be N, the tensor is [B, 3, 1+N]"],
    ["B C L", { B: 2 }, "B must be 2, the tensor is [B, 3, 1+N]"],
  ])("%j with %j is refused", (pattern, sizes, message) => {
    expect(() => dims(x, pattern, sizes)).toThrow(ShapeError);
    expect(() => dims(x, pattern, sizes)).toThrow(`dims "${pattern}": ${message}`);
  });

  test("a name that stands twice is one size", () => {
    expect(dims(input("y", "f32", [4, 4]), "B B")).toEqual({ B: 4 });
    expect(() => dims(input("y", "f32", [4, 5]), "B B")).toThrow('dims "B B": B must be 4');
  });
});
