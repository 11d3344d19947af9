import { afterAll, describe, expect, test } from "vitest";
import { f32, type HostTensor, i64 } from "../../src/core/array.ts";
import { Rng } from "../../src/core/rng.ts";
import { input } from "../../src/graph/tensor.ts";
import { CacheRows } from "../../src/infer/cache-rows.ts";
import { Decoder } from "../../src/infer/decoder.ts";
import { generate, searchBeams } from "../../src/infer/generate.ts";
import { logSumExp } from "../../src/infer/logits.ts";
import { createSampler } from "../../src/infer/sampling.ts";
import { SamplingOptions } from "../../src/infer/sampling-options.ts";
import { sequenceOf } from "../../src/infer/sequence.ts";
import { TokenHistory } from "../../src/infer/token-history.ts";
import { languageModel } from "../../src/models/language_models.ts";
import { wholeSequence } from "../../src/nn/decoder.ts";
import { parameters } from "../../src/nn/module.ts";
import { emit } from "../../src/onnx/emit.ts";
import { createRuntime } from "../../src/runtime/ort.node.ts";
import { expectClose } from "../close.ts";
import { normals, randomWeights } from "../evaluate.ts";

const SIZES = {
  vocab_size: 61,
  hidden_size: 48,
  intermediate_size: 40,
  num_hidden_layers: 2,
  num_attention_heads: 3,
  num_key_value_heads: 1,
  max_position_embeddings: 8,
  rms_norm_eps: 1e-6,
};

/** Every way to attend: groups, norms by head, widths that the kernel cannot rotate, windows, sinks, changing angles. */
const MODELS: Readonly<Record<string, readonly [string, Record<string, unknown>]>> = {
  llama: ["LlamaForCausalLM", SIZES],
  "qwen2 with dynamic angles": [
    "Qwen2ForCausalLM",
    { ...SIZES, rope_scaling: { type: "dynamic", factor: 2 } },
  ],
  "qwen3 with heads of 24": ["Qwen3ForCausalLM", { ...SIZES, head_dim: 24 }],
  "qwen2 with heads of 6": ["Qwen2ForCausalLM", { ...SIZES, hidden_size: 18 }],
  "gpt_oss with heads of 20": [
    "GptOssForCausalLM",
    { ...SIZES, head_dim: 20, sliding_window: 4, num_local_experts: 2, num_experts_per_tok: 1 },
  ],
  "phi3 with angles of long sequences": [
    "Phi3ForCausalLM",
    {
      ...SIZES,
      rope_scaling: {
        type: "su",
        short_factor: Array.from({ length: 8 }, (_, i) => 1 + i / 10),
        long_factor: Array.from({ length: 8 }, (_, i) => 1.5 + i / 2),
        original_max_position_embeddings: 8,
      },
    },
  ],
  "phi3 with a window": ["Phi3ForCausalLM", { ...SIZES, num_key_value_heads: 3, sliding_window: 5 }],
  internlm2: ["InternLM2ForCausalLM", SIZES],
  "gpt_oss with sinks": [
    "GptOssForCausalLM",
    { ...SIZES, head_dim: 16, sliding_window: 4, num_local_experts: 3, num_experts_per_tok: 2 },
  ],
  qwen3_moe: [
    "Qwen3MoeForCausalLM",
    {
      ...SIZES,
      head_dim: 16,
      num_experts: 5,
      num_experts_per_tok: 2,
      moe_intermediate_size: 16,
      norm_topk_prob: true,
    },
  ],
};

const IDS = [3, 60, 17, 17, 5, 0, 44, 9, 23, 31, 8, 2];

const ready = createRuntime({ threads: 1 });
afterAll(async () => (await ready)[Symbol.asyncDispose]());

