import { expect, test } from "vitest";
import { Rng } from "../core/rng.ts";
import { type EmbeddingMatrix, emptyMatrix, setRow } from "./embedding-matrix.ts";
import { ClassificationCounter, recallAt, retrievalRanks } from "./metrics.ts";

const matrix = (rows: readonly (readonly number[])[]): EmbeddingMatrix => {
  const m = emptyMatrix(rows.length, rows[0]!.length);
  rows.forEach((row, i) => {
    setRow(m, i, Float32Array.from(row), `row ${i}`);
  });
  return m;
};

const ranksOf = (...args: Parameters<typeof retrievalRanks>) => {
  const steps = retrievalRanks(...args);
  let step = steps.next();
  while (!step.done) step = steps.next();
  return { texts: [...step.value.texts], images: [...step.value.images] };
};

/** The whole score matrix, sorted: what the streaming computation must equal. */
function bruteForce(images: number[][], texts: number[][], positives: number[][]) {
  const dot = (a: number[], b: number[]) =>
    a.reduce((sum, x, d) => sum + Math.fround(x) * Math.fround(b[d]!), 0);
  const rank = (queries: number[][], candidates: number[][], isHit: (q: number, c: number) => boolean) =>
    queries.map((query, q) => {
      const order = candidates
        .map((candidate, c) => ({ c, s: dot(query, candidate) }))
        .sort((a, b) => b.s - a.s || a.c - b.c);
      return order.findIndex(({ c }) => isHit(q, c));
    });
  return {
    texts: rank(texts, images, (t, i) => positives[t]!.includes(i)),
    images: rank(images, texts, (i, t) => positives[t]!.includes(i)),
  };
}

test("ranks both ways equal those of the sorted score matrix, ties and several positives included", () => {
  const rng = new Rng("ranks");
  for (let round = 0; round < 30; round++) {
    // Few distinct values, so that many scores are equal.
    const rows = (n: number) =>
      Array.from({ length: n }, () => Array.from({ length: 3 }, () => rng.int(3) - 1));
    const images = rows(1 + rng.int(40));
    const texts = rows(1 + rng.int(60));
    const positives = texts.map(() => Array.from({ length: rng.int(4) }, () => rng.int(images.length)));
    expect(ranksOf(matrix(images), matrix(texts), positives)).toEqual(bruteForce(images, texts, positives));
  }
});

test("the lower index is first among equal scores", () => {
  const same = matrix([[1], [1], [1]]);
  expect(ranksOf(same, same, [[0], [1], [2]])).toEqual({ texts: [0, 1, 2], images: [0, 1, 2] });
});

test("recall is averaged over captions one way and over pictures with a caption the other way", () => {
  const images = matrix([
    [1, 0],
    [0, 1],
    [-1, 0],
  ]);
  // Two captions of picture 0, the second of which looks like picture 1; none of picture 2.
  const texts = matrix([
    [1, 0],
    [0, 1],
    [0, 1],
  ]);
  const steps = [...retrievalRanks(images, texts, [[0], [0], [1]])];
  expect(steps).toEqual([3]);
  const ranks = ranksOf(images, texts, [[0], [0], [1]]);
  expect(ranks).toEqual({ texts: [0, 1, 0], images: [0, 1, -1] });
  expect(recallAt(Int32Array.from(ranks.texts))).toEqual({ 1: 2 / 3, 5: 1, 10: 1, queries: 3 });
  expect(recallAt(Int32Array.from(ranks.images))).toEqual({ 1: 1 / 2, 5: 1, 10: 1, queries: 2 });
});

test("recall@k counts ranks below k", () => {
  expect(recallAt(Int32Array.from([0, 4, 5, 9, 10]))).toEqual({ 1: 1 / 5, 5: 2 / 5, 10: 4 / 5, queries: 5 });
  expect(recallAt(new Int32Array(0))[1]).toBeNaN();
});

test("sizes that do not fit and pictures that do not exist are refused", () => {
  expect(() => ranksOf(matrix([[1, 0]]), matrix([[1]]), [[0]])).toThrow(
    /widths and numbers of texts must agree/,
  );
  expect(() => ranksOf(matrix([[1]]), matrix([[1]]), [])).toThrow(/widths and numbers of texts must agree/);
  expect(() => ranksOf(matrix([[1]]), matrix([[1]]), [[1]])).toThrow(/text 0 names picture 1 of 1/);
});

test("an embedding that is not finite or of another width never reaches a ranking", () => {
  const m = emptyMatrix(1, 2);
  expect(() => setRow(m, 0, Float32Array.of(1, Number.NaN), "cat.png")).toThrow(
    /cat.png has values that are not/,
  );
  expect(() => setRow(m, 0, Float32Array.of(1), "cat.png")).toThrow(/expected 2 numbers, the model gave 1/);
});

test("classification: accuracy at 1 and 5, and recall averaged over the classes that occur", () => {
  const counter = new ClassificationCounter(6);
  counter.add(Float32Array.of(9, 1, 1, 1, 1, 1), 0);
  counter.add(Float32Array.of(9, 1, 1, 1, 1, 1), 0);
  counter.add(Float32Array.of(9, 1, 8, 8, 8, 8), 1); // sixth: not among five
  counter.add(Float32Array.of(9, 1, 8, 8, 8, 1), 1); // fifth: the lower of two equal ones
  expect(counter.result()).toEqual({ acc1: 0.5, acc5: 0.75, mean_per_class_recall: 0.5 });
});

test("accuracy at 5 is not a number below five classes, and a NaN score is never right", () => {
  const counter = new ClassificationCounter(2);
  counter.add(Float32Array.of(Number.NaN, Number.NaN), 0);
  expect(counter.result()).toEqual({ acc1: 0, acc5: Number.NaN, mean_per_class_recall: 0 });
  expect(() => counter.add(Float32Array.of(1, 2), 2)).toThrow(/expected 2 scores and a class below that/);
});
