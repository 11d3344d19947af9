import OpenAI from "openai";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { ChatMessages } from "../../infer/chat-model.ts";
import { plain } from "../../search/test-support.ts";
import { type FakeChatModel, fakeChatModel } from "./fake-chat-model.test-support.ts";
import { type ChatServer, chatServer } from "./test-server.test-support.ts";

let fake: FakeChatModel;
let server: ChatServer;
let client: OpenAI;

beforeAll(async () => {
  fake = fakeChatModel({ id: "fake@1234" });
  server = await chatServer(
    { fake, "org/thinker": fakeChatModel({ thinking: "Hm." }) },
    { apiKeys: ["k1", "k2"] },
  );
  client = new OpenAI({ baseURL: `${server.url}v1`, apiKey: "k2", maxRetries: 0 });
});
afterAll(async () => {
  expect(server.defects).toEqual([]);
  await server[Symbol.asyncDispose]();
});

const dataUrl = async (colour: string, width: number, height: number) =>
  `data:image/png;base64,${(await plain(colour, width, height)).toString("base64")}`;

test("models, with slashes in their names, and what is none", async () => {
  const models = await client.models.list();
  expect(models.data.map(({ id }) => id)).toEqual(["fake", "org/thinker", "colours-1"]);
  expect(await client.models.retrieve("org/thinker")).toEqual({
    id: "org/thinker",
    object: "model",
    created: expect.any(Number),
    owned_by: "internvl",
    max_model_len: 4096,
  });
  await expect(client.models.retrieve("gpt")).rejects.toMatchObject({ status: 404, code: "model_not_found" });
});

test("an answer, with everything that a request may say", async () => {
  const reply = await client.chat.completions.create({
    model: "fake",
    messages: [
      { role: "developer", content: "Be brief." },
      { role: "user", content: "one", name: "ann" },
      { role: "assistant", content: "You said: one", refusal: null },
      { role: "user", content: "two three" },
    ],
    temperature: 0.5,
    top_p: 0.9,
    max_completion_tokens: 3,
    stop: ["x", "y"],
    seed: 7,
    presence_penalty: 0.1,
    frequency_penalty: -0.1,
    logit_bias: { "5": -100 },
    n: 2,
    user: "u",
    metadata: { a: "b" },
    store: false,
    response_format: {
      type: "json_schema",
      json_schema: { name: "answer", schema: { type: "object" } },
    },
    ...{ top_k: 40, min_p: 0.05, repetition_penalty: 1.1 },
  });
  expect(reply).toMatchObject({
    id: expect.stringMatching(/^chatcmpl-[0-9a-f]{32}$/),
    object: "chat.completion",
    model: "fake",
    system_fingerprint: "fake@1234",
    choices: [
      { index: 0, message: { role: "assistant", content: "#0 You said:" }, finish_reason: "length" },
      { index: 1, message: { role: "assistant", content: "#1 You said:" }, finish_reason: "length" },
    ],
    // Be brief. one You said: one two three
    usage: {
      prompt_tokens: 8,
      completion_tokens: 6,
      total_tokens: 14,
      prompt_tokens_details: { cached_tokens: 1 },
    },
  });
  const { messages, options } = fake.calls.at(-1)!;
  expect(messages).toEqual([
    { role: "system", content: "Be brief." },
    { role: "user", content: "one" },
    { role: "assistant", content: "You said: one" },
    { role: "user", content: "two three" },
  ]);
  const { signal, ...sampling } = options;
  expect(signal).toBeInstanceOf(AbortSignal);
  expect(sampling).toEqual({
    temperature: 0.5,
    top_p: 0.9,
    top_k: 40,
    min_p: 0.05,
    repetition_penalty: 1.1,
    presence_penalty: 0.1,
    frequency_penalty: -0.1,
    logit_bias: { "5": -100 },
    seed: 7,
    stop: ["x", "y"],
    n: 2,
    maxTokens: 3,
    responseFormat: { type: "json_schema", schema: { type: "object" } },
  });
});

test("what is not said is left to the model, and null says nothing", async () => {
  await client.chat.completions.create({
    model: "fake",
    messages: [{ role: "user", content: "hi" }],
    temperature: null,
    stop: null,
    logprobs: null,
  });
  expect(Object.keys(fake.calls.at(-1)!.options)).toEqual(["signal"]);
});

