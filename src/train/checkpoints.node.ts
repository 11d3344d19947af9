import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { HostTensor } from "../core/array.ts";
import { CheckpointError, ConfigError } from "../core/errors.ts";
import { readTensor } from "../weights/file-range.node.ts";
import { openSafetensors } from "../weights/safetensors.node.ts";
import { writeSafetensors } from "../weights/write-safetensors.node.ts";

const FILE = /^step-(\d{8})\.safetensors$/;
const fileOf = (folder: string, step: number) =>
  join(folder, `step-${String(step).padStart(8, "0")}.safetensors`);

export interface SavedState {
  /** Steps that were done when it was saved. */
  readonly step: number;
  readonly state: Map<string, HostTensor>;
}

/** Writes the state after `step` steps, whole or not at all, and removes all but the newest `keep` checkpoints. */
export async function saveState(
  folder: string,
  step: number,
  state: ReadonlyMap<string, HostTensor>,
  recipe: string,
  keep: number,
): Promise<void> {
  await writeSafetensors(fileOf(folder, step), state, { metadata: { step: String(step), recipe } });
  for (const old of (await savedSteps(folder)).slice(keep)) await rm(fileOf(folder, old));
}

/** Steps of the saved checkpoints, newest first. */
async function savedSteps(folder: string): Promise<number[]> {
  const names = await readdir(folder).catch((e: NodeJS.ErrnoException) => {
    if (e.code === "ENOENT") return [];
    throw e;
  });
  return names
    .flatMap((n) => FILE.exec(n)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => b - a);
}

/**
 * The newest checkpoint of the same recipe, or undefined for a fresh start. Throws a ConfigError when the folder holds
 * a run of another recipe.
 */
export async function loadLatestState(folder: string, recipe: string): Promise<SavedState | undefined> {
  const [step] = await savedSteps(folder);
  if (step === undefined) return undefined;
  const checkpoint = await openSafetensors(fileOf(folder, step));
  if (checkpoint.metadata.step !== String(step))
    throw new CheckpointError(
      `${checkpoint.name}: expected the metadata of step ${step}; the file was renamed or damaged`,
    );
  if (checkpoint.metadata.recipe !== recipe)
    throw new ConfigError(
      `${folder}: holds checkpoints of another recipe (step ${step}); continue with the unchanged recipe, or give it another "output"`,
    );
  const state = new Map<string, HostTensor>();
  for (const [key, source] of checkpoint.tensors) state.set(key, await readTensor(source));
  return { step, state };
}
