import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { type HostTensor, rawBytes, toF32 } from "../../src/core/array.ts";
import { dequantizeBlocks } from "../../src/weights/block-quantized.ts";
import type { Checkpoint } from "../../src/weights/checkpoint.ts";
import { type BlockTensor, ggufCheckpoint, isBlockTensor } from "../../src/weights/ggml-rows.ts";
import { openGguf } from "../../src/weights/gguf.node.ts";
import { ggufText } from "../../src/weights/gguf-text.ts";
import { smolLM2 } from "../smollm2.ts";

/** Of all values, as other programs read them: see test/parity/list_smollm2.py. */
const BY_GGUF = "40415f1e3d46f5b6b4486513b1ff23ddbe418d8eb6a0bc62232e2fa781cfd272";
const BY_TRANSFORMERS = "37cfbbd5dc2e13af0b1538271a57e3b5c41e110a0febcca33702fd97a2423611";

const path = await smolLM2();

const sha256 = (data: string | Uint8Array) => createHash("sha256").update(data).digest("hex");
const valuesOf = (t: HostTensor) => sha256(rawBytes(toF32(t)));

async function list({ tensors, read }: Checkpoint, line: (key: string, t: HostTensor) => string) {
  const lines: string[] = [];
  for (const [key, source] of tensors) lines.push(line(key, await read(source)));
  return lines;
}

const total = (lines: readonly string[]) => sha256(lines.map((l) => `${l}\n`).join(""));

test.runIf(path)("a real file: every tensor has the values that gguf's Python package reads", async () => {
  const file = await openGguf(path!);
  expect(file.metadata.get("tokenizer.ggml.model")).toBe("gpt2");
  expect(file.metadata.get("tokenizer.ggml.tokens")).toHaveLength(49152);
  const lines = await list(
    ggufCheckpoint(file),
    (key, t) => `${key} ${file.tensors.get(key)!.type.name} ${t.shape.join("x")} ${valuesOf(t)}`,
  );
  expect(lines).toHaveLength(272);
  expect(total(lines)).toBe(BY_GGUF);
});

test.runIf(path)(
  "a real file: names, order of rows and configuration are those of transformers",
  async () => {
    const { checkpoint, config } = await ggufText(await openGguf(path!));
    const lines = await list(checkpoint, (key, t) => `${key} ${t.shape.join("x")} ${valuesOf(t)}`);
    expect(total(lines.sort())).toBe(BY_TRANSFORMERS);
    expect(config).toEqual({
      architectures: ["LlamaForCausalLM"],
      model_type: "llama",
      vocab_size: 49152,
      hidden_size: 576,
      intermediate_size: 1536,
      num_hidden_layers: 30,
      num_attention_heads: 9,
      num_key_value_heads: 3,
      head_dim: 64,
      hidden_act: "silu",
      max_position_embeddings: 8192,
      rms_norm_eps: 1e-5,
      rope_theta: 100000,
      rope_scaling: null,
      tie_word_embeddings: true,
      bos_token_id: 1,
      eos_token_id: 2,
      pad_token_id: 2,
      attention_bias: false,
      mlp_bias: false,
    });
  },
);

test.runIf(path)("a real file: repacked blocks keep the values of a layer", async () => {
  const { checkpoint } = await ggufText(await openGguf(path!));
  const layer = [...checkpoint.tensors].filter(
    (entry): entry is [string, BlockTensor] =>
      entry[0].startsWith("model.layers.7.") && isBlockTensor(entry[1]),
  );
  expect(layer).toHaveLength(7);
  for (const [key, source] of layer) {
    const again = dequantizeBlocks(await source.repack()).data;
    const values = toF32(await checkpoint.read(source)).data;
    let [largest, worst] = [0, 0];
    for (const [i, v] of values.entries()) {
      largest = Math.max(largest, Math.abs(v));
      worst = Math.max(worst, Math.abs(v - again[i]!));
    }
    expect([key, worst <= largest * 2 ** -23]).toEqual([key, true]);
  }
});
