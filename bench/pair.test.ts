import { expect, test } from "vitest";
import { answerRates, checkAnswer } from "./answers.ts";
import { parseStatus } from "./memory.ts";
import { alone, summarize } from "./pair.ts";

const about = { versions: "v" };

test("a ratio above 1 is ours being faster, smaller or more, whatever the unit", () => {
  const pairs = [
    { ours: 1, peer: 2 },
    { ours: 2, peer: 8 },
    { ours: 1, peer: 3 },
  ];
  expect(summarize("a", "s", pairs, about)).toMatchObject({ ours: 1, peer: 3, ratio: 3, spread: [2, 4] });
  expect(summarize("a", "tokens/s", pairs, about)).toMatchObject({ ratio: 0.3333, spread: [0.25, 0.5] });
});

test("what is compared with nothing has no ratio", () => {
  const result = alone("a", "MiB", 123.456, about);
  expect([result.ours, result.peer, result.ratio]).toEqual([123.5, undefined, undefined]);
});

test("the first token counts with the prompt, the others with the decoding", () => {
  const rates = answerRates({ promptTokens: 500, tokens: 101, firstSeconds: 2, seconds: 6 });
  expect(rates).toEqual({ "first-token": 2, prefill: 250, decode: 25 });
});

test("answers of another length are refused", () => {
  const answer = { promptTokens: 5, tokens: 3, firstSeconds: 1, seconds: 2 };
  expect(checkAnswer("x", { text: "", tokens: 3 }, answer)).toBe(answer);
  expect(() => checkAnswer("x", { text: "", tokens: 4 }, answer)).toThrow("x ended after 3 of 4 tokens");
  expect(() => checkAnswer("x", { text: "", tokens: 3, promptTokens: 6 }, answer)).toThrow("counts 5 tokens");
});

test("memory is read from what Linux says of a process", () => {
  const status = "Name:\tnode\nVmHWM:\t    2048 kB\nVmRSS:\t 1000 kB\nRssAnon:\t    1024 kB\n";
  expect(parseStatus(status)).toEqual({ peak: 2, own: 1 });
  expect(parseStatus("Name:\tnode\nState:\tZ (zombie)\n")).toBeUndefined();
});
