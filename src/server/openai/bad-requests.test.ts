import { afterAll, beforeAll, expect, test } from "vitest";
import { plain } from "../../search/test-support.ts";
import { LIMITS } from "../limits.ts";
import { type TestLibrary, testApp, testLibrary } from "../test-support.ts";
import { fakeChatModel } from "./fake-chat-model.test-support.ts";

let library: TestLibrary;
let picture: string;
beforeAll(async () => {
  library = await testLibrary({ colours: [] });
  picture = (await plain("red")).toString("base64");
});
afterAll(() => library[Symbol.asyncDispose]());

const CHAT = "/v1/chat/completions";
const TEXT = "/v1/completions";
const EMBED = "/v1/embeddings";

const hi = [{ role: "user", content: "hi" }];
const chat = (over: object) => ({ model: "fake", messages: hi, ...over });
const said = (...content: unknown[]) => chat({ messages: [{ role: "user", content }] });
const shown = (url: unknown, more: object = {}) => said({ type: "image_url", image_url: { url, ...more } });
const filmed = (url: string, more: object = {}) => said({ type: "video_url", video_url: { url, ...more } });
const text = (over: object) => ({ model: "fake", prompt: "a", ...over });
const embed = (over: object) => ({ model: "colours-1", input: "red", ...over });
const data = (bytes: string | Uint8Array) => `data:image/png;base64,${Buffer.from(bytes).toString("base64")}`;

type Case = [
  path: string,
  body: unknown,
  status: number,
  param: string | null,
  message: RegExp,
  headers?: Readonly<Record<string, string>>,
];

