import { afterAll, describe, expect, test } from "vitest";
import { depend } from "../src/autodiff/depend.ts";
import { grad } from "../src/autodiff/index.ts";
import { type HostTensor, hostTensor, sizeOf } from "../src/core/array.ts";
import { Rng } from "../src/core/rng.ts";
import { type AnyOp, applyOp } from "../src/graph/op.ts";
import { constant, input, type Tensor } from "../src/graph/tensor.ts";
import { emit } from "../src/onnx/emit.ts";
import * as fused from "../src/ops/fused.ts";
import * as ops from "../src/ops/index.ts";
import { mul, sum } from "../src/ops/index.ts";
import { createRuntime as createNodeRuntime } from "../src/runtime/ort.node.ts";
import { createRuntime as createWebRuntime } from "../src/runtime/ort.web.ts";

import type { Runtime } from "../src/runtime/runtime.ts";
import { expectClose } from "./close.ts";
import { multipliesInt8 } from "./int8.ts";
import { type Nd, toNd } from "./ops/nd.ts";
import { REFERENCES } from "./ops/references.ts";

/** Every exported op, by name: a new op is tested by existing, and fails here until it has a reference. */
const ALL = new Map<string, AnyOp>(
  [...Object.values(ops), ...Object.values(fused), depend]
    .filter((v): v is AnyOp => typeof v === "function" && "def" in v)
    .map((op) => [op.def.name, op]),
);

/** Different draws of every op's cases. */
const DRAWS = 3;

/** Largest errors over the largest value, where it is not 1e-5: products with activations of 8 bits, by block. */
const TOLERANCES: Readonly<Record<string, number>> = { matmul_nbits: 2e-2, matmul_int8: 1e-4 };

const runtimes: readonly (readonly [string, () => Promise<Runtime>])[] = [
  ["node", () => createNodeRuntime({ threads: 1 })],
  ["web", () => createWebRuntime()],
];

function fill(
  rng: Rng,
  spec: readonly number[] | HostTensor,
  [low, high]: readonly [number, number],
): HostTensor {
  if ("dtype" in spec) return spec;
  return hostTensor(
    "f32",
    spec,
    Float32Array.from({ length: sizeOf(spec) }, () => low + (high - low) * rng.uniform()),
  );
}

/** Directional derivative of sum(weights · f) along u, by central differences in double precision. */
function numericalDerivative(
  f: (x: readonly Nd[]) => Nd,
  x: readonly Nd[],
  u: readonly (Nd | undefined)[],
  weights: Nd,
): number {
  const step = 1e-5;
  const loss = (sign: number) => {
    const moved = x.map((t, k) => ({
      ...t,
      data: t.data.map((v, i) => v + sign * step * (u[k]?.data[i] ?? 0)),
    }));
    return f(moved).data.reduce((s, v, i) => s + v * weights.data[i]!, 0);
  };
  return (loss(1) - loss(-1)) / (2 * step);
}

test("every op has a reference and every reference an op", () => {
  expect([...ALL.keys()].sort()).toEqual(Object.keys(REFERENCES).sort());
});

describe.each(runtimes)("ops on %s", (_name, create) => {
  const ready = create();
  afterAll(async () => (await ready)[Symbol.asyncDispose]());

  test.each([...ALL])("%s", async (name, op) => {
    const runtime = await ready;
    if (name === "matmul_int8" && !(await multipliesInt8(runtime))) return;
    for (let draw = 0; draw < DRAWS; draw++) {
      const rng = new Rng(`${name}/${draw}`);
      for (const c of op.def.cases(rng)) await check(runtime, name, op, rng, c);
    }
  });
});

async function check(
  runtime: Runtime,
  name: string,
  op: AnyOp,
  rng: Rng,
  c: ReturnType<AnyOp["def"]["cases"]>[number],
) {
  const where = `${name} ${JSON.stringify(c.x.map((x) => ("dtype" in x ? x.shape : x)))} ${JSON.stringify(c.attrs)}`;
  const host = c.x.map((spec) => fill(rng, spec, c.range ?? [-1, 1]));
  const inputs = host.map((t, i) => input(`x${i}`, t.dtype, t.shape));
  const y = applyOp(op, inputs, c.attrs)[0]!;
  const outputs: Record<string, Tensor> = { y };
  const differentiable = typeof op.def.vjp === "function" && y.dtype === "f32";
  const floats = inputs.filter((t) => t.dtype === "f32");
  const weights = fill(rng, y.shape as number[], [-1, 1]);
  if (differentiable && floats.length > 0)
    grad(sum(mul(y, constant(weights))), floats).forEach((g, i) => {
      outputs[`g${inputs.indexOf(floats[i]!)}`] = g;
    });

  await using session = await runtime.session(emit(outputs).bytes);
  const result = await session.run(Object.fromEntries(host.map((t, i) => [`x${i}`, t])));
  const reference = (x: readonly Nd[]) => REFERENCES[name]!(x, c.attrs);
  const x = host.map(toNd);
  const expected = reference(x);
  expect(result.y!.shape, where).toEqual(y.shape);
  expect(expected.shape, where).toEqual(y.shape);
  expectClose(toNd(result.y!), expected, { relative: TOLERANCES[name] ?? 1e-5, where });

  if (!differentiable) return;
  for (const [i, t] of inputs.entries()) {
    if (t.dtype !== "f32") continue;
    const g = toNd(result[`g${i}`]!);
    expect(g.shape, `gradient ${i} of ${where}`).toEqual(t.shape);
    const u = fill(rng, t.shape as number[], [-1, 1]);
    const direction = inputs.map((_, k) => (k === i ? toNd(u) : undefined));
    const numerical = numericalDerivative(reference, x, direction, toNd(weights));
    const analytical = g.data.reduce((s, v, k) => s + v * Number(u.data[k]), 0);
    const magnitude = g.data.reduce((s, v, k) => s + Math.abs(v * Number(u.data[k])), 1);
    expect(Math.abs(numerical - analytical) / magnitude, `gradient ${i} of ${where}`).toBeLessThan(1e-4);
  }
}