describe.each(Object.entries(MODELS))("%s", (_, [architecture, config]) => {
  const language = languageModel(architecture, config, "test").create();
  const host = randomWeights(parameters(language), new Rng(architecture));

  async function withDecoder<T>(use: (decoder: Decoder) => Promise<T>): Promise<T> {
    const runtime = await ready;
    using weights = await runtime.weights(host);
    await using decoder = await Decoder.create(runtime, language, weights);
    return await use(decoder);
  }

  /** Logits of the last position of a whole sequence, without a cache. */
  async function whole(ids: readonly number[]): Promise<HostTensor<"f32">> {
    const runtime = await ready;
    using weights = await runtime.weights(host);
    const x = language.embed(input("ids", "i64", [1, ids.length]));
    const hidden = language.decode(x, wholeSequence(language.shape.rope, ids.length, ids.length));
    await using session = await runtime.session(emit({ logits: language.logits(hidden) }).bytes, { weights });
    const { logits } = await session.run({ ids: i64([1, ids.length], ids) });
    const V = SIZES.vocab_size;
    return f32([1, V], (logits!.data as Float32Array).slice(-V));
  }

  test("a cache gives what the whole sequence gives, in chunks and one by one", async () => {
    await withDecoder(async (decoder) => {
      for (const chunk of [IDS.length, 5, 1]) {
        using cache = decoder.cache(1, IDS.length + 3);
        const { logits, logSum } = await sequenceOf(decoder, cache, chunk).prefill({ ids: IDS });
        expect(logSum).toBeCloseTo(logSumExp(logits), 5);
        expect(cache.length).toBe(IDS.length);
        expectClose(f32([1, logits.length], logits), await whole(IDS), { relative: 1e-5, where: `${chunk}` });
      }
    });
  });

  test("a prompt that begins as an earlier one did gets the answer that it gets alone", async () => {
    await withDecoder(async (decoder) => {
      await using rows = new CacheRows(decoder, 1, IDS.length);
      for (const end of [5, 8, 9, IDS.length, 7, 4]) {
        const ids = IDS.slice(0, end);
        const { row, length } = (await rows.borrow(ids))!;
        const { logits } = await sequenceOf(decoder, rows.cache, 3).prefill({ ids: ids.slice(length) });
        expectClose(f32([1, logits.length], logits), await whole(ids), { relative: 1e-5, where: `${end}` });
        rows.giveBack(row, ids);
      }
      if (!("rope_scaling" in config)) expect((await rows.borrow(IDS))!.length).toBe(4);
    });
  });

  test("what is cut off a cache leaves no trace", async () => {
    await withDecoder(async (decoder) => {
      using cache = decoder.cache(1, 32);
      await sequenceOf(decoder, cache).prefill({ ids: IDS.slice(0, 7) });
      cache.truncate(3);
      const { logits } = await sequenceOf(decoder, cache).prefill({ ids: IDS.slice(3, 6) });
      expectClose(f32([1, logits.length], logits), await whole(IDS.slice(0, 6)), { relative: 1e-5 });
    });
  });

  test.each([false, true])(
    "rows of different lengths go on side by side as they would alone, moved: %s",
    async (isMoved) => {
      const [long, short] = [IDS.slice(0, 6), IDS.slice(6, 8)];
      await withDecoder(async (decoder) => {
        using b = decoder.cache(2, 8);
        using first = b.part(0, 1);
        using second = b.part(1, 1);
        await sequenceOf(decoder, first).prefill({ ids: long });
        await sequenceOf(decoder, second).prefill({ ids: short });
        if (isMoved) await b.swapRows(0, 1);
        if (isMoved) await b.swapRows(1, 0);
        const both = await decoder.run(b, { ids: [[IDS[8]!], [IDS[9]!]] });
        expect(b.lengths).toEqual([long.length + 1, short.length + 1]);
        const V = SIZES.vocab_size;
        expectClose(f32([1, V], both.data.slice(0, V)), await whole([...long, IDS[8]!]), { relative: 1e-5 });
        expectClose(f32([1, V], both.data.slice(V)), await whole([...short, IDS[9]!]), { relative: 1e-5 });
      });
    },
  );
});

test("what is bound for the next step ends with the cache or the decoder, whichever is first", async () => {
  const runtime = await ready;
  const [architecture, config] = MODELS.llama!;
  const language = languageModel(architecture, config, "test").create();
  using weights = await runtime.weights(randomWeights(parameters(language), new Rng("bound")));
  await using other = await Decoder.create(runtime, language, weights);
  const decoder = await Decoder.create(runtime, language, weights);
  using cache = decoder.cache(1, 8);
  const image = { tokens: normals("image", [1, SIZES.hidden_size]), rows: [0] };
  const steps = async (by: Decoder) => {
    cache.truncate(0);
    const logits: HostTensor[] = [];
    for (const id of [3, 9]) logits.push(await by.run(cache, { ids: [[id]] }));
    logits.push(await by.run(cache, { ids: [[0]], images: image }));
    logits.push(await by.run(cache, { ids: [[5]] }));
    return logits;
  };
  const first = await steps(decoder);
  // An image token in the place of an id, then none again; each step has logits of its own.
  expect(new Set(first.map((t) => t.data)).size).toBe(4);
  const [, , pictured] = first;
  cache.truncate(2);
  expect((await decoder.run(cache, { ids: [[0]] })).data).not.toEqual(pictured!.data);
  expect(await steps(decoder)).toEqual(first);
  await decoder[Symbol.asyncDispose]();
  expect(await steps(other)).toEqual(first);
});