/** `param` is the field that the error names, null where it is about the whole. */
const CASES: readonly Case[] = [
  // Bodies.
  [CHAT, "{", 400, null, /^the body is not valid JSON/],
  [CHAT, "", 400, null, /^the body is not valid JSON/],
  [CHAT, "[]", 400, null, /^body: expected an object, found array/],
  [CHAT, "null", 400, null, /^body: expected an object/],
  [CHAT, Buffer.from([0x22, 0xff, 0x22]), 400, null, /^the body is not valid JSON/],
  [
    CHAT,
    chat({}),
    415,
    null,
    /expected Content-Type application\/json, found text\/plain/,
    { "content-type": "text/plain" },
  ],
  [CHAT, chat({}), 403, null, /^the Host header "evil.example"/, { host: "evil.example" }],
  [
    CHAT,
    chat({}),
    403,
    null,
    /^requests from http:\/\/evil.example are refused/,
    { origin: "http://evil.example" },
  ],
  [CHAT, "x".repeat(3001), 413, null, /the body is larger than 3000 bytes/],
  ["/v1/chat", chat({}), 404, null, /POST \/v1\/chat: there is no such address/],
  ["/v1/models", chat({}), 405, null, /POST \/v1\/models: use GET/],
  // Models.
  [CHAT, { messages: hi }, 400, "model", /^model: expected a string, found nothing/],
  [CHAT, chat({ model: "gpt-4" }), 404, "model", /the model "gpt-4" does not exist here; there is fake/],
  [CHAT, chat({ model: "colours-1" }), 404, "model", /there is fake$/],
  [EMBED, embed({ model: "fake" }), 404, "model", /there is colours-1$/],
  // Messages.
  [CHAT, { model: "fake" }, 400, "messages", /^messages: expected an array, found nothing/],
  [CHAT, chat({ messages: [] }), 400, "messages", /^messages: expected at least 1 entries, found 0/],
  [CHAT, chat({ messages: "hi" }), 400, "messages", /expected an array, found string/],
  [CHAT, chat({ messages: [1] }), 400, "messages[0]", /expected an object, found 1/],
  [
    CHAT,
    chat({ messages: [{ role: "tool", content: "1" }] }),
    400,
    "messages[0].role",
    /roles system, developer/,
  ],
  [
    CHAT,
    chat({ messages: [{ role: "user" }] }),
    400,
    "messages[0].content",
    /expected string or array, found nothing/,
  ],
  [
    CHAT,
    chat({ messages: [{ role: "user", content: 5 }] }),
    400,
    "messages[0].content",
    /string or array, found 5/,
  ],
  [CHAT, said(), 400, "messages[0].content", /expected at least 1 entries/],
  [CHAT, said({ type: "text" }), 400, "messages[0].content[0].text", /expected a string, found nothing/],
  [
    CHAT,
    said({ type: "input_audio" }),
    400,
    "messages[0].content[0].type",
    /expected a part of type "text", "image_url" or/,
  ],
  [CHAT, said({ type: "text", text: "a", cache: 1 }), 400, "messages[0].content[0].cache", /unknown here/],
  [
    CHAT,
    chat({ messages: [{ role: "user", content: "a", tool_calls: [{}] }] }),
    400,
    "messages[0].tool_calls",
    /call no tools/,
  ],
  [
    CHAT,
    chat({ messages: [...hi, { role: "system", content: "a" }] }),
    400,
    "messages[1]",
    /only the first message can be one/,
  ],
  [CHAT, chat({ messages: [{ role: "system", content: "a" }] }), 400, "messages", /no message of role user/],
  [
    CHAT,
    chat({ messages: [...hi, { role: "assistant", content: "a" }] }),
    400,
    "messages[1].role",
    /last message is the assistant's/,
  ],
  [
    CHAT,
    chat({ messages: [{ role: "user", content: "a".repeat(1001) }] }),
    400,
    "messages",
    /at most 1000 characters of text, found 1001/,
  ],
  [
    CHAT,
    chat({ messages: [{ role: "user", content: "a ".repeat(101) }] }),
    400,
    null,
    /101 tokens, the context has 100/,
  ],
  // Pictures.
  [CHAT, shown(5), 400, "messages[0].content[0].image_url.url", /expected a string, found 5/],
  [
    CHAT,
    shown("http://example.com/a.png"),
    400,
    "messages[0].content[0].image_url.url",
    /downloads no pictures; send it as a data URL/,
  ],
  [CHAT, shown("file:///etc/passwd"), 400, "messages[0].content[0].image_url.url", /downloads no pictures/],
  [
    CHAT,
    shown(`data:image/${"x".repeat(300)};base64,`),
    400,
    "messages[0].content[0].image_url.url",
    /expected a data URL of the form/,
  ],
  [
    CHAT,
    shown("data:image/png,abc"),
    400,
    "messages[0].content[0].image_url.url",
    /expected a data URL of the form/,
  ],
  [
    CHAT,
    shown("data:image/png;base64,a*=="),
    400,
    "messages[0].content[0].image_url.url",
    /not valid base64/,
  ],
  [CHAT, shown("data:;base64,YWJj,YWJj"), 400, "messages[0].content[0].image_url.url", /expected one file/],
  [CHAT, shown("data:;base64,YWJ"), 400, "messages[0].content[0].image_url.url", /not valid base64/],
  [CHAT, shown("data:;base64,"), 400, "messages[0].content[0].image_url.url", /found an empty file/],
  [CHAT, shown(data("hello")), 400, "messages[0].content[0].image_url.url", /found a text file/],
  [
    CHAT,
    shown(data(Buffer.from("\x89PNG\r\n\x1a\n rest", "latin1"))),
    400,
    "messages[0].content[0].image_url.url",
    /complete PNG picture, found it damaged/,
  ],
  [
    CHAT,
    shown("data:;base64,PICTURE", { detail: "most" }),
    400,
    "messages[0].content[0].image_url.detail",
    /./,
  ],
  [
    CHAT,
    shown("data:,", { max_dynamic_patch: 0 }),
    400,
    "messages[0].content[0].image_url.max_dynamic_patch",
    /at least 1/,
  ],
  [
    CHAT,
    shown("data:,", { detail: "low", max_dynamic_patch: 6 }),
    400,
    "messages[0].content[0].image_url.max_dynamic_patch",
    /detail: "low" is one tile/,
  ],
  [
    CHAT,
    chat({
      messages: [
        { role: "assistant", content: [{ type: "image_url", image_url: { url: "data:," } }] },
        ...hi,
      ],
    }),
    400,
    "messages[0]",
    /pictures belong to role user/,
  ],
  // Videos; more in videos.test.ts.
  [
    CHAT,
    filmed("http://example.com/a.mp4"),
    400,
    "messages[0].content[0].video_url.url",
    /downloads no videos; send it as a data URL/,
  ],
  [CHAT, filmed("data:,"), 400, "messages[0].content[0].video_url.url", /expected a data URL of the form/],
  [CHAT, filmed("data:;base64,YWJ"), 400, "messages[0].content[0].video_url.url", /not valid base64/],
  [CHAT, filmed("data:;base64,YWJj,YW"), 400, "messages[0].content[0].video_url.url", /not valid base64/],
  [CHAT, filmed("data:;base64,"), 400, "messages[0].content[0].video_url.url", /expected an MP4, WebM/],
  [CHAT, filmed(data("hello")), 400, "messages[0].content[0].video_url.url", /expected an MP4.*a text file/],
  [
    CHAT,
    filmed("data:,", { num_frames: 0 }),
    400,
    "messages[0].content[0].video_url.num_frames",
    /at least 1/,
  ],
  [CHAT, filmed("data:,", { fps: 0 }), 400, "messages[0].content[0].video_url.fps", /./],
  [
    CHAT,
    filmed("data:,", { video_start: -1 }),
    400,
    "messages[0].content[0].video_url.video_start",
    /least 0/,
  ],
  [CHAT, filmed("data:,", { max_frames: 1 }), 400, "messages[0].content[0].video_url.max_frames", /unknown/],
  [
    CHAT,
    filmed("data:;base64,PICTURE", { num_frames: 2 }),
    400,
    "messages[0].content[0].video_url.num_frames",
    /only for a video's file/,
  ],
  [
    CHAT,
    said(...Array(17).fill({ type: "video_url", video_url: { url: "data:," } })),
    400,
    "messages",
    /at most 16 parts of type video_url, found 17/,
  ],
  [
    CHAT,
    chat({ media_io_kwargs: { video: { fps: 1 } } }),
    400,
    "media_io_kwargs",
    /beside its url: num_frames/,
  ],
  // Options.
  [CHAT, chat({ temperature: 2.1 }), 400, "temperature", /at most 2, found 2.1/],
  [CHAT, chat({ temperature: "hot" }), 400, "temperature", /expected a number, found string/],
  [CHAT, chat({ top_p: -1 }), 400, "top_p", /at least 0, found -1/],
  [CHAT, chat({ top_k: 1.5 }), 400, "top_k", /expected a whole number, found 1.5/],
  [CHAT, chat({ min_p: 2 }), 400, "min_p", /at most 1/],
  [CHAT, chat({ repetition_penalty: 0 }), 400, "repetition_penalty", /0/],
  [CHAT, chat({ presence_penalty: 3 }), 400, "presence_penalty", /at most 2/],
  [CHAT, chat({ logit_bias: { a: 1 } }), 400, "logit_bias.a", /expected a token's id|key/],
  [CHAT, chat({ logit_bias: { 5: 101 } }), 400, "logit_bias.5", /at most 100/],
  [CHAT, chat({ seed: 0.5 }), 400, "seed", /whole number/],
  [CHAT, chat({ n: 0 }), 400, "n", /at least 1/],
  [CHAT, chat({ n: 9 }), 400, "n", /at most 8/],
  [CHAT, chat({ max_tokens: 0 }), 400, "max_tokens", /at least 1/],
  [CHAT, chat({ max_tokens: 101 }), 400, "max_tokens", /at most 100, the model's context/],
  [
    CHAT,
    chat({ max_completion_tokens: 101 }),
    400,
    "max_completion_tokens",
    /^max_completion_tokens: .* 100/,
  ],
  [
    CHAT,
    chat({ messages: [...hi, { role: "assistant", content: null }, ...hi] }),
    400,
    "messages[1].content",
    /found null/,
  ],
  [
    CHAT,
    chat({ max_tokens: 5, max_completion_tokens: 6 }),
    400,
    "max_tokens",
    /differs from max_completion_tokens/,
  ],
  [CHAT, chat({ stop: ["a", "b", "c", "d", "e"] }), 400, "stop", /at most 4 entries, found 5/],
  [CHAT, chat({ stop: "" }), 400, "stop", /at least 1 characters/],
  [CHAT, chat({ stop: 5 }), 400, "stop", /expected string or array, found 5/],
  [CHAT, chat({ stream: "yes" }), 400, "stream", /expected a boolean/],
  [CHAT, chat({ stream_options: { include_usage: true } }), 400, "stream_options", /only with stream: true/],
  [CHAT, chat({ top_logprobs: 2 }), 400, "top_logprobs", /only with logprobs: true/],
  [CHAT, chat({ logprobs: true, top_logprobs: 21 }), 400, "top_logprobs", /at most 20/],
  [CHAT, chat({ temperature: 3, seed: "x" }), 400, "temperature", /^temperature: .*; seed: /],
  // What is not supported, or unknown.
  [CHAT, chat({ tools: [{ type: "function" }] }), 400, "tools", /not supported: the models call no tools/],
  [CHAT, chat({ tool_choice: "required" }), 400, "tool_choice", /call no tools/],
  [CHAT, chat({ functions: [{}] }), 400, "functions", /call no tools/],
  [CHAT, chat({ audio: { voice: "a" } }), 400, "audio", /neither hear nor speak/],
  [CHAT, chat({ modalities: ["text", "audio"] }), 400, "modalities", /text only/],
  [
    CHAT,
    chat({ response_format: { type: "xml" } }),
    400,
    "response_format.type",
    /expected "text", "json_object" or "json_schema"/,
  ],
  [
    CHAT,
    chat({
      response_format: { type: "json_schema", json_schema: { schema: { type: "string", pattern: "a" } } },
    }),
    400,
    "response_format.json_schema.schema",
    /pattern/,
  ],
  [CHAT, chat({ reasoning_effort: "high" }), 400, "reasoning_effort", /system message/],
  [CHAT, chat({ service_tier: "priority" }), 400, "service_tier", /one tier/],
  [CHAT, chat({ beams: 4 }), 400, "beams", /unknown here; leave it out/],
  [
    CHAT,
    `{"model":"fake","messages":[{"role":"user","content":"hi"}],"__proto__":{"n":2}}`,
    400,
    "__proto__",
    /unknown here/,
  ],
  // Completions.
  [TEXT, { model: "fake" }, 400, "prompt", /expected string or array, found nothing/],
  [TEXT, text({ prompt: "" }), 400, "prompt", /at least 1 characters/],
  [TEXT, text({ prompt: [1, 2] }), 400, "prompt[0]", /expected a string, found 1/],
  [TEXT, text({ prompt: ["a", "b", "c"], n: 3 }), 400, "n", /3 answers to each of 3 prompts, at most 8/],
  [TEXT, text({ echo: true, logprobs: 0 }), 400, "echo", /not together with logprobs/],
  [TEXT, text({ max_tokens: 101 }), 400, "max_tokens", /at most 100/],
  [TEXT, text({ suffix: "z" }), 400, "suffix", /not be filled in/],
  [TEXT, text({ best_of: 3 }), 400, "best_of", /not ranked/],
  [TEXT, text({ logprobs: 6 }), 400, "logprobs", /at most 5/],
  // Embeddings.
  [EMBED, embed({ input: "" }), 400, "input", /at least 1 characters/],
  [EMBED, embed({ input: [] }), 400, "input", /at least 1 entries/],
  [EMBED, embed({ input: [[1]] }), 400, "input[0]", /expected a string, found array/],
  [EMBED, embed({ dimensions: 8 }), 400, "dimensions", /have 64; leave it out/],
  [EMBED, embed({ encoding_format: "hex" }), 400, "encoding_format", /./],
];

test.each<Case>(CASES)("%s %j: %i, %s", async (path, body, status, param, message, headers = {}) => {
  const app = testApp(library.library, {
    chatModels: new Map([["fake", fakeChatModel({ contextLength: 100 })]]),
    limits: { chat: { ...LIMITS.chat, bodyBytes: 3000, characters: 1000 } },
  });
  const raw = typeof body === "string" || body instanceof Uint8Array ? body : JSON.stringify(body);
  const response = await app.request(path, {
    method: "POST",
    body: (typeof raw === "string" ? raw.replace("PICTURE", picture) : raw) as BodyInit,
    headers: { "content-type": "application/json", host: "localhost", ...headers },
  });
  const { error } = (await response.json()) as { error: { [key: string]: string | null } };
  expect([response.status, error.param]).toEqual([status, param]);
  expect(error.message).toMatch(message);
  expect(error.type).toBe(status === 403 ? "permission_error" : "invalid_request_error");
  expect(error).toHaveProperty("code");
  expect(app.defects).toEqual([]);
});

test("values that ask for nothing are no mistake", async () => {
  const app = testApp(library.library, { chatModels: new Map([["fake", fakeChatModel()]]) });
  const nothing = {
    ...{
      tools: [],
      tool_choice: "none",
      functions: null,
      audio: null,
      modalities: ["text"],
      prediction: null,
    },
    ...{ service_tier: "auto", verbosity: "medium", parallel_tool_calls: true, safety_identifier: "x" },
    ...{ reasoning_effort: null, web_search_options: null, response_format: null, stream_options: null },
  };
  const response = await app.request(CHAT, {
    method: "POST",
    body: JSON.stringify(chat(nothing)),
    headers: { "content-type": "application/json" },
  });
  expect(response.status).toBe(200);
});

test("while the library is being loaded, chats are answered and embeddings are not yet", async () => {
  const app = testApp(new Promise(() => {}), { chatModels: new Map([["fake", fakeChatModel()]]) });
  const post = (path: string, body: object) =>
    app.request(path, {
      method: "POST",
      body: JSON.stringify(body),
      headers: { "content-type": "application/json" },
    });
  expect(await (await app.request("/v1/models")).json()).toMatchObject({ data: [{ id: "fake" }] });
  expect((await post(CHAT, chat({}))).status).toBe(200);
  const refused = await post(EMBED, embed({}));
  expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "1"]);
  expect(await refused.json()).toEqual({
    error: {
      message: "the model is being loaded",
      type: "server_error",
      param: null,
      code: "model_loading",
    },
  });
});

test("a page of another site reaches nothing of the API, not even by a link", async () => {
  const app = testApp(library.library);
  const headers = { "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate" };
  for (const path of ["/v1/models", "/metrics"])
    expect((await app.request(path, { headers })).status).toBe(403);
});
