import { expect, test } from "vitest";
import { evaluate, randomWeights } from "../../test/evaluate.ts";
import { TINY_CHAT_CONFIG } from "../../test/tiny-chat.ts";
import { type HostTensor, hostTensor, i64 } from "../core/array.ts";
import { Rng } from "../core/rng.ts";
import { input, type Tensor } from "../graph/tensor.ts";
import { readChatConfig } from "../models/chat-config.ts";
import { embedPrompt } from "../models/embed-prompt.ts";
import { InternVLChat } from "../models/internvl_chat.ts";
import { normalizePixels } from "../models/pixels.ts";
import { wholeSequence } from "../nn/decoder.ts";
import { nextTokenLoss } from "../nn/losses.ts";
import { parameters } from "../nn/module.ts";
import { reshape } from "../ops/index.ts";
import { createRuntime } from "../runtime/ort.node.ts";
import { sftInputs } from "./sft-inputs.ts";
import { sftLoss } from "./sft-step.ts";

const CONTEXT = 565;
const { chat, language } = readChatConfig(TINY_CHAT_CONFIG, "tiny chat");
const model = new InternVLChat(chat, language.create());
const weights = randomWeights(parameters(model), new Rng("sft"));
const T = model.tokensPerTile;
const context = new Array<number>(T).fill(CONTEXT);
const ignored = (n: number) => new Array<number>(n).fill(-100);
/** One row with a picture and two answers, one of text alone. */
const TEXTS = [
  { ids: [7, ...context, 8, 20, 21, 9, 30], labels: [...ignored(T + 2), 20, 21, -100, 30] },
  { ids: [7, 8, 40], labels: [-100, -100, 40] },
];
const pictures = (seed: string): HostTensor<"u8"> => {
  const rng = new Rng(seed);
  return hostTensor(
    "u8",
    [2, 28, 28, 3],
    Uint8Array.from({ length: 2 * 28 * 28 * 3 }, () => rng.int(256)),
  );
};
const inputs = (images: HostTensor<"u8">) =>
  sftInputs(TEXTS, images, { reduction: "token", tokensPerTile: T, contextId: CONTEXT });

test("is the next-token loss of the whole sequence, which the published models' cases pin", async () => {
  await using runtime = await createRuntime({ threads: 1 });
  const feeds = inputs(pictures("a"));
  const [B, L] = feeds.ids!.shape as [number, number];
  const labels = TEXTS.flatMap((text) => [...text.labels, ...ignored(L - text.labels.length)]);
  const tiles = model.encodeTiles(normalizePixels(input("images", "u8", [B, 28, 28, 3])));
  const tokens = reshape(tiles, [B * T, model.language_model.shape.hidden_size]);
  const x = embedPrompt(
    model.language_model,
    input("ids", "i64", [B, L]),
    tokens,
    input("rows", "i64", [B, L]),
  );
  const hidden = model.language_model.decode(x, wholeSequence(model.language_model.shape.rope, L, L));
  const whole = nextTokenLoss(model.language_model.logits(hidden), input("labels", "i64", [B, L]));
  const all = { ...feeds, labels: i64([B, L], labels) };
  const lossOf = async (loss: Tensor) =>
    Number((await evaluate(runtime, { loss }, { feeds: all, weights })).loss!.data[0]);
  expect(await lossOf(sftLoss(model, { batchSize: B, maxTokens: 64 }))).toBeCloseTo(await lossOf(whole), 4);
});

test("a picture matters where it is named, and that of a text alone does not", async () => {
  await using runtime = await createRuntime({ threads: 1 });
  const loss = async (images: HostTensor<"u8">) => {
    const outputs = { loss: sftLoss(model, { batchSize: 2, maxTokens: 64 }) };
    const found = await evaluate(runtime, outputs, { feeds: inputs(images), weights });
    return Number(found.loss!.data[0]);
  };
  const [a, b] = [pictures("a"), pictures("b")];
  const half = a.data.length / 2;
  const mixed = (first: HostTensor<"u8">, second: HostTensor<"u8">) =>
    hostTensor("u8", a.shape, Uint8Array.from([...first.data.slice(0, half), ...second.data.slice(half)]));
  const before = await loss(a);
  expect(await loss(mixed(a, b))).toBe(before);
  expect(Math.abs((await loss(mixed(b, a))) - before)).toBeGreaterThan(1e-5);
});
