import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { ConfigError, UsageError } from "../../src/core/errors.ts";
import { nextTask } from "../../src/core/next-task.ts";
import { Rng } from "../../src/core/rng.ts";
import type { ChatChunk, ChatMessages, ChatModel, ChatOptions } from "../../src/infer/chat-model.ts";
import { loadChatModel } from "../../src/infer/load-chat-model.node.ts";
import { PictureEncoder } from "../../src/infer/picture-tokens.ts";
import { openTokenizer } from "../../src/text/tokenizer.node.ts";
import type { RgbImage } from "../../src/vision/image.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { TINY_CHAT_CONFIG, TINY_VOCABULARY, writeTinyChat } from "../tiny-chat.ts";

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let model: ChatModel;
beforeAll(async () => {
  folder = await temporaryFolder();
  await writeTinyChat(folder.path);
  model = await loadChatModel(folder.path, { threads: 1 });
});
afterAll(async () => {
  await model[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

const GREEDY: ChatOptions = { temperature: 0, maxTokens: 12 };

async function chunks(messages: ChatMessages, options = GREEDY, of = model): Promise<ChatChunk[]> {
  const all: ChatChunk[] = [];
  for await (const chunk of of.chat(messages, options)) all.push(chunk);
  return all;
}

const textOf = (all: readonly ChatChunk[], index = 0) =>
  all.filter((c) => c.index === index).reduce((text, c) => text + c.text, "");

const ask = (text: string): ChatMessages => [{ role: "user", content: text }];

function picture(name: string, width: number, height: number): RgbImage {
  const rng = new Rng(name);
  return { width, height, data: Uint8Array.from({ length: width * height * 3 }, () => rng.int(256)) };
}

const withPicture = (image: RgbImage, text = "what is it"): ChatMessages => [
  {
    role: "user",
    content: [
      { type: "image", image },
      { type: "text", text },
    ],
  },
];

describe("an answer", () => {
  test("comes in chunks whose tokens are its text, and ends with its reason and what it took", async () => {
    const all = await chunks(ask("hello there"));
    const tokenizer = await openTokenizer(folder.path);
    const bytes = all.flatMap((c) => c.tokens.flatMap((t) => [...t.bytes]));
    const text = textOf(all);
    expect(text.length).toBeGreaterThan(0);
    expect(new TextDecoder().decode(Uint8Array.from(bytes))).toBe(text);
    const last = all.at(-1)!;
    expect(last.finishReason).toBe("length");
    expect(last.usage!.completionTokens).toBe(12);
    // <|im_start|> and <|im_end|> are a token each, the words between them what the tokenizer makes of them.
    const plain = (s: string) => tokenizer.encode(s).length;
    const system =
      "system\n你是书生·万象，英文名是InternVL，是由上海人工智能实验室、清华大学及多家合作单位联合开发的多模态大语言模型。";
    const expected =
      5 + plain(system) + plain("\n") + plain("user\nhello there") + plain("\n") + plain("assistant\n");
    expect(last.usage!.promptTokens).toBe(expected);
    expect(all.slice(0, -1).every((c) => c.usage === undefined && c.finishReason === undefined)).toBe(true);
  });

  test("is the same again, from a computed beginning or not", async () => {
    const first = await chunks(ask("one two three"));
    const again = await chunks(ask("one two three"));
    const [a, b] = [first.at(-1)!.usage!, again.at(-1)!.usage!];
    expect(textOf(again)).toBe(textOf(first));
    expect(b.cachedTokens).toBe(b.promptTokens - 1);
    expect(a.promptTokens).toBe(b.promptTokens);
  });

  test("goes on a conversation without computing it again", async () => {
    const turn = ask("tell me more");
    const answer = textOf(await chunks(turn));
    const follow = [
      ...turn,
      { role: "assistant" as const, content: answer },
      { role: "user" as const, content: "and then" },
    ];
    const usage = (await chunks(follow)).at(-1)!.usage!;
    const before = (await chunks(turn)).at(-1)!.usage!;
    expect(usage.cachedTokens).toBeGreaterThanOrEqual(before.promptTokens);
    await using fresh = await loadChatModel(folder.path, { threads: 1 });
    expect(textOf(await chunks(follow))).toBe(textOf(await chunks(follow, GREEDY, fresh)));
  });

  test("ends before a stop text", async () => {
    const whole = textOf(await chunks(ask("stop somewhere")));
    const stop = whole.slice(4, 6);
    const all = await chunks(ask("stop somewhere"), { ...GREEDY, stop: [stop] });
    expect(textOf(all)).toBe(whole.slice(0, whole.indexOf(stop)));
    expect(all.at(-1)!.finishReason).toBe("stop");
  });

  test("there may be several, each with its own random numbers, the same for one seed", async () => {
    const options = { temperature: 1.5, maxTokens: 8, n: 3, seed: 7 };
    const all = await chunks(ask("say anything"), options);
    const texts = [0, 1, 2].map((i) => textOf(all, i));
    expect(new Set(texts).size).toBe(3);
    expect(all.filter((c) => c.finishReason)).toHaveLength(3);
    expect(all.at(-1)!.usage!.completionTokens).toBe(24);
    const again = await chunks(ask("say anything"), options);
    expect([0, 1, 2].map((i) => textOf(again, i))).toEqual(texts);
  });

  test("never holds an id that the tokenizer has not", async () => {
    // The model has logits for more rows than there are tokens; drawn hot, they would come.
    const all = await chunks(ask("hot"), { temperature: 2, maxTokens: 300, seed: 3 });
    expect(TINY_CHAT_CONFIG.llm_config.vocab_size).toBeGreaterThan(TINY_VOCABULARY);
    expect(all.flatMap((c) => c.tokens).length).toBeGreaterThan(100);
  });

  test("tells the likeliest tokens where it is asked to", async () => {
    const [first] = await chunks(ask("logprobs"), { ...GREEDY, top_logprobs: 3 });
    const [token] = first!.tokens;
    expect(token!.top).toHaveLength(3);
    expect(token!.top[0]!.logprob).toBe(token!.logprob);
    expect(token!.logprob).toBeLessThan(0);
  });

  test("stops when it is told to, and leaves the model usable", async () => {
    const controller = new AbortController();
    const seen: ChatChunk[] = [];
    const run = (async () => {
      for await (const chunk of model.chat(ask("long"), {
        temperature: 0,
        maxTokens: 400,
        signal: controller.signal,
      })) {
        seen.push(chunk);
        if (seen.length === 3) controller.abort(new Error("enough"));
      }
    })();
    await expect(run).rejects.toThrow("enough");
    expect(seen.length).toBeLessThanOrEqual(4);
    for await (const _ of model.chat(ask("left"), { temperature: 0, maxTokens: 50 })) break;
    expect(textOf(await chunks(ask("one two three")))).not.toBe("");
  });

  test("that is left does not wait for those of its question that have not begun", async () => {
    await using own = await loadChatModel(folder.path, { threads: 1, batch: 2 });
    const begin = async (text: string, n = 1) => {
      const answer = own.chat(ask(text), { ...GREEDY, n })[Symbol.asyncIterator]();
      return { answer, first: await answer.next() };
    };
    // One stays where it is; of the two others the second waits for a row, behind somebody else.
    const { answer: stays } = await begin("stays");
    const { answer: left } = await begin("left", 2);
    const waits = begin("waits");
    await nextTask();
    await left.next();
    await left.return!();
    const { answer: waited, first } = await waits;
    expect(first.done).toBe(false);
    await stays.return!();
    await waited.return!();
  });

  test("ends with an error when the model is released, which waits for it", async () => {
    const own = await loadChatModel(folder.path, { threads: 1 });
    const answer = own.chat(ask("hello there"), { temperature: 0, maxTokens: 50 })[Symbol.asyncIterator]();
    await answer.next();
    const next = answer.next();
    const released = own[Symbol.asyncDispose]();
    await expect(next).rejects.toThrow("it was released");
    await released;
    await expect(chunks(ask("hello"), GREEDY, own)).rejects.toThrow("it was released");
  });

  test("of a prompt that the model has no ids for is refused", async () => {
    await using small = await temporaryFolder();
    await writeTinyChat(small.path, { rows: 300 });
    await using own = await loadChatModel(small.path, { threads: 1 });
    await expect(chunks(ask("hello there"), GREEDY, own)).rejects.toThrow(/the model has ids below 300/);
  });

  test("several conversations at once are not mixed up", async () => {
    const questions = ["red", "green apples", "blue sky above", "yellow", "a b c"];
    const alone: string[] = [];
    for (const q of questions) alone.push(textOf(await chunks(ask(q))));
    const together = await Promise.all(questions.map((q) => chunks(ask(q))));
    expect(together.map((all) => textOf(all))).toEqual(alone);
  });
});

describe("a picture", () => {
  test("changes the answer, and takes its tiles' tokens", async () => {
    const one = await chunks(withPicture(picture("a", 28, 28)));
    const other = await chunks(withPicture(picture("b", 28, 28)));
    expect(textOf(one)).not.toBe(textOf(other));
    const text = (await chunks(ask("\nwhat is it"))).at(-1)!.usage!.promptTokens;
    // One tile of 2 × 2 tokens between <img> and </img>; the line break before the words was counted already.
    expect(one.at(-1)!.usage!.promptTokens).toBe(text + 4 + 2);
    // Three tiles side by side and a thumbnail.
    const wide = await chunks(withPicture(picture("c", 84, 28)));
    expect(wide.at(-1)!.usage!.promptTokens).toBe(text + 4 * 4 + 2);
    const single = await chunks(withPicture(picture("c", 84, 28)), { ...GREEDY, maxTiles: 1 });
    expect(single.at(-1)!.usage!.promptTokens).toBe(text + 4 + 2);
  });

  test("may have a number of tiles of its own, and leaves the rest to the others of its message", async () => {
    const wide = picture("c", 84, 28);
    const usage = async (...tiles: (number | undefined)[]) => {
      const content = tiles.map((maxTiles) => ({
        type: "image" as const,
        image: wide,
        ...(maxTiles !== undefined && { maxTiles }),
      }));
      return (await chunks([{ role: "user", content }])).at(-1)!.usage!.promptTokens;
    };
    const least = await usage(1, 1);
    // Three tiles and a thumbnail instead of one tile, of four tokens each.
    expect([await usage(1, undefined), await usage(3, 1), await usage(3, 3)]).toEqual([
      least + 12,
      least + 12,
      least + 24,
    ]);
    await expect(usage(0)).rejects.toThrow(/maxTiles of a picture is 0; give a whole number/);
    await expect(usage(1.5)).rejects.toThrow(UsageError);
  });

  test("in tiles of another size than the tower's own takes other positions", async () => {
    await using large = await temporaryFolder();
    await writeTinyChat(large.path, { imageSize: 42 });
    await using own = await loadChatModel(large.path, { threads: 1 });
    const usage = async (of: ChatModel) =>
      (await chunks(withPicture(picture("one", 30, 30)), GREEDY, of)).at(-1)!.usage!.promptTokens;
    // A tile of 28 pixels has 4 tokens, one of 42 has 9.
    expect(await usage(own)).toBe((await usage(model)) + 5);
  });

  test("that has no room with the others of its conversation is not looked at", async () => {
    const looks = vi.spyOn(PictureEncoder.prototype, "encode");
    const content = Array.from({ length: 130 }, (_, i) => ({
      type: "image" as const,
      image: picture(`${i}`, 28, 28),
    }));
    await expect(chunks([{ role: "user", content }])).rejects.toThrow(
      /takes \d+ tokens, the context holds 512 .* fewer pictures/,
    );
    expect(looks).not.toHaveBeenCalled();
    looks.mockRestore();
  });

  test("of an earlier turn is not looked at again", async () => {
    const turn = withPicture(picture("d", 56, 56));
    const answer = textOf(await chunks(turn));
    const follow: ChatMessages = [
      ...turn,
      { role: "assistant", content: answer },
      { role: "user", content: "sure" },
    ];
    const before = (await chunks(turn)).at(-1)!.usage!.promptTokens;
    expect((await chunks(follow)).at(-1)!.usage!.cachedTokens).toBeGreaterThanOrEqual(before);
  });

  test("frames of a video have one tile each", async () => {
    const frames = ["e", "f", "g"].map((name) => picture(name, 84, 28));
    const video: ChatMessages = [
      {
        role: "user",
        content: [
          { type: "video", frames },
          { type: "text", text: "go" },
        ],
      },
    ];
    const tokenizer = await openTokenizer(folder.path);
    const all = await chunks(video);
    const text = (await chunks(ask("go"))).at(-1)!.usage!.promptTokens;
    const labels = ["user\nFrame-1: ", "\nFrame-2: ", "\nFrame-3: ", "\ngo"];
    const words = labels.reduce(
      (n, s) => n + tokenizer.encode(s).length,
      -tokenizer.encode("user\ngo").length,
    );
    expect(all.at(-1)!.usage!.promptTokens).toBe(text + words + 3 * (4 + 2));
  });
});

describe("an answer that is kept to JSON", () => {
  test("is what the schema describes, and ends by itself", async () => {
    const schema = {
      type: "object",
      properties: { name: { enum: ["cat", "dog"] }, count: { type: "integer" }, ok: { type: "boolean" } },
      required: ["name", "count", "ok"],
      additionalProperties: false,
    };
    // Random words of a random model: only the grammar makes them JSON. Numbers may be long.
    for (const seed of [1, 2, 3]) {
      const options: ChatOptions = {
        temperature: 1,
        seed,
        maxTokens: 300,
        responseFormat: { type: "json_schema", schema },
      };
      const all = await chunks(ask("json"), options);
      const value = JSON.parse(textOf(all)) as Record<string, unknown>;
      expect(["cat", "dog"]).toContain(value.name);
      expect(Number.isInteger(value.count)).toBe(true);
      expect(Object.keys(value)).toHaveLength(3);
      expect(all.at(-1)!.finishReason).toBe("stop");
    }
  });

  test("a keyword that is not known is refused by name", async () => {
    const responseFormat = { type: "json_schema", schema: { type: "string", pattern: "a" } } as const;
    await expect(chunks(ask("json"), { ...GREEDY, responseFormat })).rejects.toThrow(/pattern/);
  });
});

test("a text goes on without a template", async () => {
  const all: ChatChunk[] = [];
  for await (const chunk of model.complete("once upon", { ...GREEDY })) all.push(chunk);
  const tokenizer = await openTokenizer(folder.path);
  expect(all.at(-1)!.usage!.promptTokens).toBe(tokenizer.encode("once upon").length);
});

describe("what is not possible is refused", () => {
  test.each<[string, ChatMessages, ChatOptions, RegExp]>([
    ["no message", [], {}, /user/],
    ["too long a conversation", ask("x ".repeat(900)), {}, /takes \d+ tokens, the context holds 512/],
    ["no tokens", ask("a"), { maxTokens: 0 }, /maxTokens is 0/],
    ["half an answer", ask("a"), { n: 1.5 }, /n is 1.5/],
    ["an empty stop text", ask("a"), { stop: [""] }, /stop text is empty/],
    ["a temperature", ask("a"), { temperature: -1 }, /temperature/],
  ])("%s", async (_, messages, options, message) => {
    const refused = chunks(messages, options);
    await expect(refused).rejects.toThrow(message);
    await expect(refused).rejects.toThrow(UsageError);
  });

  test("a folder without a template's name, an mmproj for a folder, a context of nothing", async () => {
    await using other = await temporaryFolder();
    await writeTinyChat(other.path);
    const { template: _, ...rest } = TINY_CHAT_CONFIG;
    await writeFile(join(other.path, "config.json"), JSON.stringify(rest));
    await expect(loadChatModel(other.path)).rejects.toThrow(/names no template/);
    await expect(loadChatModel(other.path)).rejects.toThrow(ConfigError);
    await expect(loadChatModel(folder.path, { mmproj: "x" })).rejects.toThrow(
      /mmproj belongs to a \.gguf file/,
    );
    await expect(loadChatModel(folder.path, { context: 1 })).rejects.toThrow(/context is 1/);
  });
});
