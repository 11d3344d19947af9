import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { f32, type HostTensor, hostTensor, i64 } from "../core/array.ts";
import type { DType } from "../core/dtype.ts";
import { RuntimeFailure, ShapeError, UsageError } from "../core/errors.ts";
import { createRuntime as createNodeRuntime } from "./ort.node.ts";
import { createRuntime as createWebRuntime } from "./ort.web.ts";
import type { Runtime, Session, TensorSource } from "./runtime.ts";
import {
  externalWeight,
  identityModel,
  inlineWeight,
  linearModel,
  modelBytes,
  node,
  port,
} from "./test-models.ts";

/** What every runtime must do alike. `lacks`: dtypes that its library has no tensors of. */
const RUNTIMES: readonly { name: string; create: () => Promise<Runtime>; lacks: readonly DType[] }[] = [
  { name: "node", create: createNodeRuntime, lacks: [] },
  { name: "web", create: createWebRuntime, lacks: ["bf16", "f8_e4m3"] },
];

const TENSORS: readonly HostTensor[] = [
  f32([2, 3], [1, -2, 3.5, Number.NaN, Number.POSITIVE_INFINITY, 0]),
  hostTensor("f64", [2], Float64Array.of(1 / 3, -1e300)),
  hostTensor("f16", [3], Uint16Array.of(0x3c00, 0x7e01, 0xffff)),
  hostTensor("bf16", [3], Uint16Array.of(0x3f80, 0x7fc1, 0xffff)),
  hostTensor("f8_e4m3", [2], Uint8Array.of(0x38, 0xff)),
  i64([2, 1], [-1n, 2n ** 62n]),
  hostTensor("i32", [2], Int32Array.of(-7, 2 ** 30)),
  hostTensor("i8", [3], Int8Array.of(-128, 0, 127)),
  hostTensor("u8", [3], Uint8Array.of(0, 128, 255)),
  hostTensor("bool", [2], Uint8Array.of(1, 0)),
  f32([], [42]),
  f32([0, 3], []),
  f32(
    [1, 1000],
    Array.from({ length: 1000 }, (_, i) => i),
  ),
];

/** s' = s + x, y = 2 s'. */
const stepModel = () =>
  modelBytes({
    input: [port("x", "f32", [2]), port("s", "f32", [2])],
    output: [port("s2", "f32", [2]), port("y", "f32", [2])],
    node: [node("Add", ["x", "s"], ["s2"]), node("Add", ["s2", "s2"], ["y"])],
  });

