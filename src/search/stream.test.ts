import { expect, test } from "vitest";
import { limiter, mapAhead } from "./stream.ts";

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

test("results keep their order; calls and waiting results are bounded", async () => {
  let running = 0;
  let most = 0;
  let begun = 0;
  const results: number[] = [];
  const mapped = mapAhead(
    Array.from({ length: 40 }, (_, i) => i),
    { running: 3, ahead: 7 },
    async (i) => {
      begun++;
      most = Math.max(most, ++running);
      await pause((i * 7) % 5);
      running--;
      return i * 2;
    },
  );
  for await (const result of mapped) {
    results.push(result);
    if (results.length % 10 === 0) await pause(20);
    expect(begun).toBeLessThanOrEqual(results.length + 7);
  }
  expect(results).toEqual(Array.from({ length: 40 }, (_, i) => i * 2));
  expect(most).toBe(3);
});

test("work goes on while the consumer is busy", async () => {
  let begun = 0;
  const mapped = mapAhead([1, 2, 3, 4, 5, 6, 7, 8], { running: 2, ahead: 5 }, async (i) => {
    begun++;
    await pause(1);
    return i;
  });
  await mapped.next();
  await pause(50);
  expect(begun).toBe(5);
  await mapped.return();
  expect(begun).toBe(5);
});

test("an error arrives in its place, and the source is closed", async () => {
  let closed = false;
  async function* source() {
    try {
      for (let i = 0; ; i++) yield i;
    } finally {
      closed = true;
    }
  }
  const seen: number[] = [];
  const consume = async () => {
    const mapped = mapAhead(source(), { running: 2, ahead: 4 }, async (i) => {
      if (i === 3) throw new Error("third");
      return i;
    });
    for await (const i of mapped) seen.push(i);
  };
  await expect(consume()).rejects.toThrow("third");
  expect(seen).toEqual([0, 1, 2]);
  expect(closed).toBe(true);
});

test("a limiter goes on after a failure", async () => {
  const run = limiter(1);
  const results = await Promise.allSettled([
    run(async () => 1),
    run(async () => {
      throw new Error("no");
    }),
    run(async () => 3),
  ]);
  expect(results.map((r) => r.status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
});
