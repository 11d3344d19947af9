import fc from "fast-check";
import { afterAll, expect, test, vi } from "vitest";
import { nextTask } from "../../src/core/next-task.ts";
import { Rng } from "../../src/core/rng.ts";
import { Batch } from "../../src/infer/batch.ts";
import { CacheRows } from "../../src/infer/cache-rows.ts";
import { Decoder } from "../../src/infer/decoder.ts";
import { generate } from "../../src/infer/generate.ts";
import { KvCache } from "../../src/infer/kv-cache.ts";
import { createSampler } from "../../src/infer/sampling.ts";
import { SamplingOptions } from "../../src/infer/sampling-options.ts";
import { sequenceOf } from "../../src/infer/sequence.ts";
import { TokenHistory } from "../../src/infer/token-history.ts";
import { languageModel } from "../../src/models/language_models.ts";
import { parameters } from "../../src/nn/module.ts";
import { createRuntime } from "../../src/runtime/ort.node.ts";
import { randomWeights } from "../evaluate.ts";

/** What a text says does not depend on who else is in the batch, nor on when they come and go. */
const SIZES = {
  vocab_size: 97,
  hidden_size: 48,
  intermediate_size: 64,
  num_hidden_layers: 2,
  num_attention_heads: 3,
  num_key_value_heads: 1,
  max_position_embeddings: 16,
  rms_norm_eps: 1e-6,
};

const ready = createRuntime({ threads: 1 });
afterAll(async () => (await ready)[Symbol.asyncDispose]());

async function withDecoder<T>(config: object, use: (decoder: Decoder) => Promise<T>): Promise<T> {
  const runtime = await ready;
  const language = languageModel("LlamaForCausalLM", { ...SIZES, ...config }, "test").create();
  using weights = await runtime.weights(randomWeights(parameters(language), new Rng("batch")));
  await using decoder = await Decoder.create(runtime, language, weights);
  return await use(decoder);
}

const settings = (maxNewTokens: number, signal?: AbortSignal) => ({
  sampler: createSampler(SamplingOptions.parse({ temperature: 0 })),
  history: new TokenHistory(),
  maxNewTokens,
  stopIds: new Set<number>(),
  ...(signal && { signal }),
});

async function alone(decoder: Decoder, ids: readonly number[], length: number): Promise<number[]> {
  using cache = decoder.cache(1, ids.length + length);
  const made: number[] = [];
  for await (const { id } of generate(sequenceOf(decoder, cache), { ids }, settings(length))) made.push(id);
  return made;
}

