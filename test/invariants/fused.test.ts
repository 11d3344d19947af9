import { afterAll, describe, expect, test } from "vitest";
import { f32, type HostTensor, hostTensor, i64, sizeOf } from "../../src/core/array.ts";
import { Rng } from "../../src/core/rng.ts";
import { constant, input, type Tensor, topological } from "../../src/graph/tensor.ts";
import { InternVLC, InternVLConfig } from "../../src/models/internvl_c.ts";
import { parameters } from "../../src/nn/module.ts";
import { rotaryTable } from "../../src/nn/rope.ts";
import { emit } from "../../src/onnx/emit.ts";
import { fuse } from "../../src/onnx/fuse.ts";
import { attention, causalMask, linear, matmul, rearrange, reshape, rotary } from "../../src/ops/index.ts";
import { createRuntime } from "../../src/runtime/ort.node.ts";
import { expectClose } from "../close.ts";

/** What a graph computes does not change when ops are fused; only how. */
const ready = createRuntime({ threads: 1 });
afterAll(async () => (await ready)[Symbol.asyncDispose]());

const VISION = {
  image_size: 28,
  patch_size: 7,
  hidden_size: 48,
  num_attention_heads: 3,
  intermediate_size: 80,
  num_hidden_layers: 2,
};
const TEXT = {
  hidden_size: 32,
  intermediate_size: 56,
  num_attention_heads: 2,
  num_hidden_layers: 2,
  vocab_size: 50,
};

const variants = [
  { norm_type: "rms_norm", qk_normalization: true, qkv_bias: false },
  { norm_type: "layer_norm", qk_normalization: false, qkv_bias: true },
] as const;

const names = (t: Tensor) => topological([t]).map((n) => n.op.def.name);

describe.each(variants)("InternVL-C with $norm_type", (variant) => {
  const config = InternVLConfig.parse({
    clip_embed_dim: 24,
    attn_pool_num_heads: 4,
    vision_config: { ...VISION, ...variant },
    qllama_config: TEXT,
  });
  const model = new InternVLC(config);
  const rng = new Rng("fused");
  const random = (shape: readonly number[]): HostTensor<"f32"> =>
    f32(
      shape,
      Float32Array.from({ length: sizeOf(shape) }, () => 0.4 * rng.normal()),
    );
  const weights = new Map([...parameters(model)].map(([key, p]) => [key, random(p.shape)]));
  const image = model.encodeImage(input("pixels", "f32", ["B", 3, 28, 28]));
  const text = model.encodeText(input("ids", "i64", ["B", "L"]), input("eos", "i64", ["B"]));

  test.each([
    ["image", image, { pixels: random([3, 3, 28, 28]) }],
    [
      "text",
      text,
      {
        ids: hostTensor(
          "i64",
          [3, 5],
          BigInt64Array.from({ length: 15 }, () => BigInt(rng.int(50))),
        ),
        eos: i64([3], [4, 2, 0]),
      },
    ],
  ] as const)("%s: the same values", async (_name, output, feeds) => {
    const runtime = await ready;
    using set = await runtime.weights(weights);
    const run = async (graph: Record<string, Tensor>) => {
      await using session = await runtime.session(emit(graph).bytes, { weights: set });
      return (await session.run(feeds)).y as HostTensor<"f32">;
    };
    expectClose(await run(fuse({ y: output })), await run({ y: output }), { relative: 1e-5 });
  });

  test("the expected kernels stand in the fused graph", () => {
    const [fusedImage, fusedText] = [names(fuse({ y: image }).y!), names(fuse({ y: text }).y!)];
    const count = (list: string[], name: string) => list.filter((n) => n === name).length;
    expect(count(fusedImage, "multi_head_attention")).toBe(VISION.num_hidden_layers + 1);
    expect(count(fusedImage, "softmax")).toBe(0);
    expect(count(fusedImage, "bias_gelu")).toBe(VISION.num_hidden_layers);
    // LayerNorm stays apart from the sum before it: together they take longer.
    const norm = variant.norm_type === "rms_norm" ? "skip_rms_norm" : "layer_norm";
    expect(count(fusedImage, norm)).toBeGreaterThanOrEqual(2 * VISION.num_hidden_layers - 1);
    expect(count(fusedText, "multi_head_attention")).toBe(TEXT.num_hidden_layers);
    expect(count(fusedText, "rotary_embedding")).toBe(2 * TEXT.num_hidden_layers);
    expect(count(fusedText, "causal_mask")).toBe(0);
    expect(count(fusedText, "matmul") + count(fusedText, "gemm")).toBe(7 * TEXT.num_hidden_layers + 1);
    expect(count(fusedText, "skip_rms_norm")).toBe(2 * TEXT.num_hidden_layers);
  });
});

