import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { ConfigError } from "../core/errors.ts";

const EndOfText = z.looseObject({ eos_token_id: z.union([z.int(), z.array(z.int())]).nullish() });

/**
 * Ids that end a text, from generation_config.json in the folder or else the language model's part of config.json (or all
 * of it); none where neither says.
 */
export async function endOfText(folder: string, config: unknown): Promise<ReadonlySet<number>> {
  const file = join(folder, "generation_config.json");
  const text = await readFile(file, "utf8").catch(() => "{}");
  const parts = (config ?? {}) as { readonly llm_config?: unknown; readonly text_config?: unknown };
  let generation: unknown;
  try {
    generation = JSON.parse(text);
  } catch {
    throw new ConfigError(`${file}: expected JSON; the file is damaged, fetch it again`);
  }
  for (const source of [generation, parts.llm_config, parts.text_config, parts]) {
    const { success, data } = EndOfText.safeParse(source ?? {});
    if (success && data.eos_token_id !== undefined && data.eos_token_id !== null)
      return new Set([data.eos_token_id].flat());
  }
  return new Set();
}
