import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import OpenAI from "openai";
import { expect, test } from "vitest";
import type { ChatModel } from "../../infer/chat-model.ts";
import { plain } from "../../search/test-support.ts";
import { fakeChatModel } from "./fake-chat-model.test-support.ts";
import { type ChatServer, chatServer } from "./test-server.test-support.ts";

const post = (server: ChatServer, over: object, headers: object = {}, signal?: AbortSignal) =>
  fetch(`${server.url}v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify({ model: "fake", messages: [{ role: "user", content: "a b c" }], ...over }),
    ...(signal && { signal }),
  });

/** The value of a metric of the model "fake". */
async function measured(server: ChatServer, name: string): Promise<number> {
  const text = await (await fetch(`${server.url}metrics`)).text();
  const line = text.split("\n").find((l) => l.startsWith(`${name}{model="fake"`));
  return Number(line?.split(" ").at(-1));
}

test("beyond the queue there is a 429 with Retry-After, which the client's own retries obey", async () => {
  const fake = fakeChatModel({ delayMs: 200, concurrency: 1 });
  await using server = await chatServer({ fake }, { chat: { waiting: 2 } });
  const running = [post(server, {}), post(server, {}), post(server, {})];
  await expect.poll(() => measured(server, "internvl_answers_waiting")).toBe(2);
  const refused = await post(server, {});
  expect(refused.status).toBe(429);
  expect(Number(refused.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
  expect(await refused.json()).toMatchObject({
    error: {
      type: "rate_limit_error",
      code: "rate_limit_exceeded",
      message: expect.stringMatching(/2 requests are waiting/),
    },
  });
  const openai = new OpenAI({ baseURL: `${server.url}v1`, apiKey: "none", maxRetries: 2 });
  const messages = [{ role: "user" as const, content: "later" }];
  const later = await openai.chat.completions.create({ model: "fake", messages });
  expect(later.choices[0]!.message.content).toBe("You said: later");
  expect((await Promise.all(running)).map(({ status }) => status)).toEqual([200, 200, 200]);
});

test("a request of several answers takes the places of all", async () => {
  const fake = fakeChatModel({ delayMs: 200, concurrency: 4 });
  await using server = await chatServer({ fake });
  const several = post(server, { n: 4 });
  await expect.poll(() => measured(server, "internvl_answers_running")).toBe(4);
  const one = post(server, {});
  await expect.poll(() => measured(server, "internvl_answers_waiting")).toBe(1);
  expect((await Promise.all([several, one])).map(({ status }) => status)).toEqual([200, 200]);
});

test("clients with keys of their own take turns", async () => {
  const fake = fakeChatModel({ delayMs: 200, concurrency: 1 });
  await using server = await chatServer({ fake }, { apiKeys: ["a", "b"] });
  const waiting = async () => {
    const metrics = await fetch(`${server.url}metrics`, { headers: { authorization: "Bearer a" } });
    return /answers_waiting\{model="fake"\} (\d+)/.exec(await metrics.text())?.[1];
  };
  const order: string[] = [];
  const ask = async (key: string, name: string) => {
    const response = await post(server, {}, { authorization: `Bearer ${key}` });
    expect(response.status).toBe(200);
    await response.text();
    order.push(name);
  };
  const all = [];
  for (const [i, name] of ["a1", "a2", "a3", "b1"].entries()) {
    all.push(ask(name[0]!, name));
    if (i === 0) await expect.poll(() => fake.open).toBe(1);
    await expect.poll(waiting).toBe(String(i));
  }
  await Promise.all(all);
  expect(order).toEqual(["a1", "a2", "b1", "a3"]);
});

test("without a key of the list nothing under /v1 answers, nor do the metrics, and everything else does", async () => {
  await using server = await chatServer({ fake: fakeChatModel() }, { apiKeys: ["secret"] });
  const status = async (path: string, authorization?: string) =>
    (await fetch(server.url + path, { headers: authorization ? { authorization } : {} })).status;
  expect(await status("v1/models")).toBe(401);
  expect(await status("v1/models", "Bearer secre")).toBe(401);
  expect(await status("v1/models", "Basic secret")).toBe(401);
  expect(await status("v1/nothing")).toBe(401);
  expect(await status("v1/models", "Bearer secret")).toBe(200);
  expect(await status("metrics")).toBe(401);
  expect(await status("healthz")).toBe(200);
  expect(await status("api/pictures")).toBe(200);
  const refused = await fetch(`${server.url}v1/models`);
  expect(refused.headers.get("www-authenticate")).toBe("Bearer");
  expect(await refused.json()).toMatchObject({
    error: { type: "authentication_error", code: "invalid_api_key" },
  });
});

test("an answer that takes too long ends with a 504, a stream with the same error", async () => {
  const fake = fakeChatModel();
  const stuck: ChatModel = {
    ...fake,
    async *chat(_messages, { signal } = {}) {
      yield { index: 0, text: "You", thinking: "", tokens: [] };
      await sleep(60_000, undefined, signal ? { signal } : {}).catch(() => signal?.throwIfAborted());
    },
  };
  await using server = await chatServer({ fake: stuck }, { chat: { answerMs: 1500 } });
  const response = await post(server, {});
  expect(response.status).toBe(504);
  expect(await response.json()).toMatchObject({ error: { type: "server_error", code: "timeout" } });
  const stream = await post(server, { stream: true });
  expect(stream.status).toBe(200);
  const raw = await stream.text();
  expect(raw).toContain('"content":"You"');
  expect(raw).toMatch(/data: \{"error":\{"message":"the request took too long.*"code":"timeout"\}\}\n\n$/);
  expect(raw).not.toContain("[DONE]");
  expect(await measured(server, "internvl_answers_running")).toBe(0);
  expect(server.defects).toEqual([]);
});

test("a stream whose first token takes long begins without it, and then tells failures in an event", async () => {
  const fake = fakeChatModel({ contextLength: 2 });
  let begin = () => {};
  const begun = new Promise<void>((resolve) => {
    begin = resolve;
  });
  const late: ChatModel = {
    ...fake,
    async *chat(messages, options) {
      await begun;
      yield* fake.chat(messages, options);
    },
  };
  await using server = await chatServer({ fake: late }, { chat: { silentMs: 20 } });
  const streams = [
    post(server, { stream: true, messages: [{ role: "user", content: "hi" }] }),
    post(server, { stream: true }),
  ];
  const [good, bad] = await Promise.all(streams);
  expect([good!.status, bad!.status]).toEqual([200, 200]);
  begin();
  expect(await good!.text()).toMatch(/data: \[DONE\]\n\n$/);
  expect(await bad!.text()).toMatch(
    /^data: \{"error":\{"message":"messages: 3 tokens, the context has 2; .*"type":"invalid_request_error"/,
  );
});

test("whoever hangs up, before or while being answered, frees the place", async () => {
  const fake = fakeChatModel({ delayMs: 30, concurrency: 1 });
  await using server = await chatServer({ fake });
  const abort = new AbortController();
  const first = post(server, { messages: [{ role: "user", content: "w ".repeat(1000) }] }, {}, abort.signal);
  const waiting = new AbortController();
  await expect.poll(() => fake.open).toBe(1);
  const second = post(server, {}, {}, waiting.signal);
  await expect.poll(() => measured(server, "internvl_answers_waiting")).toBe(1);
  waiting.abort();
  await expect(second).rejects.toThrow();
  await expect.poll(() => measured(server, "internvl_answers_waiting")).toBe(0);
  abort.abort();
  await expect(first).rejects.toThrow();
  await expect.poll(() => fake.open).toBe(0);
  expect((await post(server, { max_tokens: 1 })).status).toBe(200);
  // The one that left while it waited was never begun.
  expect(fake.begun).toBe(2);
  expect(server.defects).toEqual([]);
});

test("pictures are admitted while there is memory for them", async () => {
  const fake = fakeChatModel({ delayMs: 200 });
  const bytes = 30 * 20 * 3;
  await using server = await chatServer({ fake }, { chat: { pictureBytes: 2 * bytes } });
  const url = `data:image/png;base64,${(await plain("red", 30, 20)).toString("base64")}`;
  const shown = (count: number) => ({
    messages: [{ role: "user", content: Array(count).fill({ type: "image_url", image_url: { url } }) }],
  });
  const tooMany = await post(server, shown(3));
  expect(tooMany.status).toBe(413);
  expect(await tooMany.json()).toMatchObject({
    error: {
      param: "messages[0].content[2].image_url.url",
      message: expect.stringMatching(/more than 3600 bytes/),
    },
  });
  const both = post(server, shown(2));
  await expect.poll(() => fake.open).toBe(1);
  const third = await post(server, shown(1));
  expect([third.status, third.headers.get("retry-after")]).toEqual([503, "5"]);
  expect((await both).status).toBe(200);
  expect((await post(server, shown(2))).status).toBe(200);
});

test("pictures are downloaded from hosts of the list only, over the connection that was checked", async () => {
  const fake = fakeChatModel();
  await using files = await chatServer({ fake });
  const { port } = files.server;
  const network = {
    resolve: async (name: string) => [name === "in.example" ? "10.0.0.1" : "8.8.8.8"],
    connect: () => connect(port, "127.0.0.1"),
  };
  await using server = await chatServer(
    { fake },
    { remotePictures: { hosts: ["img.example", "in.example"], network } },
  );
  const ask = async (url: string) => {
    const content = [{ type: "image_url", image_url: { url } }];
    const response = await post(server, { messages: [{ role: "user", content }] });
    const { error } = (await response.json()) as { error: { message: string; param: string; code: string } };
    return [response.status, error.param, error.code, error.message];
  };
  const param = "messages[0].content[0].image_url.url";
  const code = "invalid_image_url";
  // The other server knows no host of that name: that it says so shows that it was asked.
  expect(await ask("http://img.example/a.png")).toEqual([
    400,
    param,
    code,
    expect.stringMatching(/answers with status 403/),
  ]);
  expect(await ask("http://in.example/")).toEqual([
    400,
    param,
    code,
    expect.stringMatching(/not at a public address/),
  ]);
  expect(await ask("http://other.example/")).toEqual([
    400,
    param,
    code,
    expect.stringMatching(/not on the list/),
  ]);
});

test("a server without chat models says so, and models are closed with it", async () => {
  await using empty = await chatServer({});
  const response = await post(empty, {});
  expect(response.status).toBe(404);
  expect(await response.json()).toMatchObject({
    error: { message: expect.stringMatching(/there is none of this kind/) },
  });
  const fake = fakeChatModel({ delayMs: 20 });
  const server = await chatServer({ fake }, { graceMs: 100 });
  const running = post(server, { messages: [{ role: "user", content: "w ".repeat(500) }], stream: true });
  await expect.poll(() => fake.open).toBe(1);
  await server[Symbol.asyncDispose]();
  expect([fake.open, fake.disposed]).toEqual([0, true]);
  await running.then((r) => r.text()).catch(() => {});
  expect(server.defects).toEqual([]);
});

test("a shutdown lets running answers end, and takes no new ones", async () => {
  const fake = fakeChatModel({ delayMs: 10 });
  const server = await chatServer({ fake }, { graceMs: 60_000 });
  const words = "w ".repeat(60);
  const messages = [{ role: "user", content: words }];
  const streamed = await post(server, { messages, stream: true });
  const whole = post(server, { messages });
  await expect.poll(() => fake.open).toBe(2);
  const closing = server.server.close();
  await expect(post(server, {})).rejects.toThrow();
  const events = await streamed.text();
  expect(events).toMatch(/"finish_reason":"stop"/);
  expect(events).toMatch(/data: \[DONE\]\n\n$/);
  expect(await (await whole).json()).toMatchObject({
    choices: [{ message: { content: `You said: ${words.trim()}` } }],
  });
  await closing;
  expect(fake.disposed).toBe(true);
  await server[Symbol.asyncDispose]();
});

test("answers that take longer than a shutdown waits say so", async () => {
  const fake = fakeChatModel({ delayMs: 20 });
  const server = await chatServer({ fake }, { graceMs: 100 });
  const messages = [{ role: "user", content: "w ".repeat(2000) }];
  const streamed = await post(server, { messages, stream: true });
  const whole = post(server, { messages });
  await expect.poll(() => fake.open).toBe(2);
  const closing = server.server.close();
  const last = (await streamed.text()).trim().split("\n\n").at(-1)!;
  const error = { code: "server_stopped", message: expect.stringMatching(/^the server was stopped before/) };
  expect(JSON.parse(last.replace(/^data: /, ""))).toMatchObject({ error });
  const refused = await whole;
  expect([refused.status, await refused.json()]).toEqual([503, { error: expect.objectContaining(error) }]);
  await closing;
  await server[Symbol.asyncDispose]();
  expect(server.defects).toEqual([]);
});

test("metrics of requests, tokens and times", async () => {
  const fake = fakeChatModel();
  await using server = await chatServer({ fake });
  await (await post(server, {})).text();
  await (await post(server, { temperature: 5 })).text();
  await fetch(`${server.url}v1/models/fake`);
  await fetch(`${server.url}secret/path`);
  const response = await fetch(`${server.url}metrics`);
  expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
  const lines = (await response.text()).split("\n");
  expect(lines).toEqual(
    expect.arrayContaining([
      'internvl_http_requests_total{method="POST",route="/v1/chat/completions",status="200"} 1',
      'internvl_http_requests_total{method="POST",route="/v1/chat/completions",status="400"} 1',
      'internvl_http_requests_total{method="GET",route="/v1/models/:id{.+}",status="200"} 1',
      'internvl_http_requests_total{method="GET",route="other",status="404"} 1',
      'internvl_answers_total{model="fake",end="finished"} 1',
      'internvl_tokens_total{model="fake",kind="prompt"} 3',
      'internvl_tokens_total{model="fake",kind="completion"} 5',
      'internvl_time_to_first_token_seconds_count{model="fake"} 1',
      'internvl_time_per_token_seconds_count{model="fake"} 4',
      'internvl_answers_running{model="fake"} 0',
    ]),
  );
});
