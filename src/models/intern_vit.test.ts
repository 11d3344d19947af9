import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectClose } from "../../test/close.ts";
import { evaluate, normals, randomWeights } from "../../test/evaluate.ts";
import { f32, type HostTensor, i64, sizeOf, toF32 } from "../core/array.ts";
import { IMAGENET_MEAN, IMAGENET_STD } from "../core/imagenet.ts";
import { Rng } from "../core/rng.ts";
import { input } from "../graph/tensor.ts";
import { parameters } from "../nn/module.ts";
import { createRuntime } from "../runtime/ort.node.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { InternVisionModel, VisionConfig } from "./intern_vit.ts";
import { InternVLC, InternVLConfig } from "./internvl_c.ts";
import { interpolatePositions } from "./interpolate-positions.ts";
import { normalizePixels } from "./pixels.ts";

const CONFIG = VisionConfig.parse({
  patch_size: 4,
  image_size: 12,
  hidden_size: 12,
  num_attention_heads: 3,
  intermediate_size: 20,
  num_hidden_layers: 2,
});
const model = new InternVisionModel(CONFIG);
const weights = randomWeights(parameters(model), new Rng("vit"));

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime[Symbol.asyncDispose]());

const pixels = input("pixels", "f32", [2, 3, 12, 12]);
const feeds: Record<string, HostTensor> = { pixels: normals("pixels", [2, 3, 12, 12]) };
const run = (outputs: Parameters<typeof evaluate>[1], more: Record<string, HostTensor> = {}) =>
  evaluate(runtime, outputs, { feeds: { ...feeds, ...more }, weights });

/** Rows of the token axis of one sample of [B, L, D]. */
const tokens = (t: HostTensor, sample: number, rows: readonly number[]) => {
  const [, L, D] = t.shape as [number, number, number];
  const { data } = toF32(t);
  const all = rows.flatMap((r) => [...data.subarray((sample * L + r) * D, (sample * L + r + 1) * D)]);
  return f32([rows.length, D], all);
};

