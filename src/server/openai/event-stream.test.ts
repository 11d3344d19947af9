import { afterEach, expect, test, vi } from "vitest";
import { dataEvent, eventStream } from "./event-stream.ts";

afterEach(() => {
  vi.useRealTimers();
});

const options = {
  bufferedBytes: 1000,
  stalledMs: 1000,
  onError: (error: unknown) => `failed: ${(error as Error).message}`,
  onLeave: () => {},
  request: new Request("http://localhost/"),
};

test("events in order, the failure last", async () => {
  async function* source() {
    yield "a";
    yield "b";
    throw new Error("no");
  }
  expect(await new Response(eventStream(source(), options)).text()).toBe("abfailed: no");
  expect(dataEvent({ a: "x\n\ny" })).toBe('data: {"a":"x\\n\\ny"}\n\n');
  expect(dataEvent("[DONE]")).toBe("data: [DONE]\n\n");
});

test("the source waits for a reader when the buffer is full, and is finished when the reader leaves", async () => {
  let made = 0;
  let finished = false;
  let left = false;
  async function* source() {
    try {
      for (;;) {
        made++;
        yield "x".repeat(400);
      }
    } finally {
      finished = true;
    }
  }
  const stream = eventStream(source(), {
    ...options,
    onLeave: () => {
      left = true;
    },
  });
  await new Promise((resolve) => setTimeout(resolve, 20));
  // 3 × 400 bytes are more than 1000.
  expect(made).toBe(3);
  const reader = stream.getReader();
  await reader.read();
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(made).toBe(4);
  await reader.cancel();
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect([finished, left]).toEqual([true, true]);
});

test("while the source is silent, comments keep the connection", async () => {
  vi.useFakeTimers();
  let end = () => {};
  const silent = new Promise<void>((resolve) => {
    end = resolve;
  });
  async function* source() {
    yield "a";
    await silent;
  }
  const text = new Response(eventStream(source(), options)).text();
  await vi.advanceTimersByTimeAsync(31_000);
  end();
  expect(await text).toBe("a: still here\n\n: still here\n\n");
  expect(vi.getTimerCount()).toBe(0);
});
