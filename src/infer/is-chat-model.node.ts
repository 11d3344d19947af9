import { readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isChatConfig } from "../models/chat-config.ts";
import { isLanguageConfig } from "../models/language_models.ts";

/** Whether a folder or file is a model that answers, as far as its configuration tells, rather than one that embeds. */
export async function isChatModel(path: string): Promise<boolean> {
  if (path.endsWith(".gguf")) return true;
  try {
    const folder = (await stat(path)).isDirectory() ? path : dirname(path);
    const config: unknown = JSON.parse(await readFile(join(folder, "config.json"), "utf8"));
    return isChatConfig(config) || isLanguageConfig(config as object);
  } catch {
    // Whoever loads it says what is wrong with it.
    return false;
  }
}