describe.each(RUNTIMES)("$name runtime", ({ name, create, lacks }) => {
  let runtime: Runtime;
  beforeAll(async () => {
    runtime = await create();
  });
  afterAll(async () => {
    await runtime[Symbol.asyncDispose]();
  });

  /** Makes a session, uses it and disposes of it. */
  async function withSession<T>(model: Uint8Array, use: (session: Session) => Promise<T>): Promise<T> {
    await using session = await runtime.session(model);
    return await use(session);
  }

  test("says what it is", () => {
    expect(runtime.description).toMatch(new RegExp(`^onnxruntime \\d+\\.\\d+\\.\\d+ \\(${name}, `));
  });

  test.each(TENSORS.filter((t) => !lacks.includes(t.dtype)))(
    "$dtype $shape goes in and out bit by bit",
    async (host) => {
      using value = runtime.value(host);
      expect(await value.read()).toEqual(host);
      await withSession(identityModel(host.dtype, host.shape), async (session) => {
        expect(await session.run({ x: host })).toEqual({ y: host });
        expect(await session.run({ x: value })).toEqual({ y: host });
      });
    },
  );

  test.each(lacks)("%s is refused with advice", (dtype) => {
    expect(() => runtime.empty(dtype, [1])).toThrow(new RegExp(`no ${dtype} tensors; cast`));
  });

  test("a value holds a copy, and read gives one", async () => {
    const host = f32([2], [1, 2]);
    using value = runtime.value(host);
    host.data[0] = 9;
    const read = await value.read();
    read.data[1] = 9;
    expect(await value.read()).toEqual(f32([2], [1, 2]));
  });

  test("write replaces the contents and refuses another dtype or size", async () => {
    using value = runtime.empty("f32", [2]);
    value.write(f32([2], [3, 4]));
    expect(await value.read()).toEqual(f32([2], [3, 4]));
    expect(() => value.write(f32([3], [1, 2, 3]))).toThrow(ShapeError);
    expect(() => value.write(hostTensor("i32", [2], Int32Array.of(1, 2)))).toThrow(ShapeError);
  });

  test("rows are a part of a value's own memory", async () => {
    using value = runtime.value(f32([3, 2], [1, 2, 3, 4, 5, 6]));
    using last = value.rows(1, 2);
    expect(last.shape).toEqual([2, 2]);
    expect((await last.read()).data).toEqual(Float32Array.of(3, 4, 5, 6));
    last.write(f32([2, 2], [7, 8, 9, 10]));
    expect((await value.read()).data).toEqual(Float32Array.of(1, 2, 7, 8, 9, 10));
    for (const [start, count] of [
      [2, 2],
      [-1, 1],
      [0, 4],
    ] as const)
      expect(() => value.rows(start, count)).toThrow(ShapeError);
  });

  test("ranges of a value are copied and exchanged within it", async () => {
    const numbers = Float32Array.from({ length: 300_000 }, (_, i) => i);
    using value = runtime.value(f32([numbers.length], numbers));
    value.swap(5, 150_000, 140_000);
    let data = (await value.read()).data;
    expect([data[4], data[5], data[140_004], data[140_005], data[150_000], data[290_000]]).toEqual([
      4, 150_000, 289_999, 140_005, 5, 290_000,
    ]);
    value.copy(150_000, 0, 3);
    data = (await value.read()).data;
    expect([...data.slice(0, 4)]).toEqual([5, 6, 7, 3]);
    for (const [a, b, length] of [
      [0, 2, 3],
      [0, 299_999, 2],
      [-1, 5, 1],
    ] as const) {
      expect(() => value.swap(a, b, length)).toThrow(ShapeError);
      expect(() => value.copy(b, a, length)).toThrow(ShapeError);
    }
  });

  test("a tensor that lies about its size is refused", () => {
    expect(() => runtime.value({ dtype: "f32", shape: [3], data: new Float32Array(2) })).toThrow(
      /needs 3 elements/,
    );
    const wrongArray = { dtype: "f32", shape: [2], data: new Float64Array(2) } as unknown as HostTensor;
    expect(() => runtime.value(wrongArray)).toThrow(/found a Float64Array/);
    expect(() => runtime.empty("f32", [-1])).toThrow(ShapeError);
    expect(() => runtime.empty("f32", [1.5])).toThrow(ShapeError);
    expect(() => runtime.empty("f32", [2 ** 40, 2 ** 40])).toThrow(ShapeError);
  });

  test("a value that was disposed of cannot be used, and may be disposed of twice", async () => {
    const value = runtime.empty("f32", [1]);
    value[Symbol.dispose]();
    value[Symbol.dispose]();
    await expect(value.read()).rejects.toThrow(RuntimeFailure);
    await withSession(identityModel("f32", [1]), async (session) => {
      await expect(session.run({ x: value })).rejects.toThrow(/used after it was disposed of/);
    });
  });

  test("feeds that do not fit are all in one error", async () => {
    await withSession(stepModel(), async (session) => {
      expect(session.inputs).toEqual(["x", "s"]);
      expect(session.outputs).toEqual(["s2", "y"]);
      const bad = session.run({ x: f32([3], [1, 2, 3]), z: f32([1], [0]) });
      await expect(bad).rejects.toThrow(ShapeError);
      await expect(bad).rejects.toThrow(
        "run: x: the model wants f32 [2], found f32 [3]; s is missing; z is no input; the inputs are x, s",
      );
      await expect(session.run({ x: i64([2], [1, 2]), s: f32([2], [0, 0]) })).rejects.toThrow(/found i64/);
      const fine = { x: f32([2], [1, 2]), s: f32([2], [0, 0]) };
      await expect(session.run(fine, { outputs: ["q"] })).rejects.toThrow(
        /no output q; the outputs are s2, y/,
      );
    });
  });

  test("outputs can be chosen", async () => {
    await withSession(stepModel(), async (session) => {
      const feeds = { x: f32([2], [1, 2]), s: f32([2], [10, 20]) };
      expect(await session.run(feeds, { outputs: ["y"] })).toEqual({ y: f32([2], [22, 44]) });
    });
  });

  test("a model without inputs runs", async () => {
    const model = modelBytes({
      output: [port("y", "f32", [2])],
      initializer: [inlineWeight("c", f32([2], [5, 6]))],
      node: [node("Neg", ["c"], ["y"])],
    });
    await withSession(model, async (session) => {
      expect(await session.run({})).toEqual({ y: f32([2], [-5, -6]) });
    });
  });

  test("a refused model and a failing operator carry the library's message", async () => {
    const unknown = modelBytes({
      input: [port("x", "f32", [1])],
      output: [port("y", "f32", [1])],
      node: [node("Nonesuch", ["x"], ["y"])],
    });
    await expect(runtime.session(unknown)).rejects.toThrow(RuntimeFailure);
    await expect(runtime.session(unknown)).rejects.toThrow(/^session: .*Nonesuch/s);
    await expect(runtime.session(Uint8Array.of(1, 2, 3))).rejects.toThrow(RuntimeFailure);
    const gather = modelBytes({
      input: [port("x", "f32", [2]), port("i", "i64", [1])],
      output: [port("y", "f32", [1])],
      node: [node("Gather", ["x", "i"], ["y"])],
    });
    await withSession(gather, async (session) => {
      const feeds = { x: f32([2], [1, 2]), i: i64([1], [7]) };
      await expect(session.run(feeds)).rejects.toThrow(RuntimeFailure);
      await expect(session.run(feeds)).rejects.toThrow(/^run: .*out of data bounds/s);
      expect(await session.run({ ...feeds, i: i64([1], [1]) })).toEqual({ y: f32([1], [2]) });
    });
  });

  test("weights come by name; one set serves several models and may hold more than they use", async () => {
    using weights = await runtime.weights(
      new Map<string, HostTensor>([
        ["w", f32([2, 3], [1, 2, 3, 4, 5, 6])],
        ["bias.b", f32([3], [10, 20, 30])],
        ["unused", f32([1], [0])],
      ]),
    );
    expect([...weights.keys]).toEqual(["w", "bias.b", "unused"]);
    const affine = modelBytes({
      input: [port("x", "f32", ["B", 2])],
      output: [port("y", "f32", ["B", 3])],
      initializer: [externalWeight("bias.b", "f32", [3]), externalWeight("w", "f32", [2, 3])],
      node: [node("MatMul", ["x", "w"], ["xw"]), node("Add", ["xw", "bias.b"], ["y"])],
    });
    await using a = await runtime.session(linearModel(2, 3), { weights });
    await using b = await runtime.session(affine, { weights });
    const x = f32([2, 2], [1, 1, 0, 1]);
    expect(await a.run({ x })).toEqual({ y: f32([2, 3], [5, 7, 9, 4, 5, 6]) });
    expect(await b.run({ x })).toEqual({ y: f32([2, 3], [15, 27, 39, 14, 25, 36]) });
  });

  test("weights that the optimiser folds are the right ones", async () => {
    const model = modelBytes({
      input: [port("x", "f32", ["B", 3])],
      output: [port("y", "f32", ["B", 2])],
      initializer: [externalWeight("w", "f32", [2, 3])],
      node: [node("Transpose", ["w"], ["t"]), node("MatMul", ["x", "t"], ["y"])],
    });
    using weights = await runtime.weights(new Map([["w", f32([2, 3], [1, 2, 3, 4, 5, 6])]]));
    await using session = await runtime.session(model, { weights });
    expect(await session.run({ x: f32([1, 3], [1, 0, 1]) })).toEqual({ y: f32([1, 2], [4, 10]) });
  });

  test("missing and misfitting weights are named", async () => {
    await expect(runtime.session(linearModel(2, 3))).rejects.toThrow(/w \(f32 \[2,3\]\) is missing/);
    using weights = await runtime.weights(new Map([["w", f32([3, 2], [1, 2, 3, 4, 5, 6])]]));
    await expect(runtime.session(linearModel(2, 3), { weights })).rejects.toThrow(
      /the set holds f32 \[3,2\]/,
    );
  });

  test("lazy tensors are loaded one after another", async () => {
    const [a, b] = [f32([4, 3], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]), f32([3], [1, 2, 3])];
    const log: string[] = [];
    const lazy = (key: string, tensor: HostTensor): [string, TensorSource] => [
      key,
      {
        dtype: tensor.dtype,
        shape: tensor.shape,
        load: async () => {
          log.push(`${key} begins`);
          await new Promise((resolve) => setTimeout(resolve, 2));
          log.push(`${key} ends`);
          return tensor;
        },
      },
    ];
    using weights = await runtime.weights(new Map([lazy("w", a), lazy("c", b)]));
    expect(log).toEqual(["w begins", "w ends", "c begins", "c ends"]);
    await using session = await runtime.session(linearModel(4, 3), { weights });
    expect(await session.run({ x: f32([1, 4], [1, 0, 0, 1]) })).toEqual({ y: f32([1, 3], [11, 13, 15]) });
  });

  test.each<[string, HostTensor, RegExp]>([
    ["another shape", f32([3, 4], new Float32Array(12)), /w: announced as f32 \[4,3\], came as f32 \[3,4\]/],
    ["another dtype", { dtype: "u32", shape: [4, 3], data: new Uint32Array(12) }, /came as u32/],
    ["too little data", { dtype: "f32", shape: [4, 3], data: new Float32Array(2) }, /needs 12 elements/],
  ])("a lazy tensor that comes with %s is refused", async (_, tensor, message) => {
    const lazy: TensorSource = { dtype: "f32", shape: [4, 3], load: async () => tensor };
    const loading = runtime.weights(new Map([["w", lazy]]));
    await expect(loading).rejects.toThrow(ShapeError);
    await expect(loading).rejects.toThrow(message);
  });

  test("a WeightSet that was disposed of is refused", async () => {
    const weights = await runtime.weights(new Map([["w", f32([1, 1], [1])]]));
    weights[Symbol.dispose]();
    weights[Symbol.dispose]();
    await expect(runtime.session(linearModel(1, 1), { weights })).rejects.toThrow(RuntimeFailure);
  });

  test("state goes from A to B and back by swapping what is bound", async () => {
    await withSession(stepModel(), async (session) => {
      using x = runtime.value(f32([2], [1, 10]));
      using a = runtime.value(f32([2], [0, 0]));
      using b = runtime.empty("f32", [2]);
      using y = runtime.empty("f32", [2]);
      using there = session.bind().input("x", x).input("s", a).output("s2", b).output("y", y);
      using back = session.bind().input("x", x).input("s", b).output("s2", a).output("y", y);
      for (let step = 0; step < 10; step++) await (step % 2 === 0 ? there : back).run();
      expect(await a.read()).toEqual(f32([2], [10, 100]));
      expect(await b.read()).toEqual(f32([2], [9, 90]));
      expect(await y.read()).toEqual(f32([2], [20, 200]));
      x.write(f32([2], [-10, -100]));
      await there.run();
      expect(await b.read()).toEqual(f32([2], [0, 0]));
    });
  });

  test("a name can be bound again", async () => {
    await withSession(identityModel("f32", ["B"]), async (session) => {
      using one = runtime.value(f32([1], [1]));
      using two = runtime.value(f32([2], [2, 3]));
      using out1 = runtime.empty("f32", [1]);
      using out2 = runtime.empty("f32", [2]);
      using binding = session.bind().input("x", one).output("y", out1);
      await binding.run();
      await binding.input("x", two).output("y", out2).run();
      expect([await out1.read(), await out2.read()]).toEqual([f32([1], [1]), f32([2], [2, 3])]);
    });
  });

  test("a binding refuses what does not fit", async () => {
    await withSession(stepModel(), async (session) => {
      using value = runtime.empty("f32", [2]);
      using wrong = runtime.empty("f32", [3]);
      const binding = session.bind();
      expect(() => binding.input("q", value)).toThrow(/no "q"; the names are x, s/);
      expect(() => binding.output("x", value)).toThrow(/no "x"; the names are s2, y/);
      expect(() => binding.input("x", wrong)).toThrow(/the model wants f32 \[2\], found f32 \[3\]/);
      await expect(binding.run()).rejects.toThrow(UsageError);
      await expect(binding.output("y", value).run()).rejects.toThrow(/x is missing; s is missing/);
      binding.input("x", value).input("s", value);
      const gone = runtime.empty("f32", [2]);
      binding.output("s2", gone);
      gone[Symbol.dispose]();
      await expect(binding.run()).rejects.toThrow(/bound as "s2" was disposed of/);
      binding[Symbol.dispose]();
      binding[Symbol.dispose]();
      await expect(binding.run()).rejects.toThrow(/after it was disposed of/);
    });
  });

  test("an output of another size than the bound value is refused, not cut", async () => {
    await withSession(identityModel("f32", ["B"]), async (session) => {
      using x = runtime.value(f32([3], [1, 2, 3]));
      using small = runtime.value(f32([2], [8, 9]));
      using binding = session.bind().input("x", x).output("y", small);
      await expect(binding.run()).rejects.toThrow(/shape|came out/i);
      expect(await small.read()).toEqual(f32([2], [8, 9]));
    });
  });

  test("disposing of a session waits for its runs, and ends it", async () => {
    const session = await runtime.session(identityModel("f32", [2]));
    const run = session.run({ x: f32([2], [1, 2]) });
    await session[Symbol.asyncDispose]();
    expect(await run).toEqual({ y: f32([2], [1, 2]) });
    await expect(session.run({ x: f32([2], [1, 2]) })).rejects.toThrow(/used after it was disposed of/);
    await session[Symbol.asyncDispose]();
  });

  test("a signal that is aborted already rejects with its reason, and the session stays usable", async () => {
    await withSession(identityModel("f32", [1]), async (session) => {
      const reason = new Error("no longer wanted");
      const run = session.run({ x: f32([1], [1]) }, { signal: AbortSignal.abort(reason) });
      await expect(run).rejects.toBe(reason);
      expect(await session.run({ x: f32([1], [1]) })).toEqual({ y: f32([1], [1]) });
    });
  });

  test.each(["off", "basic", "extended", "all"] as const)(
    "optimization %s gives the same numbers",
    async (optimization) => {
      await using session = await runtime.session(stepModel(), { optimization, prepack: false });
      const feeds = { x: f32([2], [1, 2]), s: f32([2], [3, 4]) };
      expect(await session.run(feeds, { outputs: ["y"] })).toEqual({ y: f32([2], [8, 12]) });
    },
  );

  test("wrong options are refused", async () => {
    const model = identityModel("f32", [1]);
    await expect(runtime.session(model, { providers: ["Abacus"] })).rejects.toThrow(
      /no provider abacus; .*CPU/i,
    );
    await expect(runtime.session(model, { threads: 0 })).rejects.toThrow(UsageError);
    const createWith = name === "node" ? createNodeRuntime : createWebRuntime;
    await expect(createWith({ threads: 0.5 })).rejects.toThrow(UsageError);
  });

  test("a runtime that was disposed of makes nothing more, and takes its sessions along", async () => {
    const other = await create();
    const session = await other.session(identityModel("f32", [1]));
    await other[Symbol.asyncDispose]();
    await other[Symbol.asyncDispose]();
    expect(() => other.empty("f32", [1])).toThrow(/runtime: used after it was disposed of/);
    await expect(other.session(identityModel("f32", [1]))).rejects.toThrow(RuntimeFailure);
    await expect(session.run({ x: f32([1], [1]) })).rejects.toThrow(RuntimeFailure);
  });

  test("values and weights of another runtime are refused", async () => {
    const stranger = await (name === "node" ? createWebRuntime : createNodeRuntime)();
    using value = stranger.value(f32([1], [1]));
    using weights = await stranger.weights(new Map([["w", f32([1, 1], [1])]]));
    await withSession(identityModel("f32", [1]), async (session) => {
      await expect(session.run({ x: value })).rejects.toThrow(/belongs to another runtime/);
      expect(() => session.bind().input("x", value)).toThrow(/another runtime/);
    });
    await expect(runtime.session(linearModel(1, 1), { weights })).rejects.toThrow(
      /belongs to another runtime/,
    );
    weights[Symbol.dispose]();
    value[Symbol.dispose]();
    await stranger[Symbol.asyncDispose]();
  });
});
