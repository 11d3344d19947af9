import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { grad } from "../../src/autodiff/index.ts";
import { type HostTensor, i64, toF32 } from "../../src/core/array.ts";
import { constant, input, paramTensor, type Tensor } from "../../src/graph/tensor.ts";
import { InternVisionModel, VisionConfig } from "../../src/models/intern_vit.ts";
import { InternVLC, InternVLConfig } from "../../src/models/internvl_c.ts";
import { interpolatePositions } from "../../src/models/interpolate-positions.ts";
import { contrastiveLoss } from "../../src/nn/losses.ts";
import { parameters } from "../../src/nn/module.ts";
import { mul, sum } from "../../src/ops/index.ts";
import { createRuntime } from "../../src/runtime/ort.node.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { expectClose } from "../close.ts";
import { evaluate } from "../evaluate.ts";
import { readGolden, under } from "./golden.ts";

/** The models of make_internvl_c.py, whose outputs and gradients were computed by PyTorch 2.13 in f32. */
const VISION = {
  patch_size: 4,
  image_size: 12,
  hidden_size: 12,
  num_attention_heads: 3,
  intermediate_size: 20,
  num_hidden_layers: 2,
};
const CONFIG = InternVLConfig.parse({
  clip_embed_dim: 10,
  attn_pool_num_heads: 2,
  vision_config: VISION,
  qllama_config: {
    hidden_size: 16,
    intermediate_size: 22,
    num_attention_heads: 2,
    num_hidden_layers: 2,
    vocab_size: 31,
  },
});

/** Relative to the largest magnitude of a tensor, both in f32; the sums run in another order. */
const OUTPUTS = 1e-5;
const GRADIENTS = 1e-4;

/** A constant added to all keys moves all scores of a query alike, which softmax does not see: what is left is noise. */
const WITHOUT_EFFECT = /clip_projector\.(norm1_k\.bias|cross_attn\.k_bias)$/;

const f32Of = (t: HostTensor) => toF32(t);

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime[Symbol.asyncDispose]());

describe("InternVL-C", async () => {
  const golden = await readGolden("internvl_c");
  const weights = under(golden, "weight.");
  const model = new InternVLC(CONFIG);
  const params = [...parameters(model)];
  const pixels = input("pixels", "f32", [3, 3, 12, 12]);
  const ids = input("ids", "i64", [3, 7]);
  const eos = input("eos", "i64", [3]);
  const feeds = { pixels: golden.get("pixels")!, ids: golden.get("ids")!, eos: i64([3], [4, 6, 1]) };

  /** Every gradient under its key, beside the outputs. */
  const withGradients = (outputs: Record<string, Tensor>, loss: Tensor) => {
    const gradients = grad(
      loss,
      params.map(([, p]) => paramTensor(p)),
    );
    return { ...outputs, ...Object.fromEntries(params.map(([key], i) => [`grad.${key}`, gradients[i]!])) };
  };

  const check = (results: Record<string, HostTensor>, prefix = "") => {
    for (const [name, actual] of Object.entries(results))
      if (WITHOUT_EFFECT.test(name))
        for (const v of f32Of(actual).data) expect(Math.abs(v), name).toBeLessThan(1e-6);
      else
        expectClose(f32Of(actual), f32Of(golden.get(prefix + name)!), {
          relative: name.startsWith("grad.") ? GRADIENTS : OUTPUTS,
          where: name,
        });
  };

  test("has the parameters of the reference", () => {
    expect(new Map(params.map(([key, p]) => [key, [...p.shape]]))).toEqual(
      new Map(params.map(([key]) => [key, weights.get(key)?.shape])),
    );
    expect(weights.size).toBe(params.length);
  });

  test("every stage, the loss and the gradient of every parameter", async () => {
    const vit = model.vision_model.forward(pixels);
    const pooled = model.clip_projector.forward(vit);
    const text = model.encodeText(ids, eos);
    const loss = contrastiveLoss(pooled, text, model.scale());
    const outputs = { vit, pooled, text_hidden: model.qllama.model.encodeText(ids, 7), text, loss };
    const results = await evaluate(runtime, withGradients(outputs, loss), { feeds, weights });
    expect(Object.keys(results)).toHaveLength(5 + params.length);
    check(results);
  });

  test("with patches and branches dropped", async () => {
    const image = model.encodeImage(pixels, {
      keptPatches: input("kept", "i64", [3, 4]),
      dropPath: input("drop", "f32", [4, 3, 1, 1]),
    });
    const loss = contrastiveLoss(image, model.encodeText(ids, eos), model.scale());
    const results = await evaluate(runtime, withGradients({ image, loss }, loss), {
      feeds: { ...feeds, kept: golden.get("kept")!, drop: golden.get("drop")! },
      weights,
    });
    check(results, "noisy.");
  });
});

describe("InternViT", async () => {
  const golden = await readGolden("intern_vit");
  const options = ["rms_norm", "layer_norm"].flatMap((norm_type) =>
    [true, false].flatMap((qk_normalization) =>
      [true, false].map((qkv_bias) => ({ norm_type, qk_normalization, qkv_bias })),
    ),
  );

  test.each(options)("with $norm_type, qk_normalization $qk_normalization, qkv_bias $qkv_bias", async (o) => {
    const name = `${o.norm_type}.${o.qk_normalization ? "qk_norm" : "plain"}.${o.qkv_bias ? "bias" : "free"}.`;
    const model = new InternVisionModel(VisionConfig.parse({ ...VISION, ...o, num_hidden_layers: 1 }));
    const params = [...parameters(model)];
    const weights = under(golden, `${name}weight.`);
    expect(params.map(([key]) => key).sort()).toEqual([...weights.keys()].sort());

    const output = model.forward(input("pixels", "f32", [2, 3, 12, 12]));
    const loss = sum(mul(output, constant(golden.get("direction")!)));
    const gradients = grad(
      loss,
      params.map(([, p]) => paramTensor(p)),
    );
    const outputs = Object.fromEntries(params.map(([key], i) => [`grad.${key}`, gradients[i]!]));
    const results = await evaluate(
      runtime,
      { ...outputs, output },
      { feeds: { pixels: golden.get("pixels")! }, weights },
    );
    for (const [key, actual] of Object.entries(results))
      expectClose(f32Of(actual), f32Of(golden.get(name + key)!), {
        relative: key === "output" ? OUTPUTS : GRADIENTS,
        where: `${name}${key}`,
      });
  });
});

describe("position tables", async () => {
  const golden = await readGolden("positions");
  test.each([
    [4, 6],
    [5, 3],
    [3, 7],
    [4, 4],
    [1, 2],
    [16, 26],
  ])("grid of %i to %i, as torch's bicubic", (grid, to) => {
    const resized = interpolatePositions(golden.get(`${grid}.${to}.table`)!, to);
    expectClose(resized, f32Of(golden.get(`${grid}.${to}.resized`)!), {
      relative: OUTPUTS,
      where: `${grid} -> ${to}`,
    });
  });
});
