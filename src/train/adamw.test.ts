import { describe, expect, test } from "vitest";
import { expectClose } from "../../test/close.ts";
import { f32, type HostTensor } from "../core/array.ts";
import { Rng } from "../core/rng.ts";
import { input, Param, type Tensor } from "../graph/tensor.ts";
import { emit } from "../onnx/emit.ts";
import { createRuntime } from "../runtime/ort.node.ts";
import { adamw, globalNorm } from "./adamw.ts";

const BETAS = [0.9, 0.95] as const;
const EPSILON = 1e-8;
const MAX_NORM = 1;
/** Two groups: different rates, decay on the matrix only, and a scalar as logit_scale is one. */
const PARAMS = [
  { key: "matrix", shape: [3, 4], rate: 0.01, decay: 0.1 },
  { key: "bias", shape: [5], rate: 0.01, decay: 0 },
  { key: "scale", shape: [], rate: 0.1, decay: 0 },
] as const;

interface Moments {
  readonly value: number[];
  readonly m: number[];
  readonly v: number[];
}

/** AdamW as Loshchilov and Hutter write it, in doubles and with nothing folded. */
function reference(states: readonly Moments[], gradients: readonly number[][], t: number): Moments[] {
  const norm = Math.sqrt(gradients.flat().reduce((sum, g) => sum + g * g, 0));
  const clip = Math.min(1, MAX_NORM / (norm + 1e-6));
  return states.map(({ value, m, v }, p) => {
    const { rate, decay } = PARAMS[p]!;
    const g = gradients[p]!.map((x) => x * clip);
    const newM = m.map((x, i) => BETAS[0] * x + (1 - BETAS[0]) * g[i]!);
    const newV = v.map((x, i) => BETAS[1] * x + (1 - BETAS[1]) * g[i]! ** 2);
    const newValue = value.map((x, i) => {
      const mHat = newM[i]! / (1 - BETAS[0] ** t);
      const vHat = newV[i]! / (1 - BETAS[1] ** t);
      return x - rate * decay * x - (rate * mHat) / (Math.sqrt(vHat) + EPSILON);
    });
    return { value: newValue, m: newM, v: newV };
  });
}

function updateGraph(): Uint8Array {
  const states = PARAMS.map(({ key, shape, decay }) => ({
    param: new Param(shape, { kind: "zeros" }),
    value: input(`value.${key}`, "f32", shape),
    m: input(`m.${key}`, "f32", shape),
    v: input(`v.${key}`, "f32", shape),
    gradient: input(`gradient.${key}`, "f32", shape),
    rate: input(`rate.${key}`, "f32", []),
    weightDecay: decay,
  }));
  const scalars = { correction1: input("c1", "f32", []), correction2: input("c2", "f32", []) };
  const { updated, gradNorm } = adamw(states, scalars, {
    betas: BETAS,
    epsilon: EPSILON,
    maxGradNorm: MAX_NORM,
  });
  const outputs: Record<string, Tensor> = { norm: gradNorm };
  updated.forEach((u, i) => {
    for (const part of ["value", "m", "v"] as const) outputs[`new.${part}.${PARAMS[i]!.key}`] = u[part];
  });
  return emit(outputs).bytes;
}

describe("adamw", () => {
  test.each([
    ["gradients below the norm", 0.05],
    ["gradients that are clipped", 20],
    ["large, then vanishing gradients", 1e-4],
  ])("eight steps with %s are those of the definition in doubles", async (_, size) => {
    await using runtime = await createRuntime({ threads: 1 });
    await using session = await runtime.session(updateGraph());
    const rng = new Rng(`adamw/${size}`);
    const draw = (shape: readonly number[], factor: number) =>
      Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => factor * rng.normal());
    let expected: Moments[] = PARAMS.map(({ shape }) => {
      const value = draw(shape, 1).map(Math.fround);
      return { value, m: value.map(() => 0), v: value.map(() => 0) };
    });
    let state = expected.map(({ value, m, v }, i) => {
      const { shape } = PARAMS[i]!;
      return { value: f32(shape, value), m: f32(shape, m), v: f32(shape, v) } as Record<string, HostTensor>;
    });
    for (let t = 1; t <= 8; t++) {
      const gradients = PARAMS.map(({ shape }) =>
        draw(shape, t === 1 ? Math.max(1, size) : size).map(Math.fround),
      );
      const feeds: Record<string, HostTensor> = {
        c1: f32([], [1 - BETAS[0] ** t]),
        c2: f32([], [1 - BETAS[1] ** t]),
      };
      PARAMS.forEach(({ key, shape, rate }, i) => {
        for (const [part, tensor] of Object.entries(state[i]!)) feeds[`${part}.${key}`] = tensor;
        feeds[`gradient.${key}`] = f32(shape, gradients[i]!);
        feeds[`rate.${key}`] = f32([], [rate]);
      });
      const out = await session.run(feeds);
      expected = reference(expected, gradients, t);
      state = PARAMS.map(({ key }) => ({
        value: out[`new.value.${key}`]!,
        m: out[`new.m.${key}`]!,
        v: out[`new.v.${key}`]!,
      }));
      const norm = Math.sqrt(gradients.flat().reduce((sum, g) => sum + g * g, 0));
      expectClose(
        { shape: out.norm!.shape, data: out.norm!.data as Float32Array },
        { shape: [], data: [norm] },
        {
          relative: 1e-6,
          where: `norm of step ${t}`,
        },
      );
      PARAMS.forEach(({ key, shape }, i) => {
        for (const part of ["value", "m", "v"] as const)
          expectClose(
            { shape, data: state[i]![part]!.data as Float32Array },
            { shape, data: expected[i]![part] },
            { relative: 2e-6, where: `${part} of ${key} after step ${t}` },
          );
      });
    }
  });

  test("a gradient of zero moves nothing but what decays", async () => {
    await using runtime = await createRuntime({ threads: 1 });
    await using session = await runtime.session(updateGraph());
    const feeds: Record<string, HostTensor> = { c1: f32([], [0.1]), c2: f32([], [0.05]) };
    for (const { key, shape, rate } of PARAMS) {
      const n = shape.reduce((a: number, b) => a * b, 1);
      feeds[`value.${key}`] = f32(shape, new Float32Array(n).fill(2));
      for (const part of ["m", "v", "gradient"]) feeds[`${part}.${key}`] = f32(shape, new Float32Array(n));
      feeds[`rate.${key}`] = f32([], [rate]);
    }
    const out = await session.run(feeds);
    expect(out["new.value.matrix"]!.data[0]).toBeCloseTo(2 * (1 - 0.01 * 0.1), 6);
    expect(out["new.value.bias"]!.data[0]).toBe(2);
    expect(out["new.value.scale"]!.data[0]).toBe(2);
  });

  test("the global norm is that of all gradients together", async () => {
    const g = [input("a", "f32", [2]), input("b", "f32", [])];
    await using runtime = await createRuntime({ threads: 1 });
    await using session = await runtime.session(emit({ norm: globalNorm(g) }).bytes);
    const { norm } = await session.run({ a: f32([2], [2, 3]), b: f32([], [6]) });
    expect(norm!.data[0]).toBe(7);
  });
});
