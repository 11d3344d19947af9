import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { folderTemplate } from "./folder-template.node.ts";

test("the template's own file goes first, then the fields of others, of several the default one", async () => {
  await using folder = await temporaryFolder();
  const put = (name: string, content: unknown) =>
    writeFile(join(folder.path, name), typeof content === "string" ? content : JSON.stringify(content));
  expect(await folderTemplate(folder.path)).toBeUndefined();
  const several = [
    { name: "tool_use", template: "tools" },
    { name: "default", template: "plain" },
  ];
  await put("tokenizer_config.json", { chat_template: several });
  expect(await folderTemplate(folder.path)).toBe("plain");
  await put("tokenizer_config.json", { chat_template: several.slice(0, 1) });
  expect(await folderTemplate(folder.path)).toBeUndefined();
  await put("tokenizer_config.json", { chat_template: "text" });
  expect(await folderTemplate(folder.path)).toBe("text");
  await put("chat_template.json", { chat_template: "json" });
  expect(await folderTemplate(folder.path)).toBe("json");
  await put("chat_template.jinja", "jinja");
  expect(await folderTemplate(folder.path)).toBe("jinja");
  await rm(join(folder.path, "chat_template.jinja"));
  await put("chat_template.json", "{");
  await expect(folderTemplate(folder.path)).rejects.toThrow(/chat_template\.json: expected JSON/);
});
