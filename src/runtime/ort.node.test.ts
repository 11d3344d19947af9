import { readFileSync } from "node:fs";
import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { castFloat, f32, type HostTensor, rawBytes, toF32 } from "../core/array.ts";
import { DTYPES } from "../core/dtype.ts";
import { CheckpointError, RuntimeFailure } from "../core/errors.ts";
import { createRuntime } from "./ort.node.ts";
import { ortApi } from "./ort-api.node.ts";
import type { FileTensor, Runtime, TensorSource } from "./runtime.ts";
import {
  chainModel,
  externalWeight,
  identityModel,
  linearModel,
  modelBytes,
  node,
  port,
} from "./test-models.ts";

let runtime: Runtime;
let folder: string;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 2 });
  folder = await mkdtemp(join(tmpdir(), "internvl-test-"));
});
afterAll(async () => {
  await runtime[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

/** A file of `lead` bytes of 0xEE, then the tensor's; returns where it is. */
async function inFile(name: string, lead: number, host: HostTensor): Promise<FileTensor> {
  const file = join(folder, name);
  await writeFile(file, Buffer.concat([Buffer.alloc(lead, 0xee), rawBytes(host)]));
  return { dtype: host.dtype, shape: host.shape, file, offset: lead };
}

const ramp = (rows: number, columns: number): HostTensor<"f32"> =>
  f32(
    [rows, columns],
    Float32Array.from({ length: rows * columns }, (_, i) => ((i * 7) % 13) - 6),
  );

/** x · w by the definition, for x = ones [1, rows]. */
const columnSums = (w: HostTensor<"f32">): HostTensor => {
  const [rows, columns] = w.shape as [number, number];
  const sums = new Float32Array(columns);
  for (let i = 0; i < w.data.length; i++) sums[i % columns]! += w.data[i]!;
  expect(w.data.length).toBe(rows * columns);
  return f32([1, columns], sums);
};

const ones = (length: number): HostTensor => f32([1, length], new Float32Array(length).fill(1));

/** x · x · … that takes some hundred milliseconds; identity matrices, so that x is also the answer. */
const LONG = { size: 256, length: 600 };
const eye = (size: number): HostTensor =>
  f32(
    [size, size],
    Float32Array.from({ length: size * size }, (_, i) => (i % (size + 1) === 0 ? 1 : 0)),
  );

function abortAfter(milliseconds: number, reason: Error): AbortSignal {
  const abort = new AbortController();
  setTimeout(() => abort.abort(reason), milliseconds);
  return abort.signal;
}

/** Processor time that `work` takes in this process, in microseconds: unlike its duration, the same on a busy machine. */
async function processorTime(work: () => Promise<unknown>): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return user + system;
}

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** Resident memory that belongs to no file (Linux). */
async function anonymousBytes(): Promise<number> {
  // What earlier tests left behind is freed on another thread, a moment after it is collected.
  for (let i = 0; i < 3; i++) {
    collectGarbage();
    await sleep(100);
  }
  const [, kilobytes] = /RssAnon:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))!;
  return Number(kilobytes) * 1024;
}