/** One text in a batch; `pause` before it takes its next token. */
async function among(
  batch: Batch,
  ids: readonly number[],
  length: number,
  options: { pause?: (made: number) => Promise<unknown> | undefined; signal?: AbortSignal } = {},
): Promise<number[]> {
  const { pause, signal } = options;
  const sequence = await batch.join(ids, signal ? { signal } : {});
  const made: number[] = [];
  try {
    const rest = { ids: ids.slice(sequence.known) };
    for await (const { id } of generate(sequence, rest, settings(length, signal))) {
      made.push(id);
      await pause?.(made.length);
    }
  } finally {
    sequence.leave([...ids, ...made]);
  }
  return made;
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const prompt = (name: string, length: number) => {
  const rng = new Rng(name);
  return Array.from({ length }, () => rng.int(SIZES.vocab_size));
};

const text = fc.record({
  /** Few beginnings, so that texts share them. */
  start: fc.constantFrom("a", "b", "c"),
  prompt: fc.integer({ min: 1, max: 40 }),
  length: fc.integer({ min: 1, max: 12 }),
  /** Milliseconds until it comes, and before one of its tokens. */
  after: fc.integer({ min: 0, max: 6 }),
  slow: fc.option(fc.record({ at: fc.integer({ min: 1, max: 6 }), ms: fc.integer({ min: 0, max: 20 }) })),
});

test.each([
  ["constant angles", {}],
  ["angles that grow with the length", { rope_scaling: { type: "dynamic", factor: 2 } }],
])("texts come and go, and each says what it says alone: %s", async (_, config) => {
  await withDecoder(config, async (decoder) => {
    const known = new Map<string, Promise<number[]>>();
    const expected = (ids: readonly number[], length: number) => {
      const key = `${ids}/${length}`;
      if (!known.has(key)) known.set(key, alone(decoder, ids, length));
      return known.get(key)!;
    };
    await using batch = new Batch(decoder, 3, 64);
    await fc.assert(
      fc.asyncProperty(fc.array(text, { minLength: 1, maxLength: 7 }), async (texts) => {
        const runs = texts.map(async ({ start, prompt: size, length, after, slow }) => {
          const ids = prompt(start, size);
          await sleep(after);
          const pause = (n: number) => (slow?.at === n ? sleep(slow.ms) : undefined);
          return { made: await among(batch, ids, length, { pause }), ids, length };
        });
        for (const { made, ids, length } of await Promise.all(runs))
          expect(made).toEqual(await expected(ids, length));
      }),
      { numRuns: 25 },
    );
  });
});

test("one run serves all texts that wait for a token", async () => {
  await withDecoder({}, async (decoder) => {
    let runs = 0;
    const { run } = decoder;
    decoder.run = (...args) => {
      runs++;
      return run.apply(decoder, args);
    };
    await using batch = new Batch(decoder, 4, 64);
    await Promise.all(["a", "b", "c", "d"].map((name) => among(batch, prompt(name, 5), 20)));
    // Four prompts, and about twenty steps together; alone they would be eighty.
    expect(runs).toBeLessThan(40);
  });
});

test("texts of different angles lie beside each other and are not moved again", async () => {
  const rope_scaling = { type: "dynamic", factor: 2 };
  await withDecoder({ rope_scaling }, async (decoder) => {
    const moved = vi.spyOn(KvCache.prototype, "swapRows");
    await using batch = new Batch(decoder, 3, 64);
    const lengths = [20, 26, 32];
    const made = await Promise.all(lengths.map((n) => among(batch, prompt("angles", n), 24)));
    for (const [i, n] of lengths.entries())
      expect(made[i]).toEqual(await alone(decoder, prompt("angles", n), 24));
    expect(moved.mock.calls.length).toBeLessThan(2 * lengths.length);
    moved.mockRestore();
  });
});

test("a text's room is known while rows change places", async () => {
  await withDecoder({}, async (decoder) => {
    await using rows = new CacheRows(decoder, 2, 64);
    const [short, long] = [await rows.borrow([1]), await rows.borrow([2])];
    rows.cache.extend(1, 1);
    rows.cache.truncate(0, short.row.index);
    const held = () => [short, long].map(({ row }) => rows.cache.lengths[row.index]);
    const before = held();
    let isMoved = false;
    const moved = rows.gather([[long.row]]).then(() => {
      isMoved = true;
    });
    while (!isMoved) {
      expect(held()).toEqual(before);
      await Promise.resolve();
    }
    await moved;
    expect(long.row.index).toBe(0);
    expect(held()).toEqual(before);
  });
});

test("a long prompt is computed between the tokens of others", async () => {
  await withDecoder({ max_position_embeddings: 2048 }, async (decoder) => {
    await using batch = new Batch(decoder, 2, 2048);
    let said = 0;
    const stop = new AbortController();
    const talker = among(batch, prompt("talker", 5), 2000, {
      signal: stop.signal,
      pause: async () => {
        said++;
      },
    });
    await expect.poll(() => said, { interval: 1 }).toBeGreaterThan(3);
    const before = said;
    // Pieces are as long as the machine computes in a tenth of a second, here told to be small.
    const { run } = decoder;
    decoder.run = async (cache, step, options) => {
      if (step.ids[0]!.length > 1) await sleep(step.ids[0]!.length);
      return run.call(decoder, cache, step, options);
    };
    await among(batch, prompt("long", 1500), 1);
    expect(said - before).toBeGreaterThan(8);
    stop.abort(new Error("enough"));
    await expect(talker).rejects.toThrow("enough");
  });
});

test("what others know of a prompt is not computed again, whether they are still at it or not", async () => {
  await withDecoder({ max_position_embeddings: 256 }, async (decoder) => {
    await using batch = new Batch(decoder, 3, 128);
    const shared = prompt("shared", 40);
    const first = await batch.join(shared);
    await first.prefill({ ids: shared });
    const busy = await batch.join([...shared, 1, 2]);
    expect(busy.known).toBe(40);
    busy.leave(shared);
    first.leave([...shared, 5, 6]);
    const later = await batch.join([...shared, 5, 6, 7]);
    // The row that held the answer knows it; the last token of an answer was never given to the model.
    expect(later.known).toBe(40);
    later.leave(shared);
    expect(await among(batch, [...shared, 9], 6)).toEqual(await alone(decoder, [...shared, 9], 6));
    // A short beginning is copied from a long conversation, which keeps its row.
    await among(batch, prompt("conversation", 60), 4);
    const short = await batch.join([...prompt("conversation", 60).slice(0, 10), 3]);
    expect(short.known).toBe(10);
    short.leave([]);
    const again = await batch.join(prompt("conversation", 60));
    expect(again.known).toBe(59);
    again.leave([]);
  });
});

test("who waits for a row gets it in order, or goes when it is told to", async () => {
  await withDecoder({}, async (decoder) => {
    await using batch = new Batch(decoder, 1, 64);
    const first = await batch.join([1, 2]);
    const order: number[] = [];
    const gone = new AbortController();
    const others = [0, 1, 2].map(async (i) => {
      const sequence = await batch.join([i, 5], i === 1 ? { signal: gone.signal } : {});
      order.push(i);
      sequence.leave([]);
    });
    gone.abort(new Error("gone"));
    await expect(others[1]).rejects.toThrow("gone");
    expect(order).toEqual([]);
    first.leave([]);
    await Promise.all([others[0], others[2]]);
    expect(order).toEqual([0, 2]);
  });
});

test("who comes when a row becomes free does not get it before those who wait", async () => {
  await withDecoder({}, async (decoder) => {
    await using batch = new Batch(decoder, 1, 64);
    const order: string[] = [];
    const come = async (name: string, rounds: number) => {
      for (let i = 0; i < rounds; i++) {
        const sequence = await batch.join([1, 2]);
        order.push(name);
        await nextTask();
        sequence.leave([]);
      }
    };
    // The first comes back as soon as it has left.
    await Promise.all([come("a", 4), come("b", 1), come("c", 1)]);
    expect(order).toEqual(["a", "b", "c", "a", "a", "a"]);
  });
});

test("a text that fails or is given up leaves the others alone", async () => {
  await withDecoder({}, async (decoder) => {
    await using batch = new Batch(decoder, 3, 24);
    const ids = prompt("fine", 6);
    const abort = new AbortController();
    const [fine, given, full] = await Promise.allSettled([
      among(batch, ids, 16),
      among(batch, prompt("given up", 6), 16, {
        signal: abort.signal,
        pause: async (n) => {
          if (n === 4) abort.abort(new Error("given up"));
        },
      }),
      batch.join(prompt("full", 24)).then(async (sequence) => {
        try {
          await sequence.prefill({ ids: prompt("full", 24) });
          return await sequence.next(1);
        } finally {
          sequence.leave([]);
        }
      }),
    ]);
    expect(fine).toEqual({ status: "fulfilled", value: await alone(decoder, ids, 16) });
    expect(given).toMatchObject({ status: "rejected", reason: { message: "given up" } });
    expect(full).toMatchObject({ status: "rejected", reason: { message: /do not fit its capacity of 24/ } });
  });
});

test("a prompt that is given up is told so after the run that is under way, whosever turn is next", async () => {
  await withDecoder({}, async (decoder) => {
    await using batch = new Batch(decoder, 6, 64);
    const abort = new AbortController();
    let runs = 0;
    const { run } = decoder;
    decoder.run = (...args) => {
      if (++runs === 1) abort.abort(new Error("given up"));
      return run.apply(decoder, args);
    };
    let told = 0;
    const others = ["a", "b", "c", "d", "e"].map((name) => among(batch, prompt(name, 5), 1));
    const given = among(batch, prompt("given up", 5), 1, { signal: abort.signal }).catch((error) => {
      told = runs;
      return error.message;
    });
    expect(await given).toBe("given up");
    await Promise.all(others);
    expect(runs).toBe(5);
    expect(told).toBeLessThan(4);
  });
});

test("released while texts are at work, it waits for the run and refuses what comes after", async () => {
  await withDecoder({}, async (decoder) => {
    const batch = new Batch(decoder, 2, 64);
    const stop = new AbortController();
    const runs = ["a", "b"].map((name) => among(batch, prompt(name, 30), 30, { signal: stop.signal }));
    await sleep(1);
    stop.abort(new Error("released"));
    const released = batch[Symbol.asyncDispose]();
    for (const run of runs) await expect(run).rejects.toThrow(/released/);
    await released;
    await expect(batch.join([1])).rejects.toThrow(/released/);
  });
});
