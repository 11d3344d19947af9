import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { isChatConfig } from "../models/chat-config.ts";

/** Whether a folder or file is a model that answers, as far as its configuration tells, rather than one that embeds. */
export async function isChatModel(path: string): Promise<boolean> {
  if (path.endsWith(".gguf")) return true;
  try {
    const config: unknown = JSON.parse(await readFile(join(path, "config.json"), "utf8"));
    const { architectures } = config as { readonly architectures?: readonly unknown[] };
    return isChatConfig(config) || String(architectures?.[0]).endsWith("ForCausalLM");
  } catch {
    // Whoever loads it says what is wrong with it.
    return false;
  }
}
