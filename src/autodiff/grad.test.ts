import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectClose } from "../../test/close.ts";
import { evaluate } from "../../test/evaluate.ts";
import { f32, type HostTensor, i64, toF32 } from "../core/array.ts";
import { ShapeError } from "../core/errors.ts";
import { input, scalar, type Tensor, topological } from "../graph/tensor.ts";
import { emit } from "../onnx/emit.ts";
import {
  add,
  argmax,
  cast,
  concat,
  div,
  exp,
  gather,
  less,
  matmul,
  matmulNBits,
  maxOp,
  mean,
  mul,
  range,
  sin,
  split,
  square,
  sub,
  sum,
} from "../ops/index.ts";
import { createRuntime } from "../runtime/ort.node.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { grad } from "./index.ts";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime[Symbol.asyncDispose]());

const x = input("x", "f32", [3]);
const X = f32([3], [0.5, -1, 2]);
const w = input("w", "f32", [2, 1]);
const W = f32([2, 1], [3, -0.25]);

async function values(tensors: readonly Tensor[], feeds: Record<string, HostTensor> = {}) {
  const outputs = Object.fromEntries(tensors.map((t, i) => [`g${i}`, t]));
  const results = await evaluate(runtime, outputs, { feeds });
  return tensors.map((_, i) => toF32(results[`g${i}`]!));
}

const near = (actual: HostTensor, shape: number[], expected: number[]) =>
  expectClose(toF32(actual), f32(shape, expected), { relative: 1e-6 });

describe("grad", () => {
  test("adds up what flows back through a shared subexpression", async () => {
    const s = sin(x);
    // d/dx Σ s² + s·x = (2 s + x)·cos x + s
    const [g] = await values(grad(sum(add(square(s), mul(s, x))), [x]), { x: X });
    near(
      g!,
      [3],
      [...X.data].map((v) => (2 * Math.sin(v) + v) * Math.cos(v) + Math.sin(v)),
    );
  });

  test("of a tensor used twice by one op counts both uses", async () => {
    const [g] = await values(grad(sum(matmul(w, w, { transA: true })), [w]), { w: W });
    near(g!, [2, 1], [6, -0.5]);
  });

  test("sums over broadcast axes, kept and new ones", async () => {
    const y = mul(x, w); // [3] × [2, 1] -> [2, 3]
    const [gx, gw] = await values(grad(sum(square(y)), [x, w]), { x: X, w: W });
    const power = [...W.data].reduce((s, v) => s + v * v, 0);
    near(
      gx!,
      [3],
      [...X.data].map((v) => 2 * v * power),
    );
    const length = [...X.data].reduce((s, v) => s + v * v, 0);
    near(
      gw!,
      [2, 1],
      [...W.data].map((v) => 2 * v * length),
    );
  });

  test("of what the loss does not depend on is zero, in its shape", async () => {
    const unused = input("unused", "f32", [2, 1]);
    const [gx, g] = await values(grad(sum(x), [x, unused]), { x: X });
    near(gx!, [3], [1, 1, 1]);
    near(g!, [2, 1], [0, 0]);
  });

  test("of intermediate values and of the loss itself", async () => {
    const y = exp(x);
    const loss = sum(square(y));
    const [gy, gl, gx] = await values(grad(loss, [y, loss, x]), { x: X });
    near(
      gy!,
      [3],
      [...X.data].map((v) => 2 * Math.exp(v)),
    );
    near(gl!, [], [1]);
    near(
      gx!,
      [3],
      [...X.data].map((v) => 2 * Math.exp(2 * v)),
    );
  });

  test.each([[[0]], [[1]], [[2]], [[0, 2]], [[2, 1]]])(
    "of a split of which only parts %j are used",
    async (used) => {
      const parts = split.outputs(x, { axis: 0, sizes: [1, 1, 1] });
      const loss = sum(concat(...used.map((i) => square(parts[i]!)), { axis: 0 }));
      const [g] = await values(grad(loss, [x]), { x: X });
      near(
        g!,
        [3],
        [...X.data].map((v, i) => (used.includes(i) ? 2 * v : 0)),
      );
    },
  );

  test("passes over integers: the index of a gather has none", async () => {
    const ids = input("ids", "i64", [4]);
    const [g] = await values(grad(sum(square(gather(x, ids))), [x]), { x: X, ids: i64([4], [2, 0, 2, 2]) });
    near(g!, [3], [1, 0, 12]);
  });

  test("is itself differentiable", async () => {
    const [first] = grad(sum(mul(square(x), x)), [x]);
    const [g] = await values(grad(sum(first!), [x]), { x: X });
    near(
      g!,
      [3],
      [...X.data].map((v) => 6 * v),
    );
  });

  test("of a maximum is shared between equal values", async () => {
    const [g] = await values(grad(maxOp(x, { axes: [0] }), [x]), { x: f32([3], [2, -1, 2]) });
    near(g!, [3], [0.5, 0, 0.5]);
  });

  test("of a mean over no axes is one", async () => {
    const [g] = await values(grad(sum(mean(x, { axes: [] })), [x]), { x: X });
    near(g!, [3], [1, 1, 1]);
  });

  test("goes through ten thousand operations in a row without a deep stack", async () => {
    const start = input("start", "f32", []);
    let y = start;
    for (let i = 0; i < 10_000; i++) y = i % 2 === 0 ? div(y, 1.0001) : sin(y);
    const [g] = grad(y, [start]);
    expect(topological([g!]).length).toBeGreaterThan(15_000);
    const model = emit({ y, g: g! });
    expect(model.inputs).toEqual([start]);
  });

  test("of a chain of a thousand operations is their product", async () => {
    const start = input("start", "f32", []);
    let y = start;
    for (let i = 0; i < 1_000; i++) y = i % 2 === 0 ? mul(y, 1.01) : sub(y, 0.001);
    const [g] = await values(grad(y, [start]), { start: f32([], [1]) });
    expect(g!.data[0]! / 1.01 ** 500).toBeCloseTo(1, 4);
  });
});

describe("grad refuses", () => {
  test("a loss that is no scalar", () => {
    expect(() => grad(x, [x])).toThrow(ShapeError);
    expect(() => grad(x, [x])).toThrow("grad: the loss must be a scalar, found [3]");
  });

  test("an op without a gradient, with the reason", () => {
    const codes = input("codes", "u8", [2, 1, 32]);
    const y = matmulNBits(input("a", "f32", [1, 32]), codes, input("scales", "f32", [2, 1]), {
      K: 32,
      N: 2,
      bits: 8,
      blockSize: 32,
    });
    const [a] = y.node!.inputs;
    expect(() => grad(sum(y), [a!])).toThrow(ShapeError);
    expect(() => grad(sum(y), [a!])).toThrow(
      "grad: matmul_nbits has no gradient: quantised weights are for inference",
    );
    // Beside the path that is differentiated it may stand.
    expect(() => grad(mul(sum(y), sum(x)), [x])).not.toThrow();
  });
});

describe("grad is zero", () => {
  test.each<[string, () => Tensor]>([
    ["an index", () => cast(argmax(x, { axis: 0 }), "f32")],
    ["a truth value", () => sum(cast(less(x, scalar(0)), "f32"))],
  ])("through %s, which is constant almost everywhere", async (_, loss) => {
    const [g] = await values(grad(loss(), [x]), { x: X });
    near(g!, [3], [0, 0, 0]);
  });

  test("towards sizes, not towards what they multiply", async () => {
    const [g] = await values(grad(sum(mul(x, cast(range({ n: 3 }), "f32"))), [x]), { x: X });
    near(g!, [3], [0, 1, 2]);
  });
});
