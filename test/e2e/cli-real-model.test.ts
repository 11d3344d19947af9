import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { train } from "../../src/train/train.node.ts";
import { cli, type RunOptions } from "./cli-process.ts";
import { makeWorkplace, writeRecipe } from "./train-support.ts";

/** The commands as users run them, over a model that was trained and exported for it: nothing stands in. */

// A process takes a second, and ten where many others run.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

const WIDTH = 16;

let folder: string;
let options: RunOptions;
beforeAll(async () => {
  folder = await makeWorkplace();
  const recipe = await writeRecipe(folder, "tiny", { phases: [{ steps: 2 }], warmup_steps: 1 });
  await train(recipe, { threads: 1 });
  options = { cwd: folder, real: true, env: { HOME: folder, INTERNVL_MODEL: join(folder, "tiny") } };
});
afterAll(() => rm(folder, { recursive: true }));

/** What a command prints as JSON; it must succeed. */
async function json(...args: string[]) {
  const { code, stdout, stderr } = await cli([...args, "--threads", "1"], options);
  expect({ code, stderr }).toEqual({ code: 0, stderr: expect.any(String) });
  return JSON.parse(stdout);
}

const norm = (v: readonly number[]) => Math.hypot(...v);
const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, x, i) => sum + x * b[i]!, 0);

test("an exported model indexes, searches, classifies and embeds, and all agree", async () => {
  const indexed = await json("index", "pictures", "--json");
  expect(indexed).toMatchObject({ images: 10, added: 10, failed: 0, failures: [], problems: [] });
  expect(indexed.model).toMatch(/^tiny@[0-9a-f]{12}$/);

  const { results: found } = await json("search", "red circle", "-k", "10", "--json");
  expect(found).toHaveLength(10);
  const picture = "pictures/red-circle.png";
  const like = await json("search", "--image", picture, "-k", "1", "--json");
  expect(like.results[0]).toMatchObject({
    path: expect.stringMatching(/red-circle\.png$/),
    score: expect.closeTo(1, 4),
  });

  const embedded = await json("embed", picture, "--text", "red circle", "--json");
  expect(embedded).toMatchObject({ model: indexed.model, dimension: WIDTH, failed: [] });
  const [image, text] = embedded.results.map((r: { embedding: number[] }) => r.embedding);
  expect([image.length, norm(image), norm(text)]).toEqual([
    WIDTH,
    expect.closeTo(1, 4),
    expect.closeTo(1, 4),
  ]);
  // The index's score is the product of the very embeddings that embed prints.
  const score = found.find((r: { path: string }) => r.path.endsWith("red-circle.png")).score;
  expect(dot(image, text)).toBeCloseTo(score, 4);

  const classified = await json("classify", picture, "--labels", "red,blue,green", "--json");
  const labels: { label: string; probability: number }[] = classified.results[0].labels;
  expect(labels.map((l) => l.label).sort()).toEqual(["blue", "green", "red"]);
  expect(labels.reduce((sum, l) => sum + l.probability, 0)).toBeCloseTo(1, 4);
});

test("a file of embeddings holds what was asked for, and a wrong folder is told before the work", async () => {
  const written = await cli(["embed", "pictures/red-circle.png", "--output", "one.npy"], options);
  expect(written).toMatchObject({ code: 0, stdout: "" });
  const bytes = await readFile(join(folder, "one.npy"));
  expect(bytes.subarray(1, 6).toString("latin1")).toBe("NUMPY");
  const values = new Float32Array(bytes.buffer.slice(bytes.byteOffset + bytes.length - 4 * WIDTH));
  expect(Math.hypot(...values.subarray(0, WIDTH))).toBeCloseTo(1, 4);
  const wrong = await cli(["embed", "pictures/red-circle.png", "--output", "none/one.npy"], options);
  expect([wrong.code, wrong.stderr]).toEqual([
    2,
    expect.stringMatching(/expected the folder none, found none/),
  ]);
});

test("what is missing is told with what to do", async () => {
  const model = await cli(["embed", "--text", "a", "--model", "nowhere"], options);
  expect([model.code, model.stderr]).toEqual([
    2,
    expect.stringMatching(/nowhere: expected a model.*, found none; /),
  ]);
  const index = await cli(["search", "a", "--index", "nowhere", "--model", "nowhere"], options);
  expect([index.code, index.stderr]).toEqual([
    2,
    expect.stringMatching(/expected an image index, found none/),
  ]);
});
