import { expect, test } from "vitest";
import { evaluate, normals } from "../../test/evaluate.ts";
import { type HostTensor, zeros } from "../core/array.ts";
import { input } from "../graph/tensor.ts";
import { crossEntropy } from "../nn/losses.ts";
import { createRuntime } from "../runtime/ort.node.ts";
import { sftInputs, type TOKEN_WEIGHT } from "./sft-inputs.ts";

const CONTEXT = 9;
/** Two rows with four and one trained tokens; the first has two image tokens. */
const TEXTS = [
  { ids: [5, 9, 9, 4, 1, 2, 3, 6], labels: [-100, -100, -100, -100, 1, 2, 3, 6] },
  { ids: [5, 4, 7], labels: [-100, -100, 7] },
];
const images = zeros("u8", [2, 2, 2, 3]);
const inputs = (reduction: keyof typeof TOKEN_WEIGHT) =>
  sftInputs(TEXTS, images, { reduction, tokensPerTile: 2, contextId: CONTEXT });
const list = (t: HostTensor | undefined) => Array.from(t!.data as ArrayLike<number | bigint>, Number);

test("rows are padded on the right to whole eights, and image tokens are numbered through the batch", () => {
  const { ids, rows } = inputs("token");
  expect(ids!.shape).toEqual([2, 8]);
  expect(list(ids)).toEqual([5, 9, 9, 4, 1, 2, 3, 6, 5, 4, 7, 0, 0, 0, 0, 0]);
  expect(list(rows)).toEqual([-1, 0, 1, -1, -1, -1, -1, -1, ...new Array(8).fill(-1)]);
  const second = sftInputs([TEXTS[1]!, TEXTS[0]!], images, {
    reduction: "token",
    tokensPerTile: 2,
    contextId: CONTEXT,
  });
  expect(list(second.rows).slice(8, 11)).toEqual([-1, 2, 3]);
});

test("a trained token is the target of the position before it", () => {
  const { places, targets } = inputs("token");
  expect(list(places)).toEqual([3, 4, 5, 6, 0, 0, 0, 0, 1, ...new Array(7).fill(0)]);
  expect(list(targets)).toEqual([1, 2, 3, 6, 0, 0, 0, 0, 7, ...new Array(7).fill(0)]);
});

test.each([
  ["token", 1],
  ["sample", 1 / 4],
  ["square", 1 / 2],
] as const)("%s: weights of a row with four trained tokens and of one with one", (reduction, four) => {
  const weights = list(inputs(reduction).weights);
  expect(weights).toEqual([four, four, four, four, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
});

test("the loss is the weighted mean of what each target costs, whatever the logits of padding are", async () => {
  await using runtime = await createRuntime({ threads: 1 });
  const V = 10;
  const logits = normals("logits", [2, 8, V]);
  const cost = (b: number, place: number, id: number) => {
    const row = Array.from(logits.data.subarray((b * 8 + place) * V, (b * 8 + place + 1) * V));
    return Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0)) - row[id]!;
  };
  const first = [cost(0, 0, 1), cost(0, 1, 2), cost(0, 2, 3), cost(0, 3, 6)].reduce((a, b) => a + b);
  const second = cost(1, 0, 7);
  const loss = crossEntropy(
    input("logits", "f32", [2, "K", V]),
    input("targets", "i64", [2, "K"]),
    input("weights", "f32", [2, "K"]),
  );
  for (const [reduction, w] of [
    ["token", 1],
    ["sample", 1 / 4],
    ["square", 1 / 2],
  ] as const) {
    const { targets, weights } = inputs(reduction);
    const feeds = { logits, targets: targets!, weights: weights! };
    const { loss: found } = await evaluate(runtime, { loss }, { feeds });
    expect(Number(found!.data[0])).toBeCloseTo((w * first + second) / (4 * w + 1), 5);
  }
});
