import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import { serverEvents, streams } from "./streams.ts";

const servers: ReturnType<typeof createServer>[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** A server that sends these pieces to every request, and notes what it was asked. */
async function serverOf(pieces: readonly string[], status = 200): Promise<{ url: string; asked: unknown[] }> {
  const asked: unknown[] = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const part of request) body += part;
    asked.push(JSON.parse(body));
    response.writeHead(status);
    for (const piece of pieces) response.write(piece);
    response.end();
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`, asked };
}

const event = (text: string) => `data: ${JSON.stringify({ choices: [{ text }] })}\n\n`;

test("events are found wherever the bytes are cut", async () => {
  const text = `data: {"a":"ü"}\r\n\r\n: a comment\ndata: [DONE]\n\n`;
  const bytes = new TextEncoder().encode(text);
  const found: string[][] = [];
  for (let cut = 1; cut < bytes.length; cut++) {
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(bytes.slice(0, cut));
        controller.enqueue(bytes.slice(cut));
        controller.close();
      },
    });
    const events: string[] = [];
    for await (const e of serverEvents(body)) events.push(e);
    found.push(events);
  }
  expect(new Set(found.map((e) => e.join()))).toEqual(new Set(['{"a":"ü"},[DONE]']));
});

test("tokens are those that the server counts, or its events", async () => {
  const usage = `data: ${JSON.stringify({ choices: [], usage: { completion_tokens: 7 } })}\n\n`;
  const counting = await serverOf([event("a"), event("b"), event(""), usage, "data: [DONE]\n\n"]);
  const request = { model: "m", prompts: ["x", "y"], tokens: 9 };
  const counted = await streams({ ...request, url: counting.url });
  expect([counted.tokens, counted.firstSeconds.length]).toEqual([14, 2]);
  expect(counting.asked).toEqual(
    ["x", "y"].map((prompt) => expect.objectContaining({ prompt, max_tokens: 9, stream: true })),
  );
  const silent = await serverOf([event("a"), event("b"), event("")]);
  expect((await streams({ ...request, url: silent.url })).tokens).toBe(4);
});

test("a refusal is told", async () => {
  const { url } = await serverOf(["too many"], 429);
  await expect(streams({ url, model: "m", prompts: ["x"], tokens: 1 })).rejects.toThrow("429: too many");
});
