import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectClose } from "../../test/close.ts";
import { evaluate, randomWeights } from "../../test/evaluate.ts";
import { f32, type HostTensor, toF32 } from "../core/array.ts";
import { Rng } from "../core/rng.ts";
import { input, type Node, paramTensor, type Tensor, topological } from "../graph/tensor.ts";
import { Linear } from "../nn/layers.ts";
import { ModuleList, parameters } from "../nn/module.ts";
import { add, causalMask, gelu, mul, sin, split, square, sum, tanh } from "../ops/index.ts";
import { createRuntime } from "../runtime/ort.node.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { checkpoint, grad } from "./index.ts";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime[Symbol.asyncDispose]());

const layers = new ModuleList(Array.from({ length: 3 }, () => new Linear(5, 5)));
const params = parameters(layers, "layers");
const weights = randomWeights(params, new Rng("checkpoint"));
const x = input("x", "f32", [4, 5]);
const rng = new Rng("x");
const feeds = {
  x: f32(
    [4, 5],
    Float32Array.from({ length: 20 }, () => rng.normal()),
  ),
};

type Block = (x: Tensor) => Tensor;
/** Runs a block as part of a model: recomputed in the backward pass, or kept. */
type Run = (name: string, block: Block, x: Tensor) => Tensor;
const kept: Run = (_, block, x) => block(x);
const recomputed: Run = (name, block, x) => checkpoint(name, block, x);

const block = (i: number): Block => {
  const layer = layers.items[i]!;
  return (h) => add(h, layer.forward(gelu(layer.forward(h))));
};

/** The loss and all gradients, those of x included. */
async function gradients(build: (run: Run) => Tensor, run: Run): Promise<Record<string, HostTensor>> {
  const loss = sum(square(build(run)));
  const wrt = [x, ...[...params.values()].map(paramTensor)];
  const outputs = Object.fromEntries(grad(loss, wrt).map((g, i) => [`g${i}`, g]));
  return evaluate(runtime, { loss, ...outputs }, { feeds, weights });
}

describe("gradients with checkpoint equal those without", () => {
  const mask = causalMask({ rows: 4, columns: 5 });
  const shared = (h: Tensor) => mul(h, sin(x));

  test.each<[string, (run: Run) => Tensor]>([
    ["two blocks in a row", (run) => run("b", block(1), run("a", block(0), x))],
    ["blocks with something between", (run) => run("b", block(1), tanh(run("a", block(0), tanh(x))))],
    [
      "a block whose output is used twice",
      (run) => {
        const y = run("a", block(0), sin(x));
        return add(mul(y, sin(y)), run("b", block(1), y));
      },
    ],
    ["the same block twice", (run) => run("b", block(0), run("a", block(0), x))],
    [
      "a block that reads a value from outside besides its input",
      (run) => {
        const outside = sin(x);
        return run(
          "b",
          (h) => mul(block(1)(h), outside),
          run("a", (h) => mul(block(0)(h), outside), x),
        );
      },
    ],
    [
      "blocks that share what only the first made",
      (run) => {
        const made = tanh(mul(mask, 1e-38));
        return run(
          "b",
          (h) => add(block(1)(h), made),
          run("a", (h) => add(block(0)(h), made), x),
        );
      },
    ],
    ["a block inside a block", (run) => run("outer", (h) => block(1)(run("inner", block(0), sin(h))), x)],
    [
      "a block of a split",
      (run) => run("a", (h) => split.outputs(sin(h), { axis: 1, sizes: [2, 3] })[1]!, x),
    ],
    [
      "a block that returns its input",
      (run) =>
        mul(
          run("a", (h) => h, x),
          x,
        ),
    ],
    ["a block that reads the graph's input", (run) => run("a", shared, block(0)(x))],
  ])("%s", async (_, build) => {
    const expected = await gradients(build, kept);
    const actual = await gradients(build, recomputed);
    for (const [name, t] of Object.entries(expected))
      expectClose(toF32(actual[name]!), toF32(t), { relative: 1e-5, where: name });
  });

  test("of a block whose inputs are parameters", async () => {
    const [first, second] = [...params.values()].map(paramTensor);
    const merge = (a: Tensor, b: Tensor) => sin(mul(a, tanh(b)));
    const build = (y: Tensor) => grad(sum(square(y)), [first!, second!]);
    const expected = build(merge(first!, second!));
    const actual = build(checkpoint("merge", merge, first!, second!));
    const results = await evaluate(
      runtime,
      { e0: expected[0]!, e1: expected[1]!, a0: actual[0]!, a1: actual[1]! },
      { weights },
    );
    for (const i of [0, 1])
      expectClose(toF32(results[`a${i}`]!), toF32(results[`e${i}`]!), {
        relative: 1e-6,
        where: `input ${i}`,
      });
  });
});

describe("the backward pass", () => {
  const count = (nodes: readonly Node[], name: string) => nodes.filter((n) => n.op.def.name === name).length;
  const backward = (run: Run) => {
    const twice = (h: Tensor) => tanh(tanh(h));
    const y = run("b", twice, run("a", twice, x));
    return topological(grad(sum(square(y)), [x]));
  };

  test("computes a block's values again, after the gradient that asks for them", () => {
    const extra = (name: string) => count(backward(recomputed), name) - count(backward(kept), name);
    expect(extra("tanh")).toBe(4);
    expect(extra("depend")).toBe(2); // the input of either block
  });

  test("without blocks computes nothing twice", () => {
    expect(count(backward(kept), "depend")).toBe(0);
  });
});

/** A second where nothing else runs. */
const LIMIT_MS = 200_000;

/** Peak memory in bytes of a process that computes a deep network's gradient. */
async function peakBytes(mode: "keep" | "checkpoint"): Promise<number> {
  const script = fileURLToPath(new URL("./checkpoint-memory.test-support.ts", import.meta.url));
  const child = spawn(process.execPath, ["--import", import.meta.resolve("tsx"), script, mode], {
    stdio: ["ignore", "pipe", "inherit"],
    timeout: LIMIT_MS,
  });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (part: string) => {
    text += part;
  });
  const ended = await new Promise((resolve) => child.on("close", (code, signal) => resolve(code ?? signal)));
  expect(ended, text).toBe(0);
  return Number(text);
}

test(
  "blocks lower the peak of memory by what they need not keep",
  async () => {
    const kept = await peakBytes("keep");
    const recomputed = await peakBytes("checkpoint");
    // 12 blocks of 8 values of 2 MB each: 192 MB kept, or the 24 MB of the blocks' inputs and the 16 MB of one block.
    expect(kept - recomputed).toBeGreaterThan(100e6);
  },
  2.5 * LIMIT_MS,
);
