import { expect, test } from "vitest";
import { sizeOf } from "../../src/core/array.ts";
import { openChatModel } from "../../src/infer/open-chat-model.node.ts";
import { chatMemory } from "../../src/models/chat-memory.ts";
import { Quantizer } from "../../src/models/quantizer.ts";
import { parameters } from "../../src/nn/module.ts";
import { createRuntime } from "../../src/runtime/ort.node.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { writeTinyChat } from "../tiny-chat.ts";

/** Bytes of a quantised model's weights; what is not quantised counts as bf16, as published files have it. */
const BYTES = (key: string): number => (key.endsWith(".codes") ? 1 : key.endsWith(".scales") ? 4 : 2);

test.each(["w8", "w4"] as const)(
  "a chat model in %s takes the bytes that are computed",
  async (precision) => {
    await using folder = await temporaryFolder();
    await using runtime = await createRuntime({ threads: 1 });
    await using quantizer = new Quantizer(runtime);
    await writeTinyChat(folder.path);
    const published = [...parameters((await openChatModel(folder.path)).model)].map(
      ([key, { shape }]) => [key, shape as number[]] as const,
    );
    const { model, weights } = await openChatModel(folder.path, { precision, quantizer });
    expect([...parameters(model).keys()].sort()).toEqual([...weights.keys()].sort());
    const loaded = [...weights].reduce((sum, [key, { shape }]) => sum + sizeOf(shape) * BYTES(key), 0);
    expect(loaded).toBe(chatMemory(published).weightBytes[precision]);
  },
);