describe("generating", () => {
  const [architecture, config] = MODELS.llama!;
  const language = languageModel(architecture, config, "test").create();
  const host = randomWeights(parameters(language), new Rng("generate"));

  async function tokens(
    options: {
      capacity?: number;
      maxNewTokens?: number;
      stopIds?: ReadonlySet<number>;
      signal?: AbortSignal;
    } = {},
  ): Promise<number[]> {
    const runtime = await ready;
    using weights = await runtime.weights(host);
    await using decoder = await Decoder.create(runtime, language, weights);
    using cache = decoder.cache(1, options.capacity ?? 40);
    const settings = {
      sampler: createSampler(SamplingOptions.parse({ temperature: 0 })),
      history: new TokenHistory(),
      maxNewTokens: options.maxNewTokens ?? 9,
      stopIds: options.stopIds ?? new Set<number>(),
      ...(options.signal && { signal: options.signal }),
    };
    const made: number[] = [];
    for await (const { id } of generate(sequenceOf(decoder, cache), { ids: IDS.slice(0, 4) }, settings))
      made.push(id);
    return made;
  }

  test("ends at a stop id, at the number of tokens, and when the cache is full", async () => {
    const all = await tokens();
    expect(all).toHaveLength(9);
    const stop = all[3]!;
    expect(await tokens({ stopIds: new Set([stop]) })).toEqual(all.slice(0, all.indexOf(stop) + 1));
    // A position each for the prompt's four and two new ones; the third is told and has no place.
    expect(await tokens({ capacity: 6 })).toEqual(all.slice(0, 3));
  });

  test("pieces of a prompt are shorter where their scores would take much memory", async () => {
    const runtime = await ready;
    using weights = await runtime.weights(host);
    await using decoder = await Decoder.create(runtime, language, weights);
    const pieces = [1000, 2 ** 17, 2 ** 24].map((capacity) => decoder.chunkFor(capacity));
    const heads = language.shape.num_attention_heads;
    expect(pieces).toEqual([128, Math.min(128, Math.floor(256 / heads)), 16]);
  });

  test("the next token is under way while the reader has one, and over when the reader has left", async () => {
    const runtime = await ready;
    using weights = await runtime.weights(host);
    await using decoder = await Decoder.create(runtime, language, weights);
    using cache = decoder.cache(1, 40);
    const settings = {
      sampler: createSampler(SamplingOptions.parse({ temperature: 0 })),
      history: new TokenHistory(),
      maxNewTokens: 9,
      stopIds: new Set<number>(),
    };
    let read = 0;
    for await (const _ of generate(sequenceOf(decoder, cache), { ids: IDS.slice(0, 4) }, settings))
      if (++read === 2) break;
    // The prompt's four, the first token and the second, whose successor nobody wants.
    expect(cache.length).toBe(6);
  });

  test("stops when it is told to", async () => {
    await expect(tokens({ signal: AbortSignal.abort(new Error("enough")) })).rejects.toThrow("enough");
  });

  test("one beam more finds nothing less likely than the greedy text", async () => {
    const runtime = await ready;
    using weights = await runtime.weights(host);
    await using decoder = await Decoder.create(runtime, language, weights);
    const search = {
      num_beams: 4,
      max_new_tokens: 5,
      min_new_tokens: 0,
      repetition_penalty: 1,
      length_penalty: 1,
    };
    const best = await searchBeams(decoder, { ids: IDS.slice(0, 4) }, search, { stopIds: new Set() });
    const greedy = await tokens({ maxNewTokens: 5 });
    const logprob = async (text: readonly number[]) => {
      using cache = decoder.cache(1, 10);
      const history = new TokenHistory();
      let total = 0;
      const sequence = sequenceOf(decoder, cache);
      let { logits } = await sequence.prefill({ ids: IDS.slice(0, 4) });
      for (const id of text) {
        const bias = { [id]: 100 };
        const sampler = createSampler(SamplingOptions.parse({ temperature: 0, logit_bias: bias }));
        const chosen = sampler.next(logits, history);
        expect(chosen.id).toBe(id);
        total += chosen.logprob;
        ({ logits } = await sequence.next(id));
      }
      return total;
    };
    expect(best).toHaveLength(5);
    expect(await logprob(best)).toBeGreaterThanOrEqual((await logprob(greedy)) - 1e-5);
  });
});
