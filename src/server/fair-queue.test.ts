import { expect, test } from "vitest";
import { FairQueue, type Turn } from "./fair-queue.ts";

const never = new AbortController().signal;

/** Enters and notes the order in which turns come; turns are given back by `end`. */
function visitors(queue: FairQueue) {
  const order: string[] = [];
  const turns: Turn[] = [];
  return {
    order,
    async enter(name: string, signal = never) {
      const turn = await queue.enter(name[0]!, signal);
      order.push(name);
      turns.push(turn);
    },
    async end() {
      turns.shift()![Symbol.dispose]();
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

test("clients take turns, and each client's requests stay in order", async () => {
  const queue = new FairQueue(1, 10);
  const { order, enter, end } = visitors(queue);
  const all = ["a1", "a2", "a3", "a4", "b1", "b2", "c1"].map((name) => enter(name));
  await all[0];
  expect([queue.running, queue.waiting]).toEqual([1, 6]);
  for (let i = 0; i < 7; i++) await end();
  await Promise.all(all);
  // a1 has run before anyone waited; then a, b and c in turn.
  expect(order).toEqual(["a1", "a2", "b1", "c1", "a3", "b2", "a4"]);
  expect([queue.running, queue.waiting]).toEqual([0, 0]);
});

test("no more run at once than may, and a turn is given back once only", async () => {
  const queue = new FairQueue(2, 10);
  const first = await queue.enter("a", never);
  await queue.enter("a", never);
  let third = false;
  const waiting = queue.enter("a", never).then(() => {
    third = true;
  });
  await Promise.resolve();
  expect(third).toBe(false);
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  await waiting;
  expect(queue.running).toBe(2);
});

test("a request takes as many places as it has answers, and waits for them without being passed", async () => {
  const queue = new FairQueue(3, 10);
  const order: string[] = [];
  const enter = async (name: string, places: number, signal = never) => {
    const turn = await queue.enter(name, signal, places);
    order.push(name);
    return turn;
  };
  const [one, two] = [await enter("one", 1), await enter("two", 1)];
  const gone = new AbortController();
  const many = enter("many", 9);
  const leaves = enter("leaves", 2, gone.signal);
  const few = enter("few", 1);
  one[Symbol.dispose]();
  await new Promise((resolve) => setImmediate(resolve));
  expect(order).toEqual(["one", "two"]);
  two[Symbol.dispose]();
  (await many)[Symbol.dispose]();
  (await leaves)[Symbol.dispose]();
  (await few)[Symbol.dispose]();
  expect(order).toEqual(["one", "two", "many", "leaves", "few"]);
  expect([queue.running, queue.waiting]).toEqual([0, 0]);
  await queue.idle();
  // Who goes lets those in that it kept out.
  const two2 = await enter("two", 2);
  const wide = enter("wide", 2, gone.signal);
  const refused = expect(wide).rejects.toThrow("gone");
  const small = enter("small", 1);
  gone.abort(new Error("gone"));
  await refused;
  (await small)[Symbol.dispose]();
  two2[Symbol.dispose]();
  expect(queue.running).toBe(0);
});

test("a full queue refuses with a 429 that says when to come back", async () => {
  const queue = new FairQueue(1, 2);
  const { enter } = visitors(queue);
  await enter("a1");
  void enter("a2");
  void enter("a3");
  expect(() => queue.check("a")).toThrow(/2 requests are waiting/);
  await expect(queue.enter("a", never)).rejects.toMatchObject({
    status: 429,
    // Nothing was served yet: a second each, for the two that wait and this one.
    headers: { "Retry-After": "3" },
  });
});

test("in a full queue a newcomer takes the place of the latest of whoever has most", async () => {
  const queue = new FairQueue(1, 3);
  const { order, enter, end } = visitors(queue);
  await enter("a1");
  const a2 = enter("a2");
  const a3 = enter("a3");
  const a4 = enter("a4");
  queue.check("b");
  const b1 = enter("b1");
  await expect(a4).rejects.toMatchObject({ status: 429 });
  // a has two and b one: another of b's would not make it fairer.
  expect(() => queue.check("b")).toThrow();
  await expect(enter("b2")).rejects.toMatchObject({ status: 429 });
  for (let i = 0; i < 4; i++) await end();
  await Promise.all([a2, a3, b1]);
  expect(order).toEqual(["a1", "a2", "b1", "a3"]);
});

test("whoever leaves while waiting never has a turn, and is not counted", async () => {
  const queue = new FairQueue(1, 1);
  const { enter, end, order } = visitors(queue);
  await enter("a1");
  const abort = new AbortController();
  const leaving = enter("a2", abort.signal);
  abort.abort();
  await expect(leaving).rejects.toMatchObject({ name: "AbortError" });
  expect(queue.waiting).toBe(0);
  const next = enter("b1");
  await end();
  await next;
  expect(order).toEqual(["a1", "b1"]);
  await expect(enter("c1", AbortSignal.abort())).rejects.toMatchObject({ name: "AbortError" });
});

test("idle waits for the last turn", async () => {
  const queue = new FairQueue(1, 1);
  await queue.idle();
  const turn = await queue.enter("a", never);
  let idle = false;
  const waiting = queue.idle().then(() => {
    idle = true;
  });
  await Promise.resolve();
  expect(idle).toBe(false);
  turn[Symbol.dispose]();
  await waiting;
});
