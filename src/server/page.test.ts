import { cp, mkdir, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { UsageError } from "../core/errors.ts";
import { loadPage } from "./page.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

test("a clone builds the page once, and again when its sources change", async () => {
  await using folder = await temporaryFolder();
  const root = folder.path;
  await mkdir(join(root, "src"));
  for (const room of ["core", "text", "vision", "web"])
    await cp(join(ROOT, "src", room), join(root, "src", room), { recursive: true });
  await cp(join(ROOT, "vite.config.ts"), join(root, "vite.config.ts"));
  await symlink(join(ROOT, "node_modules"), join(root, "node_modules"));
  await writeFile(join(root, "package.json"), '{ "type": "module" }');

  const page = await loadPage(root);
  const html = new TextDecoder().decode(page.files.get("/")?.bytes);
  const assets = [...html.matchAll(/(?:src|href)="([^"#]+)"/g)]
    .map((m) => m[1]!)
    .filter((url) => !/^\/(\?|$)/.test(url));
  expect(assets.length).toBeGreaterThanOrEqual(3);
  for (const url of assets) expect(page.files.has(url), url).toBe(true);
  // The policy allows no inline code and nothing from elsewhere.
  expect(html).not.toMatch(/<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|https?:\/\//);

  const built = (await stat(join(root, "dist/web"))).ino;
  await loadPage(root);
  expect((await stat(join(root, "dist/web"))).ino).toBe(built);
  const main = join(root, "src/web/examples.ts");
  await writeFile(main, (await readFile(main, "utf8")).replace("red apple", "green apple"));
  const changed = await loadPage(root);
  const text = [...changed.files.values()].map((f) => new TextDecoder().decode(f.bytes)).join();
  expect(text).toContain("green apple");
  expect(await readdir(join(root, "dist"))).toEqual(["web"]);
});

test("a package without its page says what to do", async () => {
  await using folder = await temporaryFolder();
  await expect(loadPage(folder.path)).rejects.toThrow(UsageError);
  await expect(loadPage(folder.path)).rejects.toThrow(/npm ci/);
});
