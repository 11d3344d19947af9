import { fromBinary } from "@bufbuild/protobuf";
import { ModelProtoSchema } from "onnx-buf";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectClose } from "../../test/close.ts";
import { evaluate, normals, randomWeights } from "../../test/evaluate.ts";
import { grad } from "../autodiff/index.ts";
import { f32, i64, toF32 } from "../core/array.ts";
import { ShapeError } from "../core/errors.ts";
import { Rng } from "../core/rng.ts";
import type { Shape } from "../core/shape.ts";
import { constant, input, paramTensor, scalar, type Tensor } from "../graph/tensor.ts";
import { InternVLC, InternVLConfig } from "../models/internvl_c.ts";
import { Linear } from "../nn/layers.ts";
import { parameters } from "../nn/module.ts";
import {
  add,
  concat,
  dimValue,
  expand,
  mean,
  mul,
  neg,
  pad,
  range,
  reshape,
  slice,
  square,
  sum,
  transpose,
} from "../ops/index.ts";
import { createRuntime } from "../runtime/ort.node.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { emit } from "./emit.ts";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime[Symbol.asyncDispose]());

const tiny = new InternVLC(
  InternVLConfig.parse({
    clip_embed_dim: 6,
    attn_pool_num_heads: 2,
    vision_config: {
      patch_size: 4,
      image_size: 12,
      hidden_size: 12,
      num_attention_heads: 3,
      intermediate_size: 20,
      num_hidden_layers: 2,
    },
    qllama_config: {
      hidden_size: 16,
      intermediate_size: 22,
      num_attention_heads: 2,
      num_hidden_layers: 2,
      vocab_size: 31,
    },
  }),
);
const weights = randomWeights(parameters(tiny), new Rng("tiny"));

describe("symbolic sizes", () => {
  /** Sizes such as 1+N, 2*B and B+B*N through every op that moves elements. */
  const build = (B: number | string, N: number | string): Record<string, Tensor> => {
    const x = input("x", "f32", [B, N, 4] as Shape);
    const cls = expand(constant(normals("cls", [1, 1, 4])), [B, 1, 4]);
    const tokens = concat(cls, x, { axis: 1 }); // [B, 1+N, 4]
    const doubled = concat(tokens, neg(tokens), { axis: 0 }); // [2*B, 1+N, 4]
    const flat = reshape(doubled, [...flatSize(doubled.shape), 4]);
    const weighted = mul(flat, add(flat, 2));
    const back = reshape(weighted, doubled.shape);
    const patches = slice(back, { axis: 1, start: 1, end: tokens.shape[1]! }); // [2*B, N, 4]
    const padded = pad(patches, { axis: 1, before: 1, after: N }); // [2*B, 1+2*N, 4]
    const pooled = mean(padded, { axes: [1] });
    const all = mean(square(transpose(padded, [1, 0, 2])));
    const loss = add(all, sum(pooled));
    return {
      pooled,
      padded,
      all,
      gradient: grad(loss, [x])[0]!,
      tokens: sum(square(tokens), { axes: [0, 2] }),
    };
  };
  const flatSize = ([a, b]: Shape): Shape => [
    typeof a === "number" && typeof b === "number" ? a * b : "2*B+2*B*N",
  ];

  test("one session serves all sizes and equals the graph of each", async () => {
    await using session = await runtime.session(emit(build("B", "N")).bytes);
    for (const [B, N] of [
      [1, 1],
      [2, 5],
      [5, 2],
    ] as const) {
      const feeds = { x: normals(`x ${B} ${N}`, [B, N, 4]) };
      const expected = await evaluate(runtime, build(B, N), { feeds });
      const actual = await session.run(feeds);
      for (const [name, t] of Object.entries(expected))
        expectClose(toF32(actual[name]!), toF32(t), { relative: 1e-6, where: `${name} of B ${B}, N ${N}` });
    }
  });

  test("are values where they are asked for", async () => {
    const x = input("x", "f32", ["B", "N"]);
    const outputs = {
      positions: range({ n: "N" }),
      area: dimValue({ dim: "1+2*B*N" }),
      batch: dimValue({ dim: "B" }),
      used: sum(x),
    };
    const { positions, area, batch } = await evaluate(runtime, outputs, {
      feeds: { x: normals("x", [2, 3]) },
    });
    expect(positions).toMatchObject({ shape: [3], data: BigInt64Array.of(0n, 1n, 2n) });
    expect([area!.data[0], batch!.data[0]]).toEqual([13n, 2n]);
  });

  test.each([1, 2, 5])("the image encoder takes a batch of %i", async (B) => {
    const build = (batch: number | string) => ({
      y: tiny.encodeImage(input("pixels", "f32", [batch, 3, 12, 12])),
    });
    const feeds = { pixels: normals("pixels", [B, 3, 12, 12]) };
    const expected = await evaluate(runtime, build(B), { feeds, weights });
    const actual = await evaluate(runtime, build("B"), { feeds, weights });
    expectClose(toF32(actual.y!), toF32(expected.y!), { relative: 1e-6 });
  });

  test("the text encoder takes all batches and lengths in one session", async () => {
    const build = (B: number | string, L: number | string) => ({
      y: tiny.encodeText(input("ids", "i64", [B, L]), input("eos", "i64", [B])),
    });
    const model = emit(build("B", "L"));
    using set = await runtime.weights(new Map(model.params.map((p) => [p.key, weights.get(p.key)!])));
    await using session = await runtime.session(model.bytes, { weights: set });
    for (const [B, L] of [
      [1, 1],
      [3, 4],
      [2, 80],
    ] as const) {
      const rng = new Rng(`ids ${B} ${L}`);
      const feeds = {
        ids: i64(
          [B, L],
          Array.from({ length: B * L }, () => rng.int(31)),
        ),
        eos: i64(
          [B],
          Array.from({ length: B }, () => rng.int(L)),
        ),
      };
      const expected = await evaluate(runtime, build(B, L), { feeds, weights });
      const actual = await session.run(feeds);
      expectClose(toF32(actual.y!), toF32(expected.y!), { relative: 1e-5, where: `B ${B}, L ${L}` });
    }
  });
});