describe("dropped patches", () => {
  const kept = input("kept", "i64", [2, 4]);
  const choice = [
    [0, 3, 8, 4],
    [7, 1, 2, 5],
  ];
  const keptFeed = i64([2, 4], choice.flat());

  test("leave the embeddings of the others, with their positions", async () => {
    const { full, part } = await run(
      { full: model.embeddings.forward(pixels), part: model.embeddings.forward(pixels, kept) },
      { kept: keptFeed },
    );
    expect(part!.shape).toEqual([2, 5, 12]);
    for (const b of [0, 1])
      expectClose(tokens(part!, b, [0, 1, 2, 3, 4]), tokens(full!, b, [0, ...choice[b]!.map((p) => p + 1)]), {
        relative: 1e-6,
      });
  });

  test("in another order give the same class token, and all of them the whole picture", async () => {
    const all = i64([2, 9], [0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
    const graph = { y: model.forward(pixels, { keptPatches: kept }) };
    const { y } = await run(graph, { kept: keptFeed });
    const { y: reversed } = await run(graph, {
      kept: i64(
        [2, 4],
        choice.flatMap((c) => c.toReversed()),
      ),
    });
    const whole = await run(
      { y: model.forward(pixels), z: model.forward(pixels, { keptPatches: input("all", "i64", [2, 9]) }) },
      { all },
    );
    for (const b of [0, 1]) {
      expectClose(tokens(reversed!, b, [0]), tokens(y!, b, [0]), { relative: 1e-5 });
      expectClose(tokens(whole.z!, b, [0]), tokens(whole.y!, b, [0]), { relative: 1e-5 });
    }
    expectClose(tokens(whole.z!, 0, [3, 9]), tokens(whole.y!, 0, [3, 9]), { relative: 1e-5 });
    expect(Math.abs(tokens(y!, 0, [0]).data[0]! - tokens(whole.y!, 0, [0]).data[0]!)).toBeGreaterThan(1e-4);
  });
});

describe("drop path", () => {
  const drop = input("drop", "f32", [4, 2, 1, 1]);
  const noisy = { y: model.forward(pixels, { dropPath: drop }) };
  const withKeep = async (keep: number[]) => (await run(noisy, { drop: f32([4, 2, 1, 1], keep) })).y!;
  const rows = Array.from({ length: 10 }, (_, i) => i);

  test("of all branches leaves the embeddings exactly", async () => {
    const { embeddings } = await run({ embeddings: model.embeddings.forward(pixels) });
    expect((await withKeep([0, 0, 0, 0, 0, 0, 0, 0])).data).toEqual(embeddings!.data);
  });

  test("of none is inference", async () => {
    const { y } = await run({ y: model.forward(pixels) });
    expectClose(toF32(await withKeep([1, 1, 1, 1, 1, 1, 1, 1])), toF32(y!), { relative: 1e-6 });
  });

  test("is each sample's own", async () => {
    const both = await withKeep([0, 1, 1, 0, 1, 1, 0, 1]);
    const other = await withKeep([0, 0, 1, 0, 1, 0, 0, 0]);
    expect(tokens(both, 0, rows)).toEqual(tokens(other, 0, rows));
    expect(tokens(both, 1, rows)).not.toEqual(tokens(other, 1, rows));
  });

  test("scales the branch that is kept: a layer is linear in its branch", async () => {
    // Only the very last branch: output = h + keep · branch.
    const [none, one, two] = await Promise.all(
      [0, 1, 2].map(async (k) => toF32(await withKeep([0, 0, 0, 0, 0, 0, k, k])).data),
    );
    const expected = none!.map((v, i) => v + 2 * (one![i]! - v));
    expectClose(f32([expected.length], two!), f32([expected.length], expected), { relative: 1e-5 });
  });
});

test("force_image_size makes the position table of that size and takes such pictures", async () => {
  const cfg = InternVLConfig.parse({
    force_image_size: 20,
    attn_pool_num_heads: 2,
    clip_embed_dim: 6,
    vision_config: CONFIG,
    qllama_config: {
      hidden_size: 8,
      num_attention_heads: 2,
      num_hidden_layers: 1,
      intermediate_size: 8,
      vocab_size: 9,
    },
  });
  const large = new InternVLC(cfg);
  expect(large.imageSize).toBe(20);
  const params = parameters(large);
  const key = "vision_model.embeddings.position_embedding";
  expect(params.get(key)!.shape).toEqual([1, 26, 12]);
  const table = weights.get("embeddings.position_embedding")!;
  const resized = new Map([
    ...randomWeights(params, new Rng("large")),
    [key, interpolatePositions(table, 5)],
  ]);
  const y = large.encodeImage(input("pixels", "f32", [1, 3, 20, 20]));
  const result = await evaluate(
    runtime,
    { y },
    { feeds: { pixels: normals("large", [1, 3, 20, 20]) }, weights: resized },
  );
  expect(result.y!.shape).toEqual([1, 6]);
  expect(() => large.encodeImage(pixels)).toThrow('dims "B C S S": S must be 20');
});

test("a position table that is no grid is refused", () => {
  const table = (shape: number[]) => f32(shape, new Float32Array(sizeOf(shape)));
  expect(() => interpolatePositions(table([1, 7, 2]), 4)).toThrow(
    "a table [1, 1 + g², D] is expected, found [1,7,2]",
  );
  expect(() => interpolatePositions(table([5, 2]), 4)).toThrow("found [5,2]");
});

test("bytes are normalised by ImageNet's statistics, channels first", async () => {
  const images = input("images", "u8", [1, 2, 2, 3]);
  const bytes = Uint8Array.from({ length: 12 }, (_, i) => i * 23);
  const { y } = await evaluate(
    runtime,
    { y: normalizePixels(images) },
    { feeds: { images: { dtype: "u8", shape: [1, 2, 2, 3], data: bytes } } },
  );
  const expected = [0, 1, 2].flatMap((c) =>
    [0, 1, 2, 3].map((i) => (bytes[i * 3 + c]! / 255 - IMAGENET_MEAN[c]!) / IMAGENET_STD[c]!),
  );
  expectClose(toF32(y!), f32([1, 3, 2, 2], expected), { relative: 1e-6 });
  expect(() => normalizePixels(pixels)).toThrow(
    "normalizePixels: u8 [B, S, S, 3] is expected, found input: f32",
  );
});
