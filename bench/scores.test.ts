import { expect, test } from "vitest";
import { agreement, perplexity, score } from "./scores.ts";

test("scores are those of the definition", () => {
  // Three positions over two tokens: 3 to 1, even, 1 to 3.
  const logits = Float32Array.of(Math.log(3), 0, 5, 5, 100, 100 + Math.log(3));
  const { likeliest, nats } = score(logits, 2, [0, 0, 1]);
  expect(likeliest).toEqual([0, 0, 1]);
  expect(nats.map((n) => Math.exp(-n))).toEqual([expect.closeTo(3 / 4, 5), expect.closeTo(1 / 2, 5)]);
});

test("agreement counts the positions of all texts", () => {
  const of = (...likeliest: number[]) => ({ likeliest, nats: [] });
  expect(agreement([of(1, 2, 3), of(4)], [of(1, 2, 9), of(9)])).toBe(0.5);
});

test("perplexity is the inverse of the tokens' geometric mean probability", () => {
  const of = (...p: number[]) => ({ likeliest: [], nats: p.map((x) => -Math.log(x)) });
  expect(perplexity([of(1 / 2, 1 / 8), of(1 / 4)])).toBeCloseTo(4, 10);
});
