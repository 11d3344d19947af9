import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { HostTensor } from "../../src/core/array.ts";
import type { Precision } from "../../src/core/precisions.ts";
import { loadChatModel } from "../../src/infer/load-chat-model.node.ts";
import { openChatModel } from "../../src/infer/open-chat-model.node.ts";
import { Quantizer } from "../../src/models/quantizer.ts";
import { parameters } from "../../src/nn/module.ts";
import { createRuntime } from "../../src/runtime/ort.node.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { readTensor } from "../../src/weights/file-range.node.ts";
import { multipliesInt8 } from "../int8.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { writeTinyChat } from "../tiny-chat.ts";

/** The vision tower and its projector may be kept in a precision of their own. */
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let runtime: Runtime;
let quantizer: Quantizer;
beforeAll(async () => {
  folder = await temporaryFolder();
  await writeTinyChat(folder.path);
  runtime = await createRuntime();
  quantizer = new Quantizer(runtime);
});
afterAll(async () => {
  await quantizer[Symbol.asyncDispose]();
  await runtime[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

const isVision = (key: string) => /^(vision_model|mlp1)\./.test(key);

/** Weights of one half of the model. */
async function half(vision: boolean, precision?: Precision, visionPrecision?: Precision) {
  const { model, weights } = await openChatModel(folder.path, { precision, visionPrecision, quantizer });
  expect([...weights.keys()].sort()).toEqual([...parameters(model).keys()].sort());
  const held = new Map<string, HostTensor>();
  for (const [key, source] of weights) if (isVision(key) === vision) held.set(key, await readTensor(source));
  return held;
}

describe.each<readonly [Precision | undefined, Precision]>([
  ["w4", "w8a8"],
  ["w8", "bf16"],
  [undefined, "w8"],
  ["w4", "f32"],
])("%s with a vision tower in %s", (precision, vision) => {
  test("has each half's weights as that precision alone gives them", async () => {
    expect(await half(true, precision, vision)).toEqual(await half(true, vision));
    expect(await half(false, precision, vision)).toEqual(await half(false, precision));
    expect(await half(true, precision, vision)).not.toEqual(await half(true, precision));
  });
});

test("answers, and has a name of its own", async () => {
  const visionPrecision = (await multipliesInt8(runtime)) ? "w8a8" : "f32";
  await using both = await loadChatModel(folder.path, { precision: "w8", visionPrecision, threads: 1 });
  await using one = await loadChatModel(folder.path, { precision: "w8", threads: 1 });
  expect(both.id).not.toBe(one.id);
  const image = { width: 40, height: 30, data: new Uint8Array(3600).fill(90) };
  let made = 0;
  for await (const { tokens } of both.chat([{ role: "user", content: [{ type: "image", image }] }], {
    temperature: 0,
    maxTokens: 3,
  }))
    made += tokens.length;
  expect(made).toBeGreaterThan(0);
});
