import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { ConfigError } from "../core/errors.ts";

/** Some have several, for tools and retrieval. */
const TemplateField = z.looseObject({
  chat_template: z
    .union([z.string(), z.array(z.looseObject({ name: z.string(), template: z.string() }))])
    .optional()
    .transform((field) =>
      Array.isArray(field) ? field.find(({ name }) => name === "default")?.template : field,
    ),
});

/** A folder's `chat_template.jinja`, or the field of that name in the files where it stood before; undefined for none. */
export async function folderTemplate(folder: string): Promise<string | undefined> {
  const read = (name: string) => readFile(join(folder, name), "utf8").catch(() => undefined);
  const own = await read("chat_template.jinja");
  if (own !== undefined) return own;
  for (const name of ["chat_template.json", "tokenizer_config.json"]) {
    const text = await read(name);
    if (text === undefined) continue;
    let parsed: unknown;
    try {
      parsed = JSON.parse(text);
    } catch {
      throw new ConfigError(`${join(folder, name)}: expected JSON; the file is damaged, fetch it again`);
    }
    const { data } = TemplateField.safeParse(parsed);
    if (data?.chat_template !== undefined) return data.chat_template;
  }
  return undefined;
}
