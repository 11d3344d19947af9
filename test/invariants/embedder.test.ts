import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { f32 } from "../../src/core/array.ts";
import { ConfigError, ShapeError, UsageError } from "../../src/core/errors.ts";
import { Rng } from "../../src/core/rng.ts";
import { createContrastiveEmbedder } from "../../src/infer/contrastive-embedder.ts";
import type { Embedder } from "../../src/infer/embedder.ts";
import { createRuntime } from "../../src/runtime/ort.node.ts";
import type { Runtime, WeightSet } from "../../src/runtime/runtime.ts";
import type { Tokenizer } from "../../src/text/tokenizer.ts";
import type { RgbImage } from "../../src/vision/image.ts";
import { expectClose } from "../close.ts";
import { tinyModel, tinyWeights } from "./tiny-model.ts";

/** One id a letter. */
const tokenizer: Tokenizer = {
  encode: (text, { bos, eos } = {}) => [
    ...(bos ? [1] : []),
    ...[...text].map((c) => 3 + (c.codePointAt(0)! % 61)),
    ...(eos ? [2] : []),
  ],
  decode: () => "",
  addedTokens: new Set(),
  bytesOf: () => undefined,
  vocabSize: 64,
  bosId: 1,
  eosId: 2,
  padId: 0,
  idOf: () => undefined,
  decoder: () => ({ push: () => "", end: () => "" }),
  addsBos: true,
  addsEos: true,
};

function picture(seed: number, size = 28): RgbImage {
  const rng = new Rng(`picture ${seed}`);
  return {
    width: size,
    height: size,
    data: Uint8Array.from({ length: size * size * 3 }, () => rng.int(256)),
  };
}

const PICTURES = Array.from({ length: 5 }, (_, i) => picture(i));
const TEXTS = ["a", "two cats", "", "a much longer text about a dog in the snow", "二匹の猫"];

let runtime: Runtime;
let weights: WeightSet;
let embedder: Embedder;
const make = (imageBatch: number, maxTextTokens?: number) =>
  createContrastiveEmbedder({
    id: "tiny",
    scale: 10,
    model: tinyModel(),
    weights,
    tokenizer,
    runtime,
    imageBatch,
    ...(maxTextTokens && { maxTextTokens }),
  });
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
  weights = await runtime.weights(tinyWeights());
  embedder = await make(2);
});
afterAll(async () => {
  await embedder[Symbol.asyncDispose]();
  weights[Symbol.dispose]();
  await runtime[Symbol.asyncDispose]();
});

const asMatrix = (rows: Float32Array[]) =>
  f32(
    [rows.length, rows[0]!.length],
    rows.flatMap((r) => [...r]),
  );

describe("an embedder", () => {
  test("refuses ids that the model has no embedding for, and names them", async () => {
    const model = tinyModel();
    const tiny = { id: "tiny@1", scale: 10, model, weights, runtime };
    const size = model.cfg.qllama_config.vocab_size;
    for (const id of [size, size + 5, -1]) {
      const foreign: Tokenizer = { ...tokenizer, vocabSize: 999, encode: () => [1, id, 2] };
      await using other = await createContrastiveEmbedder({ ...tiny, tokenizer: foreign });
      const embedding = other.embedTexts(["a"]);
      await expect(embedding).rejects.toThrow(ConfigError);
      await expect(embedding).rejects.toThrow(
        `the tokenizer of tiny@1 gives id ${id}, the model's ids end at ${size - 1} (vocab_size ${size}; the tokenizer has 999 pieces)`,
      );
    }
    const last: Tokenizer = { ...tokenizer, encode: () => [1, size - 1, 2] };
    await using fits = await createContrastiveEmbedder({ ...tiny, tokenizer: last });
    expect(await fits.embedTexts(["a"])).toHaveLength(1);
  });

  test("gives a picture the same embedding alone and in a batch, whatever its size", async () => {
    const together = await embedder.embedImages(PICTURES);
    const alone = await Promise.all(PICTURES.map(async (p) => (await embedder.embedImages([p]))[0]!));
    await using wide = await make(16);
    expectClose(asMatrix(together), asMatrix(alone), { relative: 1e-5 });
    expectClose(asMatrix(await wide.embedImages(PICTURES)), asMatrix(alone), { relative: 1e-5 });
  });

  test("gives a text the same embedding beside longer ones", async () => {
    const together = await embedder.embedTexts(TEXTS);
    for (const [i, text] of TEXTS.entries())
      expectClose(asMatrix([together[i]!]), asMatrix(await embedder.embedTexts([text])), {
        relative: 1e-5,
        where: text,
      });
  });

  test("gives unit vectors of its dimension, different for different inputs", async () => {
    const all = [...(await embedder.embedImages(PICTURES)), ...(await embedder.embedTexts(TEXTS))];
    for (const e of all) {
      expect(e).toHaveLength(embedder.dimension);
      expect(e.reduce((s, v) => s + v * v, 0)).toBeCloseTo(1, 5);
    }
    expect(new Set(all.map((e) => e.join())).size).toBe(all.length);
  });

  test("takes none, and the same input to the same output", async () => {
    expect(await embedder.embedImages([])).toEqual([]);
    expect(await embedder.embedTexts([])).toEqual([]);
    expect(await embedder.embedTexts(["x", "y", "x"])).toSatisfy(
      (e: Float32Array[]) => e[0]!.join() === e[2]!.join(),
    );
  });

  test("counts tokens with the prefix of ten letters, BOS and EOS, up to its limit", async () => {
    expect(embedder.countTokens(["", "abc", "x".repeat(500)])).toEqual([12, 15, 80]);
    expect(embedder.countTokens([])).toEqual([]);
    await using short = await make(2, 14);
    expect(short.countTokens(["a", "abc"])).toEqual([13, 14]);
  });

  test("cuts texts at its limit", async () => {
    await using short = await make(2, 15);
    const [a, b, c] = await short.embedTexts(["abc", "abcdefgh", "abX"]);
    expect(a).toEqual(b);
    expect(a).not.toEqual(c);
    await using none = await make(2, 2);
    await expect(none.embedTexts(["a"])).rejects.toThrow(UsageError);
  });

  test("refuses pictures of another size", async () => {
    const odd = [PICTURES[0]!, picture(9, 14)];
    await expect(embedder.embedImages(odd)).rejects.toThrow(ShapeError);
    await expect(embedder.embedImages(odd)).rejects.toThrow("pictures of 28×28 are expected, found 14×14");
  });

  test("stops between batches when told to", async () => {
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(embedder.embedImages(PICTURES, { signal })).rejects.toThrow("enough");
    await expect(embedder.embedTexts(TEXTS, { signal })).rejects.toThrow("enough");
  });
});