describe("weights in files", () => {
  test.each([0, 4, 8, 1, 3, 6, 4097])("a tensor at offset %i is read where it is", async (offset) => {
    const w = ramp(5, 3);
    using weights = await runtime.weights(new Map([["w", await inFile(`at${offset}`, offset, w)]]));
    await using session = await runtime.session(linearModel(5, 3), { weights });
    expect(await session.run({ x: ones(5) })).toEqual({ y: columnSums(w) });
  });

  test("several tensors of one file, and one in memory, make one set", async () => {
    const [a, b, c] = [ramp(4, 3), ramp(2, 6), f32([3], [100, 200, 300])];
    const file = join(folder, "two");
    await writeFile(file, Buffer.concat([rawBytes(a), rawBytes(b)]));
    const sources = new Map<string, TensorSource>([
      ["a", { dtype: "f32", shape: [4, 3], file, offset: 0 }],
      ["b", { dtype: "f32", shape: [3, 4], file, offset: 48 }],
      ["c", c],
    ]);
    const model = modelBytes({
      input: [port("x", "f32", [1, 4])],
      output: [port("y", "f32", [1, 3]), port("z", "f32", [1, 4])],
      initializer: [
        externalWeight("a", "f32", [4, 3]),
        externalWeight("b", "f32", [3, 4]),
        externalWeight("c", "f32", [3]),
      ],
      node: [
        node("MatMul", ["x", "a"], ["xa"]),
        node("Add", ["xa", "c"], ["y"]),
        node("MatMul", ["xa", "b"], ["z"]),
      ],
    });
    using weights = await runtime.weights(sources);
    await using session = await runtime.session(model, { weights });
    const { y, z } = await session.run({ x: ones(4) });
    const xa = columnSums(a).data as Float32Array;
    expect(y).toEqual(
      f32(
        [1, 3],
        xa.map((v, i) => v + c.data[i]!),
      ),
    );
    const expected = [0, 1, 2, 3].map((j) => xa.reduce((sum, v, i) => sum + v * b.data[i * 4 + j]!, 0));
    expect(z).toEqual(f32([1, 4], expected));
  });

  test("empty tensors and other dtypes map as well", async () => {
    const bits: HostTensor = { dtype: "f16", shape: [2], data: Uint16Array.of(0x3c00, 0xc000) };
    const none: FileTensor = { ...(await inFile("empty", 0, f32([0], []))), shape: [0, 2] };
    using weights = await runtime.weights(
      new Map<string, TensorSource>([
        ["h", await inFile("half", 2, bits)],
        ["none", none],
      ]),
    );
    const model = modelBytes({
      output: [port("y", "f16", [2]), port("n", "f32", [0, 2])],
      initializer: [externalWeight("h", "f16", [2]), externalWeight("none", "f32", [0, 2])],
      node: [node("Identity", ["h"], ["y"]), node("Identity", ["none"], ["n"])],
    });
    await using session = await runtime.session(model, { weights });
    expect(await session.run({})).toEqual({ y: bits, n: f32([0, 2], []) });
  });

  test("short, missing and impossible files are all in one CheckpointError", async () => {
    const short = await inFile("short", 8, ramp(2, 2));
    const load = runtime.weights(
      new Map<string, FileTensor>([
        ["fits", short],
        ["cut", { ...short, shape: [2, 3] }],
        ["gone", { ...short, file: join(folder, "nowhere") }],
        ["folder", { ...short, file: folder, offset: 0, shape: [1] }],
        ["negative", { ...short, offset: -4 }],
      ]),
    );
    await expect(load).rejects.toThrow(CheckpointError);
    await expect(load).rejects.toThrow(`${short.file} is too short: cut ends at byte 32, the file has 24`);
    await expect(load).rejects.toThrow(`cannot open ${join(folder, "nowhere")} (ENOENT)`);
    await expect(load).rejects.toThrow(`${folder} is not a file`);
    await expect(load).rejects.toThrow(/negative: offset -4 .* is no byte range/);
  });

  /** How often ONNX Runtime was asked for a session while `load` ran. */
  async function attemptsOf(load: () => Promise<unknown>): Promise<number> {
    const calls = vi.spyOn(ortApi(), "callAsync");
    try {
      await load();
      return calls.mock.calls.filter(([name]) => name.startsWith("CreateSession")).length;
    } finally {
      calls.mockRestore();
    }
  }

  test("large halves are shown to the optimiser at once: it widens them", async () => {
    const half = castFloat(ramp(1100, 600), "f16"); // 1.3 MB
    const model = modelBytes({
      input: [port("x", "f32", [1, 1100])],
      output: [port("y", "f32", [1, 600])],
      initializer: [externalWeight("w", "f16", [1100, 600])],
      node: [node("Cast", ["w"], ["wide"], { to: DTYPES.f32.onnx }), node("MatMul", ["x", "wide"], ["y"])],
    });
    using weights = await runtime.weights(new Map([["w", await inFile("half-large", 2, half)]]));
    const attempts = await attemptsOf(async () => {
      await using session = await runtime.session(model, { weights });
      expect(await session.run({ x: ones(1100) })).toEqual({ y: columnSums(toF32(half)) });
    });
    expect(attempts).toBe(1);
  });

  test("a model that is refused for another reason is not tried again", async () => {
    const model = modelBytes({
      input: [port("x", "f32", [1])],
      output: [port("y", "f32", [1])],
      initializer: [externalWeight("w", "f32", [700, 600])],
      node: [node("MatMul", ["x", "w"], ["y"])],
    });
    using weights = await runtime.weights(new Map([["w", ramp(700, 600)]]));
    const attempts = await attemptsOf(() => expect(runtime.session(model, { weights })).rejects.toThrow());
    expect(attempts).toBe(1);
  });

  test("large weights that the optimiser computes with are shown to it after all", async () => {
    const w = ramp(700, 600); // 1.7 MB: above what is shown at the first attempt
    const model = modelBytes({
      input: [port("x", "f32", [1, 600])],
      output: [port("y", "f32", [1, 700])],
      initializer: [externalWeight("w", "f32", [700, 600])],
      node: [node("Transpose", ["w"], ["t"]), node("MatMul", ["x", "t"], ["y"])],
    });
    using weights = await runtime.weights(new Map([["w", await inFile("large", 4, w)]]));
    expect(
      await attemptsOf(async () => (await runtime.session(model, { weights }))[Symbol.asyncDispose]()),
    ).toBe(2);
    await using session = await runtime.session(model, { weights });
    const { y } = await session.run({ x: ones(600) });
    const rows = Array.from({ length: 700 }, (_, r) =>
      w.data.subarray(r * 600, (r + 1) * 600).reduce((sum, v) => sum + v, 0),
    );
    expect(y).toEqual(f32([1, 700], rows));
  });

  test("a refused model with large weights leaves no temporary file", async () => {
    const before = await readdir(tmpdir());
    const model = modelBytes({
      input: [port("x", "f32", [1])],
      output: [port("y", "f32", [1])],
      initializer: [externalWeight("w", "f32", [700, 600])],
      node: [node("Nonesuch", ["x", "w"], ["y"])],
    });
    using weights = await runtime.weights(new Map([["w", ramp(700, 600)]]));
    await expect(runtime.session(model, { weights })).rejects.toThrow(/Nonesuch/);
    const left = (await readdir(tmpdir())).filter(
      (f) => f.startsWith("internvl-session-") && !before.includes(f),
    );
    expect(left).toEqual([]);
  });

  test("a set that sessions use cannot be disposed of", async () => {
    const weights = await runtime.weights(new Map([["w", ramp(2, 2)]]));
    const session = await runtime.session(linearModel(2, 2), { weights });
    await expect(runtime.session(linearModel(9, 9), { weights })).rejects.toThrow(); // must not count as a user
    expect(() => weights[Symbol.dispose]()).toThrow(/1 session\(s\) still use this set/);
    await session[Symbol.asyncDispose]();
    weights[Symbol.dispose]();
    await expect(runtime.session(linearModel(2, 2), { weights })).rejects.toThrow(RuntimeFailure);
  });

  // Only Linux says how much of the resident memory is not the mapped file.
  test.runIf(process.platform === "linux").each([
    { prepack: false, sharePacked: true, copies: 0 },
    { prepack: true, sharePacked: true, copies: 1 },
    { prepack: true, sharePacked: false, copies: 3 },
  ])(
    "three sessions with prepack $prepack, sharePacked $sharePacked hold $copies copies",
    async ({ copies, ...options }) => {
      const [rows, columns] = [2048, 4096];
      const w = ramp(rows, columns);
      const source = await inFile("shared", 0, w);
      const { size } = await stat(source.file);
      const expected = { y: columnSums(w) };
      using weights = await runtime.weights(new Map([["w", source]]));
      const sessions = [];
      const before = await anonymousBytes();
      for (let i = 0; i < 3; i++) {
        const session = await runtime.session(linearModel(rows, columns), { weights, ...options });
        expect(await session.run({ x: ones(rows) })).toEqual(expected);
        sessions.push(session);
      }
      const held = ((await anonymousBytes()) - before) / size;
      for (const session of sessions) await session[Symbol.asyncDispose]();
      expect(held).toBeGreaterThan(copies - 0.6);
      expect(held).toBeLessThan(copies + 0.6);
      expect(w.data).toHaveLength(rows * columns); // kept until here: it is as large as a copy
    },
  );
});

