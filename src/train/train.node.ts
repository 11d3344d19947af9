import { mkdir } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { FolderLock } from "../core/folder-lock.node.ts";
import { createRuntime } from "../runtime/ort.node.ts";
import { readJson } from "./check-recipe.node.ts";
import { hasCheckpoints } from "./checkpoints.node.ts";
import { prepareContrastive } from "./contrastive-stage.node.ts";
import { parseRecipe, recipeIdentity } from "./recipe.ts";
import { prepareSft } from "./sft-stage.node.ts";
import type { TrainOptions, TrainSummary } from "./train-options.ts";
import { CHECKPOINTS, TrainingRun } from "./training-run.node.ts";

export type { Evaluate, TrainEvent, TrainOptions, TrainSummary } from "./train-options.ts";

/**
 * Trains as a recipe (JSON) says, or continues a run of the same recipe from its newest checkpoint: the result is
 * bit-identical to that of a run that was never interrupted (on the same machine with the same number of threads).
 * Throws ConfigError for a recipe or data that cannot be used, CheckpointError for weights that cannot be read,
 * MediaError when pictures are gone, and the signal's reason when it is aborted; a checkpoint is saved first.
 */
export async function train(recipePath: string, options: TrainOptions = {}): Promise<TrainSummary> {
  const folder = dirname(resolve(recipePath));
  const recipe = parseRecipe(await readJson(recipePath), recipePath);
  const prepared =
    recipe.stage === "contrastive"
      ? await prepareContrastive(recipe, recipePath, folder, options)
      : await prepareSft(recipe, recipePath, folder, options);
  const output = resolve(folder, recipe.output);
  await mkdir(output, { recursive: true });
  // Two runs in one folder would take each other's checkpoints for their own.
  await using lock = await FolderLock.acquire(output);
  const resumed = await hasCheckpoints(join(output, CHECKPOINTS));
  await using runtime = await createRuntime(options.threads ? { threads: options.threads } : {});
  const stage = await prepared.open({ output, resumed, runtime });
  const identity = { recipe: recipeIdentity(recipe), manifest: prepared.digest };
  await new TrainingRun({ recipe, identity, output, lock, stage, runtime, options }).run();
  return { steps: stage.phases.reduce((sum, steps) => sum + steps, 0), output };
}
