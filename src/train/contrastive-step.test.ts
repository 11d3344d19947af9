import { expect, test } from "vitest";
import { normals } from "../../test/evaluate.ts";
import { TINY_FEEDS, tinyModel, tinyWeights } from "../../test/invariants/tiny-model.ts";
import { type HostTensor, i64 } from "../core/array.ts";
import { createRuntime } from "../runtime/ort.node.ts";
import { STAGE1_ADAMW } from "./adamw.ts";
import { buildContrastiveStep, type ContrastiveStepOptions } from "./contrastive-step.ts";
import { initialState, Trainer } from "./trainer.ts";

const B = 3;

/** Loss and gradient norm of the first step. */
async function firstStep(
  texts: Readonly<Record<"ids" | "eos", HostTensor>>,
  how: Pick<ContrastiveStepOptions, "captions" | "textPairs"> = {},
) {
  await using runtime = await createRuntime({ threads: 1 });
  const step = buildContrastiveStep(tinyModel(), {
    batchSize: B,
    ...how,
    images: "normalised",
    ...STAGE1_ADAMW,
    groups: [{ name: "all", match: ["*"] }],
  });
  const state = initialState(step, tinyWeights());
  await using trainer = await Trainer.create(runtime, step, {
    state,
    frozen: new Map(),
    betas: STAGE1_ADAMW.betas,
  });
  return await trainer.run({ images: normals("pixels", [B, 3, 28, 28]), ...texts }, { all: 1e-3 });
}

const first = { ids: TINY_FEEDS.ids!, eos: TINY_FEEDS.eos! };
const second = {
  ids: i64([3, 6], [1, 5, 2, 0, 0, 0, 1, 8, 30, 31, 40, 2, 1, 3, 7, 2, 0, 0]),
  eos: i64([3], [2, 5, 3]),
};
/** Rows of one batch of texts after those of another. */
function join(...batches: readonly (typeof first)[]) {
  const rows = (name: "ids" | "eos") => {
    const [, ...shape] = batches[0]![name].shape;
    const data = batches.flatMap((batch) => [...(batch[name].data as BigInt64Array)].map(Number));
    return i64([batches.length * B, ...shape], data);
  };
  return { ids: rows("ids"), eos: rows("eos") };
}

test("with several captions a picture, the loss is the mean over them", async () => {
  const [alone, other] = [await firstStep(first), await firstStep(second)];
  const both = await firstStep(join(first, second), { captions: 2 });
  expect(Math.abs(alone.loss - other.loss)).toBeGreaterThan(1e-3);
  expect(both.loss).toBeCloseTo((alone.loss + other.loss) / 2, 5);
  // The norm of a mean of gradients is at most the mean of their norms.
  expect(both.gradNorm).toBeLessThanOrEqual((alone.gradNorm + other.gradNorm) / 2 + 1e-5);
  expect(both.gradNorm).toBeGreaterThan(0);
});

test("pairs of texts add their own contrastive loss, weighted", async () => {
  const alone = await firstStep(first);
  expect(alone.pairLoss).toBeUndefined();
  const lossWith = async (weight: number, a: typeof first, b: typeof first) => {
    const { loss, pairLoss } = await firstStep(join(first, a, b), { textPairs: { count: B, weight } });
    expect(loss).toBeCloseTo(alone.loss + weight * pairLoss!, 5);
    return loss - alone.loss;
  };
  const once = await lossWith(1, first, second);
  expect(once).toBeGreaterThan(1e-3);
  expect(await lossWith(0.5, first, second)).toBeCloseTo(once / 2, 5);
  // Both directions count alike, and equal texts are easier to tell from the others than different ones.
  expect(await lossWith(1, second, first)).toBeCloseTo(once, 5);
  expect(await lossWith(1, first, first)).toBeLessThan(once);
});
