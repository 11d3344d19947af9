import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { plain } from "../../search/test-support.ts";
import { fakeChatModel } from "./fake-chat-model.test-support.ts";
import { ask, percentiles } from "./load-client.test-support.ts";
import { chatServer } from "./test-server.test-support.ts";

const NORMAL = 32;
const VANISHING = 12;
const SLOW = 8;
const WORDS = 40;
const MODEL = { model: "fake" };

test("52 streams at once, some of whose clients vanish or dawdle: no reply is mixed up and nothing is left over", async () => {
  const fake = fakeChatModel({ delayMs: 2, concurrency: 16 });
  await using server = await chatServer({ fake }, { chat: { waiting: 64 } });
  const picture = `data:image/png;base64,${(await plain("green", 32, 32)).toString("base64")}`;
  const question = (i: number) => Array.from({ length: WORDS }, (_, w) => `c${i}w${w}`).join(" ");
  const answer = (i: number, pictured: boolean) =>
    `You said: ${pictured ? "[32×32 0,255,0] " : ""}${question(i)}`;

  const normal = Array.from({ length: NORMAL }, async (_, i) => {
    const pictured = i % 4 === 0;
    const told = await ask(server.url, question(i), { ...MODEL, ...(pictured && { picture }) });
    expect(told.text).toBe(answer(i, pictured));
    return told;
  });
  const slow = Array.from({ length: SLOW }, async (_, i) => {
    const told = await ask(server.url, question(100 + i), { ...MODEL, pauseMs: 10 });
    expect(told.text).toBe(answer(100 + i, false));
  });
  const vanishing = Array.from({ length: VANISHING }, async (_, i) => {
    const told = await ask(server.url, question(200 + i), { ...MODEL, leaveAfter: i % 4, picture });
    expect(answer(200 + i, true).startsWith(told.text)).toBe(true);
  });
  const [told] = await Promise.all([Promise.all(normal), ...slow, ...vanishing]);

  await expect.poll(() => fake.open).toBe(0);
  expect(fake.mostOpen).toBe(16);
  const metrics = await (await fetch(`${server.url}metrics`)).text();
  const value = (name: string) =>
    Number(
      metrics
        .split("\n")
        .find((line) => line.startsWith(name))
        ?.split(" ")[1],
    );
  expect(value('internvl_answers_running{model="fake"}')).toBe(0);
  expect(value('internvl_answers_waiting{model="fake"}')).toBe(0);
  expect(value("internvl_picture_bytes")).toBe(0);
  // Those that left may have left after the end.
  const finished = value('internvl_answers_total{model="fake",end="finished"}');
  expect(finished).toBeGreaterThanOrEqual(NORMAL + SLOW);
  expect(finished + value('internvl_answers_total{model="fake",end="cancelled"}')).toBe(fake.begun);
  expect(server.defects).toEqual([]);
  const [first, total] = [percentiles(told.map((t) => t.firstMs)), percentiles(told.map((t) => t.totalMs))];
  console.info(`first token p50/p95/p99 ${first.join("/")} ms, whole answer ${total.join("/")} ms`);
});

/** An answer of about 6 MB as events, more than sockets hold. */
const LONG = Array.from({ length: 20_000 }, (_, i) => `${i}`.padStart(12, "x")).join(" ");

test("a reader slower than the model gets everything in order, while the model waits", async () => {
  const fake = fakeChatModel({ say: () => LONG });
  await using server = await chatServer({ fake }, { chat: { bufferedBytes: 2 ** 14 } });
  const response = await fetch(`${server.url}v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "fake", prompt: "go", max_tokens: 4096, stream: true }),
  });
  // Most of it would be there by now if the model did not wait.
  await sleep(300);
  const raw = await response.text();
  const said = raw
    .split("\n\n")
    .filter((event) => event.startsWith("data: {"))
    .map((event) => JSON.parse(event.slice(6)).choices[0].text)
    .join("");
  expect(said).toBe(LONG.split(" ").slice(0, 4096).join(" "));
});

test("a reader that takes nothing is left, and its place goes to the next", async () => {
  const fake = fakeChatModel({ contextLength: 1e6, concurrency: 1, say: () => LONG });
  await using server = await chatServer({ fake }, { chat: { bufferedBytes: 2 ** 14, stalledMs: 100 } });
  const body = { model: "fake", messages: [{ role: "user", content: "go" }] };
  const post = (over: object) =>
    fetch(`${server.url}v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ ...body, ...over }),
    });
  const stalled = await post({ stream: true });
  expect(stalled.status).toBe(200);
  const next = await post({ max_tokens: 2 });
  expect(next.status).toBe(200);
  expect(fake.open).toBe(0);
  // What was buffered, and why there is no more.
  const raw = await stalled.text();
  expect(raw).toMatch(/data: \{"error":\{"message":"the reader took nothing for 100 ms[^\n]*\n\n$/);
  expect(server.defects).toEqual([]);
});
