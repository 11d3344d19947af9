import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { writeWhole } from "../core/write-whole.node.ts";
import type { TensorSource } from "../runtime/runtime.ts";
import { SINGLE_FILE } from "./safetensors.node.ts";
import { writeSafetensors } from "./write-safetensors.node.ts";

/** Larger checkpoints are split, as they are on the hub. */
const SHARD_BYTES = 5e9;

/** Writes config.json and the weights of a model in the published layout, each file whole or not at all. */
export async function writeModel(
  folder: string,
  config: object,
  weights: ReadonlyMap<string, TensorSource>,
): Promise<void> {
  await writeWhole(join(folder, "config.json"), `${JSON.stringify(config, null, 2)}\n`);
  await writeSafetensors(join(folder, SINGLE_FILE), weights, { maxShardBytes: SHARD_BYTES });
}

/** Copies the small files of these names that a folder has, each whole or not at all. */
export async function copyFiles(names: readonly string[], from: string, to: string): Promise<void> {
  for (const name of names) {
    const bytes = await readFile(join(from, name)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error;
    });
    if (bytes) await writeWhole(join(to, name), bytes);
  }
}
