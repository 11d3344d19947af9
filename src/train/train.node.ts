import { mkdir, readFile, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { ConfigError, ShapeError } from "../core/errors.ts";
import { FolderLock } from "../core/folder-lock.node.ts";
import { readManifest } from "../data/manifest.node.ts";
import type { ManifestItem } from "../data/manifest.ts";
import { readTextPairs } from "../data/text-pairs.node.ts";
import { InternVLC } from "../models/internvl_c.ts";
import { parameters } from "../nn/module.ts";
import { createRuntime } from "../runtime/ort.node.ts";
import { hasCheckpoints } from "./checkpoints.node.ts";
import { CHECKPOINTS, ContrastiveRun } from "./contrastive-run.node.ts";
import { assignGroups } from "./param-groups.ts";
import { prepareTokenizer } from "./prepare-tokenizer.node.ts";
import { modelConfigAt, parseRecipe, type Recipe, recipeIdentity, totalSteps } from "./recipe.ts";
import { digestOf } from "./run-identity.ts";
import type { TrainOptions, TrainSummary } from "./train-options.ts";

export type { Evaluate, TrainEvent, TrainOptions, TrainSummary } from "./train-options.ts";

/**
 * Trains as a recipe (JSON) says, or continues a run of the same recipe from its newest checkpoint: the result is
 * bit-identical to that of a run that was never interrupted (on the same machine with the same number of threads).
 * Throws ConfigError for a recipe or manifest that cannot be used, CheckpointError for weights that cannot be read,
 * MediaError when pictures are gone, and the signal's reason when it is aborted; a checkpoint is saved first.
 */
export async function train(recipePath: string, options: TrainOptions = {}): Promise<TrainSummary> {
  const folder = dirname(resolve(recipePath));
  const recipe = parseRecipe(await readJson(recipePath), recipePath);
  checkModel(recipe, recipePath);
  const init = recipe.init === undefined ? undefined : resolve(folder, recipe.init);
  const manifest = resolve(folder, recipe.data.manifest);
  const pairs = recipe.data.text_pairs && resolve(folder, recipe.data.text_pairs.file);
  await checkPaths(recipePath, {
    init,
    "data.manifest": manifest,
    "data.text_pairs.file": pairs,
    "tokenizer.folder": "folder" in recipe.tokenizer ? resolve(folder, recipe.tokenizer.folder) : undefined,
  });
  const items = await readManifest(manifest, { split: "train" });
  const textLists = pairs === undefined ? [] : await readTextPairs(pairs);
  checkTextPairs(recipe, recipePath, textLists.length);
  const heldOut = await readHeldOut(recipe, manifest);
  const output = resolve(folder, recipe.output);
  await mkdir(output, { recursive: true });
  // Two runs in one folder would take each other's checkpoints for their own.
  await using lock = await FolderLock.acquire(output);
  const resumed = await hasCheckpoints(join(output, CHECKPOINTS));
  const tokenizer = await prepareTokenizer(recipe, { folder, output, items, textLists, resumed });
  await using runtime = await createRuntime(options.threads ? { threads: options.threads } : {});
  const identity = {
    recipe: recipeIdentity(recipe),
    manifest: digestOf(items, textLists),
  };
  const parts = {
    recipe,
    identity,
    output,
    lock,
    init,
    tokenizer,
    items,
    textLists,
    heldOut,
    runtime,
    options,
  };
  await new ContrastiveRun(parts).run();
  return { steps: totalSteps(recipe), output };
}

async function readJson(path: string): Promise<unknown> {
  const text = await readFile(path, "utf8").catch((e: NodeJS.ErrnoException) => {
    throw new ConfigError(`${path}: cannot be read (${e.code}); give the path of a recipe`, { cause: e });
  });
  try {
    return JSON.parse(text);
  } catch (e) {
    throw new ConfigError(`${path}: not JSON: ${(e as Error).message}`, { cause: e });
  }
}

/** Builds each phase's model to find out before anything is read whether there is one, and what the groups train. */
function checkModel(recipe: Recipe, path: string): void {
  const models = naming(`${path}: model: `, () =>
    recipe.phases.map((_, phase) => new InternVLC(modelConfigAt(recipe, phase))),
  );
  naming(`${path}: `, () => assignGroups(parameters(models[0]!).keys(), recipe.optimizer.groups));
}

/** Puts the place that a recipe's mistake is in before its message. */
function naming<T>(where: string, check: () => T): T {
  try {
    return check();
  } catch (e) {
    if (!(e instanceof ShapeError || e instanceof ConfigError)) throw e;
    throw new ConfigError(`${where}${e.message}`, { cause: e });
  }
}

/** Throws a ConfigError with all fields that name nothing. */
async function checkPaths(
  recipePath: string,
  fields: Readonly<Record<string, string | undefined>>,
): Promise<void> {
  const problems: string[] = [];
  for (const [field, path] of Object.entries(fields)) {
    if (path === undefined) continue;
    const reason = await stat(path).then(
      () => undefined,
      (e: NodeJS.ErrnoException) => (e.code === "ENOENT" ? "does not exist" : `cannot be read (${e.code})`),
    );
    if (reason) problems.push(`${field}: ${path} ${reason}`);
  }
  if (problems.length > 0)
    throw new ConfigError(
      `${recipePath}: paths are relative to the recipe's folder\n  ${problems.join("\n  ")}`,
    );
}

/** A batch draws every line once at most. */
function checkTextPairs({ data }: Recipe, recipePath: string, lines: number): void {
  const { text_pairs: pairs } = data;
  if (pairs && pairs.batch_size > lines)
    throw new ConfigError(
      `${recipePath}: data.text_pairs.batch_size: expected at most ${lines}, the lines of ${pairs.file}, found ${pairs.batch_size}`,
    );
}

/** The pictures to measure recall on, by split: the same ones at every measurement, spread evenly over the split. */
async function readHeldOut(recipe: Recipe, manifest: string): Promise<Map<string, ManifestItem[]>> {
  const { evaluation } = recipe;
  const splits = new Map<string, ManifestItem[]>();
  for (const split of evaluation?.splits ?? []) {
    const items = await readManifest(manifest, { split });
    const every = Math.max(1, items.length / (evaluation?.max_pictures ?? items.length));
    splits.set(
      split,
      items.filter((_, i) => Math.floor(i / every) !== Math.floor((i - 1) / every)),
    );
  }
  return splits;
}