describe("runs", () => {
  test("the event loop stays free", async () => {
    await using session = await runtime.session(chainModel(LONG.size, LONG.length));
    const x = eye(LONG.size);
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    const { y } = await session.run({ x });
    clearInterval(timer);
    expect(y).toEqual(x);
    expect(ticks).toBeGreaterThan(5); // a blocking run lets none fire
  });

  test("an abort stops a run at the next operator, with the signal's reason; the session stays usable", async () => {
    await using session = await runtime.session(chainModel(LONG.size, LONG.length * 4));
    using x = runtime.value(eye(LONG.size));
    using y = runtime.empty("f32", [LONG.size, LONG.size]);
    using binding = session.bind().input("x", x).output("y", y);
    const start = performance.now();
    const work = await processorTime(() => binding.run());
    const duration = performance.now() - start;
    const runs: ((signal: AbortSignal) => Promise<unknown>)[] = [
      (signal) => session.run({ x }, { signal }),
      (signal) => binding.run({ signal }),
    ];
    for (const run of runs) {
      const reason = new Error("the user went away");
      const done = await processorTime(() =>
        expect(run(abortAfter(duration / 10, reason))).rejects.toBe(reason),
      );
      expect(done).toBeLessThan(work * 0.7);
    }
    y.write(f32([LONG.size, LONG.size], new Float32Array(LONG.size ** 2)));
    await binding.run();
    expect(await y.read()).toEqual(eye(LONG.size));
  });

  test("many runs of several sessions at once give each its own answer", async () => {
    const sessions = await Promise.all([2, 3, 5].map((n) => runtime.session(chainModel(2, n))));
    const jobs = Array.from({ length: 900 }, async (_, i) => {
      const k = i % 3;
      const scale = 1 + (i % 7);
      const { y } = await sessions[k]!.run({ x: f32([2, 2], [scale, 0, 0, scale]) });
      const power = scale ** ([2, 3, 5][k]! + 1);
      expect(y).toEqual(f32([2, 2], [power, 0, 0, power]));
    });
    await Promise.all(jobs);
    for (const session of sessions) await session[Symbol.asyncDispose]();
  });

  test("an aborted run that waits for its turn never starts", async () => {
    await using session = await runtime.session(chainModel(LONG.size, LONG.length));
    const x = eye(LONG.size);
    const busy = Array.from({ length: 4 }, () => session.run({ x }));
    const abort = new AbortController();
    const waiting = session.run({ x }, { signal: abort.signal });
    const order: string[] = [];
    const noted = [
      waiting.catch(() => order.push("aborted")),
      ...busy.map((run) => run.then(() => order.push("ran"))),
    ];
    abort.abort();
    await Promise.all(noted);
    expect(order[0]).toBe("aborted");
  });

  test("disposing of a session waits for a long run", async () => {
    const session = await runtime.session(chainModel(LONG.size, LONG.length));
    const x = eye(LONG.size);
    const runs = [session.run({ x }), session.run({ x }), session.run({ x })];
    await session[Symbol.asyncDispose]();
    for (const run of runs) expect((await run).y).toEqual(x);
  });

  test("a binding in use can be neither run, bound nor disposed of; values bound to it can", async () => {
    await using session = await runtime.session(chainModel(LONG.size, LONG.length));
    const x = runtime.value(eye(LONG.size));
    using y = runtime.empty("f32", [LONG.size, LONG.size]);
    using binding = session.bind().input("x", x).output("y", y);
    const run = binding.run();
    await expect(binding.run()).rejects.toThrow(/run while a run is in flight/);
    expect(() => binding.input("x", x)).toThrow(/bind while a run is in flight/);
    expect(() => binding[Symbol.dispose]()).toThrow(/dispose while a run is in flight/);
    x[Symbol.dispose](); // the binding keeps the tensor
    await run;
    expect(await y.read()).toEqual(eye(LONG.size));
    await expect(binding.run()).rejects.toThrow(/bound as "x" was disposed of/);
  });

  test("what is fed may be changed as soon as run has returned", async () => {
    await using session = await runtime.session(chainModel(LONG.size, LONG.length));
    const x = eye(LONG.size);
    const run = session.run({ x });
    x.data.fill(0 as never);
    expect((await run).y).toEqual(eye(LONG.size));
  });
});

describe("options", () => {
  test("sessions with threads of their own, which may spin, compute the same", async () => {
    await using own = await runtime.session(chainModel(64, 3), { threads: 3 });
    await using session = await runtime.session(chainModel(64, 3));
    await using spinning = await runtime.session(chainModel(64, 3), { spinMicroseconds: 50 });
    for (const s of [own, session, spinning]) expect((await s.run({ x: eye(64) })).y).toEqual(eye(64));
  });

  test("a profile is written when the session ends", async () => {
    const session = await runtime.session(identityModel("f32", [1]), { profile: join(folder, "trace") });
    await session.run({ x: f32([1], [1]) });
    await session[Symbol.asyncDispose]();
    const written = (await readdir(folder)).filter((name) => name.startsWith("trace"));
    expect(written).toHaveLength(1);
  });

  test("the CPU may be named", async () => {
    await using session = await runtime.session(identityModel("f32", [1]), { providers: ["CPU"] });
    expect(await session.run({ x: f32([1], [3]) })).toEqual({ y: f32([1], [3]) });
  });
});
