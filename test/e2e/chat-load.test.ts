import { afterAll, beforeAll, expect, test, vi } from "vitest";
import type { ChatModel } from "../../src/infer/chat-model.ts";
import { loadChatModel } from "../../src/infer/load-chat-model.node.ts";
import { ask, percentiles } from "../../src/server/openai/load-client.test-support.ts";
import { chatServer } from "../../src/server/openai/test-server.test-support.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { writeTinyChat } from "../tiny-chat.ts";

/** How long clients come and go; set it to 60 for the minute that the project's figures are of. */
const SECONDS = Number(process.env.INTERNVL_LOAD_SECONDS ?? 4);
vi.setConfig({ testTimeout: 120_000 + 2000 * SECONDS });

const STREAMS = 32;
const QUESTIONS = Array.from({ length: 40 }, (_, i) => `${"word ".repeat(1 + ((i * 7) % 60))}${i}`);
const FIELDS = { temperature: 0, max_tokens: 24 };

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let model: ChatModel;
/** What the model says when nobody else is there. */
const alone: string[] = [];
beforeAll(async () => {
  folder = await temporaryFolder();
  await writeTinyChat(folder.path);
  model = await loadChatModel(folder.path, { threads: 1, batch: 12 });
  for (const content of QUESTIONS) {
    let text = "";
    for await (const chunk of model.chat([{ role: "user", content }], { temperature: 0, maxTokens: 24 }))
      text += chunk.text;
    alone.push(text);
  }
});
afterAll(() => folder[Symbol.asyncDispose]());

test(`${STREAMS} clients at a time for ${SECONDS} s, on a model in one batch: each gets the answer that it gets alone`, async () => {
  await using server = await chatServer({ tiny: model }, { chat: { waiting: 64 } });
  const first: number[] = [];
  const total: number[] = [];
  let answered = 0;
  const client = async (number: number, until: number) => {
    for (let i = number; performance.now() < until; i += STREAMS) {
      const question = i % QUESTIONS.length;
      const leaves = i % 5 === 4;
      const told = await ask(server.url, QUESTIONS[question]!, {
        model: "tiny",
        fields: FIELDS,
        ...(leaves && { leaveAfter: i % 7 }),
        ...(i % 9 === 8 && { pauseMs: 20 }),
      });
      if (leaves) expect(alone[question]!.startsWith(told.text)).toBe(true);
      else expect(told.text).toBe(alone[question]);
      if (leaves) continue;
      answered++;
      first.push(told.firstMs);
      total.push(told.totalMs);
    }
  };
  const clients = (seconds: number) =>
    Promise.all(Array.from({ length: STREAMS }, (_, i) => client(i, performance.now() + 1000 * seconds)));
  await clients(SECONDS / 2);
  const before = process.memoryUsage().rss;
  await clients(SECONDS / 2);
  const metrics = async () => (await fetch(`${server.url}metrics`)).text();
  await expect.poll(metrics).toContain('internvl_answers_running{model="tiny"} 0');
  expect(await metrics()).toContain('internvl_answers_waiting{model="tiny"} 0');
  expect(answered).toBeGreaterThan(STREAMS);
  expect(server.defects).toEqual([]);
  // What the second half took stays: a leak of every request would be far more than this.
  expect(process.memoryUsage().rss - before).toBeLessThan(150 * 2 ** 20);
  console.info(
    `${answered} answers; first token p50/p95/p99 ${percentiles(first).join("/")} ms, whole answer ${percentiles(total).join("/")} ms`,
  );
});