test("several pictures in their places, each with its own tiles", async () => {
  const shown = async (colour: string, more: object) => ({
    type: "image_url" as const,
    image_url: { url: await dataUrl(colour, 30, 20), ...more },
  });
  const reply = await client.chat.completions.create({
    model: "fake",
    messages: [
      {
        role: "user",
        content: [
          await shown("red", { detail: "low" }),
          { type: "text", text: "and" },
          await shown("blue", { detail: "high" }),
          await shown("green", { max_dynamic_patch: 6 }),
        ],
      },
    ],
  });
  expect(reply.choices[0]!.message.content).toBe(
    "You said: [30×20 255,0,0] and [30×20 0,0,255] [30×20 0,255,0]",
  );
  const { messages, options } = fake.calls.at(-1)!;
  const content = (messages as ChatMessages)[0]!.content as readonly { readonly maxTiles?: number }[];
  expect(content.map(({ maxTiles }) => maxTiles)).toEqual([1, undefined, undefined, 6]);
  expect(options.maxTiles).toBeUndefined();
});

test("a stream: role, growing text, finish reason and usage, then the end", async () => {
  const stream = await client.chat.completions.create({
    model: "fake",
    messages: [{ role: "user", content: "a b" }],
    stream: true,
    stream_options: { include_usage: true },
  });
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
  expect(chunks.map(({ choices, usage }) => [choices[0]?.delta, choices[0]?.finish_reason, usage])).toEqual([
    [{ role: "assistant", content: "", refusal: null }, null, null],
    [{ content: "You" }, null, null],
    [{ content: " said:" }, null, null],
    [{ content: " a" }, null, null],
    [{ content: " b" }, null, null],
    [{}, "stop", null],
    [
      undefined,
      undefined,
      expect.objectContaining({ prompt_tokens: 2, completion_tokens: 4, total_tokens: 6 }),
    ],
  ]);
});

test("a stream of several answers adds up to the same as the answers at once", async () => {
  const body = {
    model: "org/thinker",
    messages: [{ role: "user" as const, content: "x y z" }],
    n: 3,
    stop: " z",
  };
  const whole = await client.chat.completions.create(body);
  expect(whole.choices.map(({ message }) => message.content)).toEqual(
    [0, 1, 2].map((i) => `#${i} You said: x y`),
  );
  expect(whole.choices[0]!.message).toMatchObject({ reasoning_content: "Hm." });
  const streamed = await client.chat.completions.stream(body).finalChatCompletion();
  expect(streamed.choices.map(({ message, finish_reason }) => [message.content, finish_reason])).toEqual(
    whole.choices.map(({ message, finish_reason }) => [message.content, finish_reason]),
  );
});

test("log probabilities of tokens and of others in their place", async () => {
  const body = {
    model: "fake",
    messages: [{ role: "user" as const, content: "é" }],
    logprobs: true,
    top_logprobs: 2,
  };
  const reply = await client.chat.completions.create(body);
  const content = reply.choices[0]!.logprobs!.content!;
  expect(content.map(({ token }) => token)).toEqual(["You", " said:", " é"]);
  const never = { token: " never", logprob: -9999, bytes: [32, 110, 101, 118, 101, 114] };
  expect(content[2]).toEqual({
    token: " é",
    logprob: -0.25,
    bytes: [0x20, 0xc3, 0xa9],
    top_logprobs: [{ token: " é", logprob: -0.25, bytes: [0x20, 0xc3, 0xa9] }, never],
  });
  const streamed = [];
  for await (const chunk of await client.chat.completions.create({ ...body, stream: true }))
    streamed.push(...(chunk.choices[0]?.logprobs?.content ?? []));
  expect(streamed).toEqual(content);
});

test("completions: several prompts, their answers numbered, at once and as a stream", async () => {
  const body = { model: "fake", prompt: ["p q", "r"], n: 2, max_tokens: 9 };
  const reply = await client.completions.create(body);
  const texts = ["#0 You said: p q", "#1 You said: p q", "#0 You said: r", "#1 You said: r"];
  expect(reply).toMatchObject({
    object: "text_completion",
    choices: texts.map((text, index) => ({ index, text, finish_reason: "stop", logprobs: null })),
    usage: { prompt_tokens: 3, completion_tokens: 18, total_tokens: 21 },
  });
  const streamed = ["", "", "", ""];
  for await (const { choices } of await client.completions.create({ ...body, stream: true }))
    for (const { index, text } of choices) streamed[index] += text;
  expect(streamed).toEqual(texts);
});

