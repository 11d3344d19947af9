import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { ask } from "../examples/chat.ts";
import { classify } from "../examples/classify.ts";
import { similarities } from "../examples/embed.ts";
import { search } from "../examples/search.ts";
import { NANO_CHAT } from "../src/infer/nano.node.ts";

/** The examples of the README, run on the shipped model and gallery. */
const ROOT = fileURLToPath(new URL("..", import.meta.url));
const gallery = (path = ""): string => fileURLToPath(new URL(`../gallery/${path}`, import.meta.url));

test("embed: cosines of a picture and texts", async () => {
  const cosines = await similarities(gallery("animals/cat-face.webp"), ["cat", "aeroplane"]);
  expect(cosines).toHaveLength(2);
  for (const c of cosines) expect(Math.abs(c)).toBeLessThanOrEqual(1.0001);
});

test("classify: probabilities in falling order that add up to one", async () => {
  const result = await classify(gallery("animals/cat-face.webp"), ["cat", "pizza", "aeroplane"]);
  expect(result.reduce((sum, r) => sum + r.probability, 0)).toBeCloseTo(1, 5);
  expect(result.map((r) => r.probability)).toEqual(result.map((r) => r.probability).sort((a, b) => b - a));
});

test("search: a folder is indexed and answers", async () => {
  const dir = await mkdtemp(join(tmpdir(), "internvl-example-"));
  try {
    const results = await search(gallery("food"), "pizza", dir);
    expect(results).toHaveLength(5);
    expect(results[0]!.score).toBeGreaterThanOrEqual(results[4]!.score);
  } finally {
    await rm(dir, { recursive: true });
  }
});

test("chat: the shipped model names a colour", async () => {
  let text = "";
  for await (const more of ask(NANO_CHAT, gallery("food/lemon.webp"), "What is the main colour?"))
    text += more;
  expect(text).toBe("yellow");
});

test("each runs as its first line says", async () => {
  const { example } = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8")).scripts;
  const [tsx, ...conditions] = example.split(" ");
  expect(tsx).toBe("tsx");
  for (const name of await readdir(join(ROOT, "examples"))) {
    const file = `examples/${name}`;
    const [first] = (await readFile(join(ROOT, file), "utf8")).split("\n");
    expect(first).toContain(`\`npm run -s example -- ${file} `);
  }
  const args = ["examples/embed.ts", "gallery/animals/cat-face.webp", "cat", "aeroplane"];
  const node = [...conditions, "--import", import.meta.resolve("tsx"), ...args];
  const { stdout } = await promisify(execFile)(process.execPath, node, { cwd: ROOT });
  expect(stdout).toMatch(/^-?0\.\d{3} cat\n-?0\.\d{3} aeroplane\n$/);
});
