import { cp, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { hostTensor, sizeOf } from "../src/core/array.ts";
import { UsageError } from "../src/core/errors.ts";
import { f32ToBf16 } from "../src/core/half.ts";
import { Rng } from "../src/core/rng.ts";
import { readChatConfig } from "../src/models/chat-config.ts";
import { InternVLChat } from "../src/models/internvl_chat.ts";
import { publishedChat } from "../src/models/published-chat.ts";
import { parameters } from "../src/nn/module.ts";
import type { LazyTensor } from "../src/runtime/runtime.ts";
import { writeSafetensors } from "../src/weights/write-safetensors.node.ts";

/** Few hundred tokens, the special ones among them; models have rows for many more, which are never chosen. */
const TOKENIZER = fileURLToPath(new URL("../src/text/fixtures/qwen2", import.meta.url));

/** Weights that are drawn; a prime number, so that no two rows of a matrix are equal. */
const DRAWN = 1_000_003;

/**
 * Writes a published InternVL-Chat with its own configuration and names and random weights in bf16, in shards as it was
 * published: matrices of uniform numbers in ±0.04, scales 1, biases 0. Returns the number of weights. One tensor is in
 * memory at a time. Throws a UsageError for an unknown name.
 */
export async function writeRandomChat(folder: string, name: string): Promise<number> {
  const published = publishedChat(name);
  if (published?.format !== "github")
    throw new UsageError(`random chat: no published model in the GitHub format is called ${name}`);
  const { chat, language } = readChatConfig(published.config, name);
  const tree = parameters(new InternVLChat(chat, language.create({ tied: false })));
  const rng = new Rng(name);
  const drawn = f32ToBf16(Float32Array.from({ length: DRAWN }, () => 0.08 * (rng.uniform() - 0.5)));
  let phase = 0;
  const tensors = [...tree].map(([key, { shape: given }]): [string, LazyTensor] => {
    const shape = given.map(Number);
    phase += 7919;
    const from = phase % DRAWN;
    const load = async () =>
      hostTensor(
        "bf16",
        shape,
        fill(new Uint16Array(sizeOf(shape)), { key, drawn, from, isVector: shape.length === 1 }),
      );
    return [key, { dtype: "bf16", shape, load }];
  });
  await cp(TOKENIZER, folder, { recursive: true, filter: (path) => !path.endsWith("cases.json") });
  await writeFile(join(folder, "config.json"), JSON.stringify(published.config));
  await writeSafetensors(join(folder, "model.safetensors"), tensors, { maxShardBytes: 5e9 });
  return tensors.reduce((n, [, { shape }]) => n + sizeOf(shape), 0);
}

const ONE = 0x3f80; // in bf16

interface Filling {
  readonly key: string;
  readonly drawn: Uint16Array;
  /** Where in `drawn` it begins. */
  readonly from: number;
  readonly isVector: boolean;
}

function fill(data: Uint16Array, { key, drawn, from, isVector }: Filling): Uint16Array {
  if (isVector) return data.fill(key.endsWith("bias") ? 0 : ONE);
  for (let at = 0, begin = from; at < data.length; begin = 0) {
    const part = drawn.subarray(begin, begin + data.length - at);
    data.set(part, at);
    at += part.length;
  }
  return data;
}
