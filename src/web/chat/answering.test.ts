import { expect, test } from "vitest";
import { TokenClock } from "./answering.ts";
import { factsOf } from "./exchange-view.ts";

test("the speed is that of the tokens after the first", () => {
  const clock = new TokenClock();
  clock.note({ type: "words", text: "a", thinking: "" }, 1000);
  clock.note({ type: "words", text: "b", thinking: "" }, 3000);
  clock.note({ type: "usage", tokens: 21 }, 9000);
  const measured = clock.measured();
  expect(measured).toEqual({ tokens: 21, tokensPerSecond: 10 });
  expect(factsOf({ text: "", thinking: "", ending: "complete", ...measured })).toBe(
    "21 tokens · 10 tokens per second",
  );
  expect(factsOf({ text: "", thinking: "", ending: "length", tokens: 1 })).toBe(
    "Cut off at the limit of tokens · 1 token",
  );
  expect(new TokenClock().measured()).toEqual({});
});