describe("emit", () => {
  const x = input("x", "f32", ["B", 3]);

  test("gives the same bytes for the same graph", () => {
    const build = () => {
      const model = new InternVLC(tiny.cfg);
      const y = model.encodeImage(input("pixels", "f32", ["B", 3, 12, 12]));
      return emit({ y, g: grad(sum(y), [paramTensor(model.logit_scale)])[0]! }).bytes;
    };
    expect(Buffer.from(build()).equals(Buffer.from(build()))).toBe(true);
  });

  test("names nodes after the module whose weights they use, and writes equal constants once", () => {
    const layer = new Linear(3, 2);
    parameters(layer, "encoder.layers.0.fc");
    const y = mul(add(layer.forward(x), 0.5), 0.5);
    const { graph } = fromBinary(ModelProtoSchema, emit({ y }).bytes);
    expect(graph!.node.some((n) => n.name.startsWith("encoder.layers.0.fc/"))).toBe(true);
    const keys = graph!.initializer.map((t) => t.name);
    expect(keys).toEqual(expect.arrayContaining(["encoder.layers.0.fc.weight", "encoder.layers.0.fc.bias"]));
    expect(graph!.initializer.filter((t) => t.dims.length === 0)).toHaveLength(1);
    expect(new Set(graph!.node.map((n) => n.name)).size).toBe(graph!.node.length);
  });

  test("gives parameters as weights or as inputs", () => {
    const layer = new Linear(3, 2);
    parameters(layer, "fc");
    const y = layer.forward(x);
    const inputs = (params: "weights" | "inputs") =>
      fromBinary(ModelProtoSchema, emit({ y }, { params }).bytes).graph!.input.map((i) => i.name);
    expect(inputs("weights")).toEqual(["x"]);
    expect(inputs("inputs")).toEqual(["x", "fc.weight", "fc.bias"]);
    expect(emit({ y }).params.map((p) => p.key)).toEqual(["fc.weight", "fc.bias"]);
  });

  test("outputs may be inputs, constants and one another", async () => {
    const y = neg(x);
    const feeds = { x: f32([1, 3], [1, 2, 3]) };
    const results = await evaluate(runtime, { y, same: y, copy: x, two: scalar(2) }, { feeds });
    expect(results.same).toEqual(results.y);
    expect(results.copy).toEqual(feeds.x);
    expect(results.two!.data[0]).toBe(2);
  });

  test("a size that no input has", () => {
    const build = (n: string) => () => emit({ y: range({ n }) });
    expect(build("L")).toThrow(ShapeError);
    expect(build("L")).toThrow('emit: no input has the symbolic size "L"');
    expect(build("1+2*L")).toThrow('emit: no input has the symbolic size "L"');
  });

  test("two values of one name", () => {
    const again = input("x", "f32", ["B", 3]);
    expect(() => emit({ y: add(x, again) })).toThrow(ShapeError);
    expect(() => emit({ y: add(x, again) })).toThrow("different names, found twice: x");
    expect(() => emit({ x: neg(x) })).toThrow("found twice: x");
  });
});