test("completions begin with their prompts where that is asked for", async () => {
  const body = { model: "fake", prompt: ["p q", "r"], n: 2, echo: true };
  const reply = await client.completions.create(body);
  const texts = ["p q#0 You said: p q", "p q#1 You said: p q", "r#0 You said: r", "r#1 You said: r"];
  expect(reply.choices.map(({ text }) => text)).toEqual(texts);
  const streamed = ["", "", "", ""];
  for await (const { choices } of await client.completions.create({ ...body, stream: true }))
    for (const { index, text } of choices) streamed[index] += text;
  expect(streamed).toEqual(texts);
});

test("completions end after 16 tokens unless told otherwise, and tell log probabilities in the old form", async () => {
  const prompt = Array.from({ length: 20 }, (_, i) => `w${i}`).join(" ");
  const reply = await client.completions.create({ model: "fake", prompt, logprobs: 1 });
  expect(reply.choices[0]).toMatchObject({ finish_reason: "length" });
  expect(reply.choices[0]!.logprobs).toMatchObject({
    tokens: expect.objectContaining({ length: 16, 0: "You", 1: " said:", 2: " w0" }),
    token_logprobs: expect.objectContaining({ 0: -0.25 }),
    top_logprobs: expect.objectContaining({ 0: { You: -0.25 } }),
    text_offset: expect.objectContaining({ 0: 0, 1: 3, 2: 9, 3: 12 }),
  });
});

test("embeddings in both encodings", async () => {
  // The client asks for base64 by itself, and decodes it.
  const decoded = await client.embeddings.create({ model: "colours-1", input: ["red", "green blue"] });
  expect(decoded.usage).toEqual({ prompt_tokens: 7, total_tokens: 7 });
  const floats = await client.embeddings.create({
    model: "colours-1",
    input: ["red", "green blue"],
    encoding_format: "float",
  });
  expect(decoded.data).toEqual(floats.data);
  expect(floats.data.map(({ index }) => index)).toEqual([0, 1]);
  const [red] = floats.data;
  expect(red!.embedding).toHaveLength(64);
  expect(Math.hypot(...red!.embedding)).toBeCloseTo(1, 5);
  const one = await client.embeddings.create({ model: "colours-1", input: "red", dimensions: 64 });
  expect(one.data[0]!.embedding).toEqual(red!.embedding);
});

test("errors are those of the client's own classes", async () => {
  const ask = (over: object, key = "k1") =>
    new OpenAI({ baseURL: `${server.url}v1`, apiKey: key, maxRetries: 0 }).chat.completions.create({
      model: "fake",
      messages: [{ role: "user", content: "hi" }],
      ...over,
    });
  await expect(ask({}, "wrong")).rejects.toBeInstanceOf(OpenAI.AuthenticationError);
  await expect(ask({ model: "gpt" })).rejects.toBeInstanceOf(OpenAI.NotFoundError);
  await expect(ask({ temperature: 9 })).rejects.toMatchObject({
    constructor: OpenAI.BadRequestError,
    param: "temperature",
    type: "invalid_request_error",
  });
  const long = "w ".repeat(5000);
  const tooLong = { messages: [{ role: "user" as const, content: long }] };
  await expect(ask(tooLong)).rejects.toThrow(/400 messages: 5000 tokens, the context has 4096/);
  // Known before anything is sent: a stream is refused with the same status.
  await expect(ask({ ...tooLong, stream: true })).rejects.toBeInstanceOf(OpenAI.BadRequestError);
});

test("a model that fails in the middle of a stream ends it with an error, and the log is told", async () => {
  const broken = fakeChatModel();
  const failure = new Error("the file /secret is gone");
  const model = {
    ...broken,
    async *chat() {
      yield { index: 0, text: "so far", thinking: "", tokens: [] };
      throw failure;
    },
  };
  await using other = await chatServer({ model });
  const openai = new OpenAI({ baseURL: `${other.url}v1`, apiKey: "none", maxRetries: 0 });
  const messages = [{ role: "user" as const, content: "hi" }];
  const texts: string[] = [];
  const reading = (async () => {
    for await (const { choices } of await openai.chat.completions.create({
      model: "model",
      messages,
      stream: true,
    }))
      texts.push(choices[0]?.delta.content ?? "");
  })();
  await expect(reading).rejects.toThrow(/the server failed on this request; its log says why/);
  expect(texts.join("")).toBe("so far");
  await expect(openai.chat.completions.create({ model: "model", messages })).rejects.toMatchObject({
    status: 500,
  });
  expect(other.defects).toEqual([failure, failure]);
});
