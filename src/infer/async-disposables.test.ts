import { expect, test } from "vitest";
import { AsyncDisposables } from "./async-disposables.ts";

/** An owner of a, b and c, of which `failing` cannot be released; `released` is the order of the attempts. */
function owner(failing: readonly string[]): { stack: AsyncDisposables; released: string[] } {
  const stack = new AsyncDisposables();
  const released: string[] = [];
  const release = (name: string) => {
    released.push(name);
    if (failing.includes(name)) throw new Error(`${name} is stuck`);
  };
  for (const name of ["a", "c"]) stack.own({ [Symbol.asyncDispose]: async () => release(name) });
  stack.own({ [Symbol.dispose]: () => release("b") });
  return { stack, released };
}

test("what is owned is released last first, once", async () => {
  const { stack, released } = owner([]);
  await stack.dispose();
  await stack.dispose();
  expect(released).toEqual(["b", "c", "a"]);
});

test("a failure keeps nothing else from being released, and is thrown", async () => {
  const one = owner(["c"]);
  await expect(one.stack.dispose()).rejects.toThrow("c is stuck");
  expect(one.released).toEqual(["b", "c", "a"]);
  const two = owner(["a", "b"]);
  await expect(two.stack.dispose()).rejects.toThrow(
    "2 things could not be released: Error: b is stuck; Error: a is stuck",
  );
  expect(two.released).toEqual(["b", "c", "a"]);
});
