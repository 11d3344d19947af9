import { expect, test } from "vitest";
import { f32 } from "../core/array.ts";
import { createRuntime } from "./ort.node.ts";
import { chainModel, linearModel } from "./test-models.ts";

/** What a round of work may leave behind, in bytes: a fraction of what it would if it leaked. */
const TOLERANCE = 24 << 20;

/** Growth of resident memory over `rounds` rounds, after as many that warm up allocators and the JIT. */
async function growth(rounds: number, work: () => Promise<void>): Promise<number> {
  for (let i = 0; i < rounds; i++) await work();
  const before = process.memoryUsage.rss();
  for (let i = 0; i < rounds; i++) await work();
  return process.memoryUsage.rss() - before;
}

/** 256 KiB: what a run would leak of each tensor. */
const SIDE = 256;
const matrix = f32([SIDE, SIDE], new Float32Array(SIDE * SIDE));

test("thousands of runs leave nothing", async () => {
  await using runtime = await createRuntime({ threads: 1 });
  await using session = await runtime.session(chainModel(SIDE, 1));
  const grown = await growth(4, async () => {
    for (let i = 0; i < 500; i++) await session.run({ x: matrix });
  });
  expect(grown).toBeLessThan(TOLERANCE); // a leak would leave 2000 × 512 KiB
});

test("thousands of values and bound runs leave nothing", async () => {
  await using runtime = await createRuntime({ threads: 1 });
  await using session = await runtime.session(chainModel(SIDE, 1));
  const grown = await growth(4, async () => {
    for (let i = 0; i < 500; i++) {
      using x = runtime.value(matrix);
      using y = runtime.empty("f32", [SIDE, SIDE]);
      using binding = session.bind().input("x", x).output("y", y);
      await binding.run({ signal: new AbortController().signal });
      await y.read();
    }
  });
  expect(grown).toBeLessThan(TOLERANCE);
});

test("hundreds of sessions and weight sets leave nothing", async () => {
  await using runtime = await createRuntime({ threads: 2 });
  const model = linearModel(SIDE, SIDE);
  const grown = await growth(2, async () => {
    for (let i = 0; i < 150; i++) {
      using weights = await runtime.weights(new Map([["w", matrix]]));
      await using session = await runtime.session(model, { weights });
      await session.run({ x: f32([1, SIDE], new Float32Array(SIDE)) });
    }
  });
  expect(grown).toBeLessThan(TOLERANCE); // a leak would leave 300 × 512 KiB, packed weights included
});

test("failures leave nothing", async () => {
  await using runtime = await createRuntime({ threads: 1 });
  using weights = await runtime.weights(new Map([["w", matrix]]));
  const broken = linearModel(SIDE, SIDE).fill(0, -40, -30);
  await using session = await runtime.session(chainModel(SIDE, 1));
  const grown = await growth(2, async () => {
    for (let i = 0; i < 300; i++) {
      await expect(runtime.session(broken, { weights })).rejects.toThrow();
      await expect(session.run({ x: matrix }, { signal: AbortSignal.abort() })).rejects.toThrow();
      await expect(session.run({ x: matrix }, { outputs: ["q"] })).rejects.toThrow();
    }
  });
  expect(grown).toBeLessThan(TOLERANCE);
});

test("200 sessions at once share the threads and stay small", async () => {
  await using runtime = await createRuntime({ threads: 2 });
  const model = chainModel(8, 4);
  const x = f32([8, 8], new Float32Array(64).fill(0.5));
  const before = process.memoryUsage.rss();
  const sessions = await Promise.all(Array.from({ length: 200 }, () => runtime.session(model)));
  const answers = await Promise.all(sessions.map((session) => session.run({ x })));
  expect(new Set(answers.map(({ y }) => y!.data[0]))).toEqual(new Set([0.5 * 4 ** 4]));
  expect(process.memoryUsage.rss() - before).toBeLessThan(200 << 20);
});
