import { expect, test } from "vitest";
import { Rng } from "./rng.ts";

const draw = (rng: Rng, n = 5) => Array.from({ length: n }, () => rng.uint32());

test("the same seed gives the same numbers, on every machine", () => {
  expect(draw(new Rng("seed"))).toEqual(draw(new Rng("seed")));
  expect(draw(new Rng("seed"))).not.toEqual(draw(new Rng("Seed")));
  expect(draw(new Rng(7))).toEqual(draw(new Rng("7")));
});

test("a fork does not depend on what was drawn before", () => {
  const used = new Rng(1);
  draw(used, 100);
  expect(draw(used.fork("a"))).toEqual(draw(new Rng(1).fork("a")));
  expect(draw(new Rng(1).fork("a"))).not.toEqual(draw(new Rng(1).fork("b")));
  expect(draw(new Rng(1).fork("a"))).not.toEqual(draw(new Rng(1)));
});

test("uniform, whole and normal numbers have their moments", () => {
  const rng = new Rng("moments");
  const n = 20_000;
  const mean = (f: () => number) => Array.from({ length: n }, f).reduce((s, v) => s + v, 0) / n;
  expect(Math.abs(mean(() => rng.uniform()) - 0.5)).toBeLessThan(0.01);
  expect(Math.abs(mean(() => rng.normal()))).toBeLessThan(0.03);
  expect(Math.abs(mean(() => rng.normal() ** 2) - 1)).toBeLessThan(0.05);
  const counts = [0, 0, 0];
  for (let i = 0; i < n; i++) counts[rng.int(3)]!++;
  for (const c of counts) expect(Math.abs(c / n - 1 / 3)).toBeLessThan(0.02);
});

test("shuffling permutes", () => {
  const items = Array.from({ length: 50 }, (_, i) => i);
  const shuffled = new Rng("shuffle").shuffle([...items]);
  expect(shuffled).not.toEqual(items);
  expect([...shuffled].sort((a, b) => a - b)).toEqual(items);
});
