import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { placeWeights } from "../../src/infer/place-weights.ts";
import { readChatConfig, readLanguageConfig } from "../../src/models/chat-config.ts";
import { InternVLChat } from "../../src/models/internvl_chat.ts";
import { parameters } from "../../src/nn/module.ts";
import { openGguf } from "../../src/weights/gguf.node.ts";
import { ggufPair } from "../../src/weights/gguf-pair.ts";
import { ggufText } from "../../src/weights/gguf-text.ts";

const model = (name: string) =>
  openGguf(fileURLToPath(new URL(`../../src/weights/fixtures/gguf/${name}.gguf`, import.meta.url)));

/** What a GGUF file says of itself makes the model that its weights belong to. */
test.each(["llama-q8", "qwen2", "qwen3", "qwen3moe", "internlm2", "phi3", "gpt-oss"])("%s", async (name) => {
  const { checkpoint, config } = await ggufText(await model(name));
  const language = readLanguageConfig(config, name).create({ tied: false });
  const weights = await placeWeights(language, checkpoint);
  expect([...weights.keys()].sort()).toEqual([...parameters(language).keys()].sort());
});

test("qwen2 with its vision part", async () => {
  const { checkpoint, config } = await ggufPair(await model("qwen2"), await model("mmproj"));
  const { chat, language } = readChatConfig(config, "pair");
  const root = new InternVLChat(chat, language.create({ tied: false }));
  const weights = await placeWeights(root, checkpoint);
  expect([...weights.keys()].sort()).toEqual([...parameters(root).keys()].sort());
});
