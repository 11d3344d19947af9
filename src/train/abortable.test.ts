import { expect, test } from "vitest";
import { abortable } from "./abortable.ts";

test("gives the work's result or failure", async () => {
  const { signal } = new AbortController();
  expect(await abortable(Promise.resolve(7), signal)).toBe(7);
  expect(await abortable(Promise.resolve(7), undefined)).toBe(7);
  await expect(abortable(Promise.reject(new Error("work")), signal)).rejects.toThrow("work");
});

test("rejects with the reason without waiting for work that never ends", async () => {
  const cancel = new AbortController();
  const waiting = abortable(new Promise(() => {}), cancel.signal);
  cancel.abort(new Error("enough"));
  await expect(waiting).rejects.toThrow("enough");
  await expect(abortable(new Promise(() => {}), cancel.signal)).rejects.toThrow("enough");
});
