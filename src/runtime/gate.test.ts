import { describe, expect, test } from "vitest";
import { Gate } from "./gate.ts";

/** A task that runs until it is told to end. */
function openTask(): { task: () => Promise<string>; end: () => void; started: () => boolean } {
  const { promise, resolve } = withResolvers<string>();
  let begun = false;
  return {
    task: () => {
      begun = true;
      return promise;
    },
    end: () => resolve("done"),
    started: () => begun,
  };
}

/** Promise.withResolvers, which Node 20 lacks. */
function withResolvers<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((r) => {
    resolve = r;
  });
  return { promise, resolve };
}

describe("Gate", () => {
  test("lets only the limit through, the rest in order", async () => {
    const gate = new Gate(2);
    const tasks = [openTask(), openTask(), openTask(), openTask()];
    const runs = tasks.map(({ task }) => gate.run(task));
    expect(tasks.map((t) => t.started())).toEqual([true, true, false, false]);
    tasks[1]!.end();
    await runs[1];
    expect(tasks.map((t) => t.started())).toEqual([true, true, true, false]);
    for (const t of tasks) t.end();
    expect(await Promise.all(runs)).toEqual(["done", "done", "done", "done"]);
  });

  test("a failing task gives its place back", async () => {
    const gate = new Gate(1);
    await expect(gate.run(() => Promise.reject(new Error("no")))).rejects.toThrow("no");
    expect(await gate.run(async () => 1)).toBe(1);
  });

  test("an abort takes a waiting task out of the queue; it never starts", async () => {
    const gate = new Gate(1);
    const [first, second, third] = [openTask(), openTask(), openTask()];
    const abort = new AbortController();
    const runs = [gate.run(first.task), gate.run(second.task, abort.signal), gate.run(third.task)];
    abort.abort(new Error("enough"));
    await expect(runs[1]).rejects.toThrow("enough");
    first.end();
    third.end();
    await Promise.all([runs[0], runs[2]]);
    expect(second.started()).toBe(false);
  });

  test("a signal that is aborted already rejects at once", async () => {
    const { task, started } = openTask();
    await expect(new Gate(1).run(task, AbortSignal.abort(new Error("late")))).rejects.toThrow("late");
    expect(started()).toBe(false);
  });

  test("a turn may be held until it is given back; the next in order gets it", async () => {
    const gate = new Gate(1);
    const leave = await gate.enter();
    const gone = new AbortController();
    const refused = expect(gate.enter(gone.signal)).rejects.toThrow("gone");
    const next = gate.enter();
    gone.abort(new Error("gone"));
    await refused;
    leave();
    // Who comes now comes after the one that waited.
    const later = openTask();
    const run = gate.run(later.task);
    (await next)();
    later.end();
    expect(await run).toBe("done");
  });
});
