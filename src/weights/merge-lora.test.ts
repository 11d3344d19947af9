import { expect, test } from "vitest";
import { castFloat, f32, type HostTensor, toF32 } from "../core/array.ts";
import { CheckpointError, ConfigError } from "../core/errors.ts";
import type { TensorSource } from "../runtime/runtime.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { mergeLora } from "./merge-lora.ts";

const checkpoint = (tensors: Readonly<Record<string, TensorSource>>): Checkpoint => ({
  name: "the file",
  keys: Object.keys(tensors),
  tensors: new Map(Object.entries(tensors)),
  metadata: {},
  read: async (source) => ("load" in source ? source.load() : (source as HostTensor)),
});

const LAYER = "language_model.base_model.model.model.layers.0.self_attn.q_proj";
const W = f32([2, 3], [1, 2, 3, 4, 5, 6]);
const A = f32([2, 3], [1, 0, -1, 0.5, 2, 0]);
const B = f32([2, 2], [1, -1, 0.25, 3]);
/** W + 2·B·A by hand: B·A is [0.5, -2, -1] and [1.75, 6, -0.25]. */
const MERGED = [2, -2, 1, 7.5, 17, 5.5];

const adapter = (layer = LAYER): Record<string, TensorSource> => ({
  [`${layer}.base_layer.weight`]: W,
  [`${layer}.lora_A.default.weight`]: A,
  [`${layer}.lora_B.default.weight`]: B,
});
const RANKS = { use_backbone_lora: 0, use_llm_lora: 2 };

test("a layer and its adapter become one weight under the plain key, biases and the rest are renamed", async () => {
  const [bias, norm, tile] = [f32([2], [7, 8]), f32([3], [1, 1, 1]), f32([1], [0])];
  const made = mergeLora(
    checkpoint({
      "mlp1.0.weight": tile,
      ...adapter(),
      [`${LAYER}.base_layer.bias`]: bias,
      "language_model.base_model.model.model.norm.weight": norm,
    }),
    RANKS,
  );
  const layer = "language_model.model.layers.0.self_attn.q_proj";
  expect(made.keys).toEqual([
    "mlp1.0.weight",
    `${layer}.weight`,
    `${layer}.bias`,
    "language_model.model.norm.weight",
  ]);
  const weight = made.tensors.get(`${layer}.weight`)!;
  expect(weight).toMatchObject({ dtype: "f32", shape: [2, 3], load: expect.any(Function) });
  expect([...(await made.read(weight)).data]).toEqual(MERGED);
  expect([...W.data]).toEqual([1, 2, 3, 4, 5, 6]);
  expect(made.tensors.get(`${layer}.bias`)).toBe(bias);
  expect(made.tensors.get("language_model.model.norm.weight")).toBe(norm);
});

test("adapters of peft before 0.6, whose layers keep their names", async () => {
  const [bias, other] = [f32([2], [7, 8]), f32([2, 3], [0, 0, 0, 0, 0, 0])];
  const { [`${LAYER}.base_layer.weight`]: weight, ...parts } = adapter();
  const made = mergeLora(
    checkpoint({
      ...{ [`${LAYER}.weight`]: weight!, [`${LAYER}.bias`]: bias, ...parts },
      "language_model.base_model.model.lm_head.weight": other,
    }),
    RANKS,
  );
  const layer = "language_model.model.layers.0.self_attn.q_proj";
  expect(made.keys).toEqual([`${layer}.weight`, `${layer}.bias`, "language_model.lm_head.weight"]);
  expect([...(await made.read(made.tensors.get(`${layer}.weight`)!)).data]).toEqual(MERGED);
  expect(made.tensors.get("language_model.lm_head.weight")).toBe(other);
});

test.each(["f16", "bf16"] as const)(
  "parts in %s are added in f32, adapters of the tower too",
  async (dtype) => {
    const layer = "vision_model.base_model.model.encoder.layers.3.attn.qkv";
    const parts = Object.entries(adapter(layer)).map(([key, t]) => {
      const fine = f32(
        t.shape,
        toF32(t as HostTensor).data.map((v) => v * 1.01),
      );
      return [key, castFloat(fine, dtype)] as const;
    });
    const made = mergeLora(checkpoint(Object.fromEntries(parts)), { use_backbone_lora: 2, use_llm_lora: 0 });
    const merged = await made.read(made.tensors.get("vision_model.encoder.layers.3.attn.qkv.weight")!);
    const [w, a, b] = parts.map(([, t]) => toF32(t).data) as [Float32Array, Float32Array, Float32Array];
    expect(merged.dtype).toBe("f32");
    for (let o = 0; o < 2; o++)
      for (let i = 0; i < 3; i++) {
        const expected = w[o * 3 + i]! + 2 * (b[o * 2]! * a[i]! + b[o * 2 + 1]! * a[3 + i]!);
        expect(Math.abs((merged.data[o * 3 + i] as number) - expected)).toBeLessThan(1e-6 * 20);
      }
  },
);

test("a file without adapters has what it had", () => {
  const plain = { "language_model.model.norm.weight": W, "vision_model.embeddings.class_embedding": A };
  const none = { use_backbone_lora: 0, use_llm_lora: 0 };
  expect([...mergeLora(checkpoint(plain), none).tensors]).toEqual(Object.entries(plain));
});

test.each<[string, (t: Record<string, TensorSource>) => void, RegExp]>([
  ["no B", (t) => delete t[`${LAYER}.lora_B.default.weight`], /q_proj\.weight: without lora_B;/],
  ["no base", (t) => delete t[`${LAYER}.base_layer.weight`], /q_proj\.weight: without base_layer;/],
  [
    "a transposed B",
    (t) => Object.assign(t, { [`${LAYER}.lora_B.default.weight`]: f32([1, 2], [1, 2]) }),
    /found f32 \[2, 3\], f32 \[2, 3\], f32 \[1, 2\]/,
  ],
  [
    "integers",
    (t) =>
      Object.assign(t, {
        [`${LAYER}.lora_A.default.weight`]: { ...A, dtype: "i32", data: new Int32Array(6) },
      }),
    /i32 \[2, 3\]/,
  ],
  [
    "the plain key beside it",
    (t) => Object.assign(t, { "language_model.model.layers.0.self_attn.q_proj.weight": W }),
    /q_proj\.weight: given twice/,
  ],
])("refused: %s", (_, change, message) => {
  const tensors = adapter();
  change(tensors);
  const merge = () => mergeLora(checkpoint(tensors), RANKS);
  expect(merge).toThrow(CheckpointError);
  expect(merge).toThrow(message);
});

test.each<[string, Record<string, TensorSource>, number, RegExp]>([
  ["another rank", adapter(), 16, /use_llm_lora is 16 and the file has adapters of rank 2 in language_model/],
  ["no rank", adapter(), 0, /use_llm_lora is 0 and the file has adapters of rank 2/],
  [
    "no adapters",
    { "language_model.model.norm.weight": W },
    2,
    /use_llm_lora is 2 and the file has no adapters/,
  ],
])("a configuration that says otherwise: %s", (_, tensors, use_llm_lora, message) => {
  const merge = () => mergeLora(checkpoint(tensors), { use_backbone_lora: 0, use_llm_lora });
  expect(merge).toThrow(ConfigError);
  expect(merge).toThrow(message);
});
