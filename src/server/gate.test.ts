import { expect, test } from "vitest";
import { Gate } from "./gate.ts";

const never = new AbortController().signal;

/** A task that ends when told to. */
function controlled() {
  let end = () => {};
  const done = new Promise<void>((resolve) => {
    end = resolve;
  });
  return { end, task: () => done };
}

test("tasks run a few at a time and in order", async () => {
  const gate = new Gate(2, 10);
  const order: number[] = [];
  let running = 0;
  let most = 0;
  const tasks = [1, 2, 3, 4, 5].map((n) =>
    gate.run(never, async () => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setTimeout(resolve, 5));
      order.push(n);
      running--;
    }),
  );
  await Promise.all(tasks);
  expect(most).toBe(2);
  expect(order).toEqual([1, 2, 3, 4, 5]);
});

test("too many waiting tasks are refused with a 429", async () => {
  const gate = new Gate(1, 1);
  const first = controlled();
  const running = gate.run(never, first.task);
  const waiting = gate.run(never, async () => "second");
  await expect(gate.run(never, async () => "third")).rejects.toMatchObject({ status: 429 });
  first.end();
  await running;
  expect(await waiting).toBe("second");
});

test("a task that is cancelled while it waits never runs, and its place goes to the next", async () => {
  const gate = new Gate(1, 5);
  const first = controlled();
  const running = gate.run(never, first.task);
  const abort = new AbortController();
  let ran = false;
  const cancelled = gate.run(abort.signal, async () => {
    ran = true;
  });
  const next = gate.run(never, async () => "next");
  abort.abort();
  await expect(cancelled).rejects.toMatchObject({ name: "AbortError" });
  first.end();
  await running;
  expect(await next).toBe("next");
  expect(ran).toBe(false);
});

test("a failing task frees its place", async () => {
  const gate = new Gate(1, 1);
  await expect(gate.run(never, () => Promise.reject(new Error("no")))).rejects.toThrow("no");
  expect(await gate.run(never, async () => 1)).toBe(1);
});
