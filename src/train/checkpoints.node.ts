import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { HostTensor } from "../core/array.ts";
import { CheckpointError } from "../core/errors.ts";
import { readTensor } from "../weights/file-range.node.ts";
import { openSafetensors } from "../weights/safetensors.node.ts";
import { writeSafetensors } from "../weights/write-safetensors.node.ts";
import { checkSameRun, type RunIdentity } from "./run-identity.ts";

const FILE = /^step-(\d{8})\.safetensors$/;
/** What a kill leaves of a file that was being written. */
const UNFINISHED = /^\.(step-\d{8}|model)\.safetensors\.[0-9a-f]+\.tmp$/;

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
  identity: RunIdentity,
  keep: number,
): Promise<void> {
  await writeSafetensors(fileOf(folder, step), state, { metadata: { step: String(step), ...identity } });
  // A later one can only be a damaged one that was passed over: it must not push out those that can be read.
  const reached = (await savedSteps(folder)).filter((s) => s <= step);
  for (const old of reached.slice(keep)) await rm(fileOf(folder, old));
}

async function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch((e: NodeJS.ErrnoException) => {
    if (e.code === "ENOENT") return [];
    throw e;
  });
}

/** Steps of the saved checkpoints, newest first. */
async function savedSteps(folder: string): Promise<number[]> {
  const names = await namesIn(folder);
  return names
    .flatMap((n) => FILE.exec(n)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => b - a);
}

/** Whether a run has left checkpoints in the folder. */
export const hasCheckpoints = async (folder: string): Promise<boolean> =>
  (await savedSteps(folder)).length > 0;

/** Removes files that a killed run did not finish. No other run may be writing into the folder. */
export async function removeUnfinished(folder: string): Promise<void> {
  for (const name of await namesIn(folder)) if (UNFINISHED.test(name)) await rm(join(folder, name));
}

/**
 * The newest readable checkpoint of the run, or undefined for a fresh start. One that is damaged is passed over, and
 * `onDamaged` told why: the older one leads to the same weights, only later. Throws a ConfigError when the folder holds
 * another run, a CheckpointError when it holds checkpoints and none can be read.
 */
export async function loadLatestState(
  folder: string,
  identity: RunIdentity,
  onDamaged?: (path: string, reason: string) => void,
): Promise<SavedState | undefined> {
  const steps = await savedSteps(folder);
  const reasons: string[] = [];
  for (const step of steps) {
    try {
      return await readState(folder, step, identity);
    } catch (e) {
      if (!(e instanceof CheckpointError)) throw e;
      reasons.push(e.message);
      onDamaged?.(fileOf(folder, step), e.message);
    }
  }
  if (steps.length === 0) return undefined;
  throw new CheckpointError(
    `${folder}: none of its ${steps.length} checkpoints can be read (newest: ${reasons[0]}); remove the folder to start from the beginning`,
  );
}

async function readState(folder: string, step: number, identity: RunIdentity): Promise<SavedState> {
  const checkpoint = await openSafetensors(fileOf(folder, step));
  if (checkpoint.metadata.step !== String(step))
    throw new CheckpointError(
      `${checkpoint.name}: expected the metadata of step ${step}, found that of ${checkpoint.metadata.step ?? "none"}; the file was renamed or damaged`,
    );
  checkSameRun(folder, step, checkpoint.metadata, identity);
  const state = new Map<string, HostTensor>();
  for (const [key, source] of checkpoint.tensors) state.set(key, await readTensor(source));
  return { step, state };
}
