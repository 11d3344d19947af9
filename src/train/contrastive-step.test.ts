import { expect, test } from "vitest";
import { normals } from "../../test/evaluate.ts";
import { TINY_FEEDS, tinyModel, tinyWeights } from "../../test/invariants/tiny-model.ts";
import { type HostTensor, i64 } from "../core/array.ts";
import { createRuntime } from "../runtime/ort.node.ts";
import { STAGE1_ADAMW } from "./adamw.ts";
import { buildContrastiveStep } from "./contrastive-step.ts";
import { initialState, Trainer } from "./trainer.ts";

const B = 3;

/** Loss and gradient norm of the first step. */
async function firstStep(texts: Readonly<Record<"ids" | "eos", HostTensor>>, captions?: number) {
  await using runtime = await createRuntime({ threads: 1 });
  const step = buildContrastiveStep(tinyModel(), {
    batchSize: B,
    ...(captions && { captions }),
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

test("with several captions a picture, the loss is the mean over them", async () => {
  const first = { ids: TINY_FEEDS.ids!, eos: TINY_FEEDS.eos! };
  const second = {
    ids: i64([3, 6], [1, 5, 2, 0, 0, 0, 1, 8, 30, 31, 40, 2, 1, 3, 7, 2, 0, 0]),
    eos: i64([3], [2, 5, 3]),
  };
  const join = (name: "ids" | "eos") => {
    const [a, b] = [first[name], second[name]];
    return i64(
      [2 * B, ...a.shape.slice(1)],
      [...(a.data as BigInt64Array), ...(b.data as BigInt64Array)].map(Number),
    );
  };
  const [alone, other] = [await firstStep(first), await firstStep(second)];
  const both = await firstStep({ ids: join("ids"), eos: join("eos") }, 2);
  expect(Math.abs(alone.loss - other.loss)).toBeGreaterThan(1e-3);
  expect(both.loss).toBeCloseTo((alone.loss + other.loss) / 2, 5);
  // The norm of a mean of gradients is at most the mean of their norms.
  expect(both.gradNorm).toBeLessThanOrEqual((alone.gradNorm + other.gradNorm) / 2 + 1e-5);
  expect(both.gradNorm).toBeGreaterThan(0);
});