test("a product without a bias takes rows of any rank: nothing is flattened for it", () => {
  const product = (x: (number | string)[]) =>
    names(fuse({ y: linear(input("x", "f32", x), input("w", "f32", [5, 7])) }).y!);
  expect(product(["B", "L", 7])).toEqual(["matmul"]);
  // Matrices of their own rank are not looked at.
  expect(product(["B", 7])).toEqual(names(linear(input("x", "f32", ["B", 7]), input("w", "f32", [5, 7]))));
  // A reshape to other rows than there were stays.
  const x = input("x", "f32", [2, 3, 7]);
  const other = reshape(matmul(reshape(x, [6, 7]), input("w", "f32", [5, 7]), { transB: true }), [3, 2, 5]);
  expect(names(fuse({ y: other }).y!)).toEqual(["reshape", "matmul", "reshape"]);
});

describe("attention by itself", () => {
  const rng = new Rng("grouped");
  const [B, L, d] = [2, 5, 8];
  const random = (shape: readonly number[]): HostTensor<"f32"> =>
    f32(
      shape,
      Float32Array.from({ length: sizeOf(shape) }, () => rng.normal()),
    );
  const heads = (t: Tensor, H: number) => rearrange(t, "B L (H d) -> B H L d", { H });

  test.each([
    ["equal heads, a mask by head", 4, 4, "mask", "multi_head_attention"],
    ["grouped heads, causal and rotary", 4, 2, "causal", "grouped_attention"],
    ["grouped heads, a mask", 6, 2, "mask", "grouped_attention"],
    ["one key head", 3, 1, "none", "grouped_attention"],
  ] as const)("%s", async (_name, H, G, masking, kernel) => {
    const [q, k, v] = [
      input("q", "f32", [B, L, H * d]),
      input("k", "f32", [B, L, G * d]),
      input("v", "f32", [B, L, G * d]),
    ];
    const mask =
      masking === "mask" ? input("mask", "f32", [1, H, L, L]) : causalMask({ rows: L, columns: L });
    const rope = { rope_theta: 10000, head_dim: d, max_position_embeddings: 2048 };
    const [cos, sin] = Object.values(rotaryTable(rope, L)).map(constant) as [Tensor, Tensor];
    const turn = (t: Tensor) => (masking === "causal" ? rotary(t, cos, sin) : t);
    const y = attention(
      turn(heads(q, H)),
      turn(heads(k, G)),
      heads(v, G),
      masking === "none" ? {} : { mask },
    );
    const graph = { y: rearrange(y, "B H L d -> B L (H d)") };
    const fused = fuse(graph);
    expect(names(fused.y!)).toContain(kernel);
    expect(names(fused.y!)).not.toContain("softmax");
    const feeds = {
      q: random([B, L, H * d]),
      k: random([B, L, G * d]),
      v: random([B, L, G * d]),
      ...(masking === "mask" && { mask: random([1, H, L, L]) }),
    };
    const runtime = await ready;
    const run = async (outputs: Record<string, Tensor>) => {
      await using session = await runtime.session(emit(outputs).bytes);
      return (await session.run(feeds)).y as HostTensor<"f32">;
    };
    expectClose(await run(fused), await run(graph), { relative: 1e-5 });
  });
});
