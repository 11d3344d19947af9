import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { parseSafetensors } from "../../src/weights/safetensors.ts";
import { cli, type RunOptions } from "./cli-process.ts";

// A process takes a third of a second, and ten seconds where many others run.
vi.setConfig({ testTimeout: 300_000 });

let folder: string;
let options: RunOptions;
const COLOURS = { red: "#ff0000", green: "#00ff00", blue: "#0000ff", yellow: "#b4b400" };

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "internvl-cli-"));
  options = { cwd: folder, env: { HOME: folder, XDG_DATA_HOME: join(folder, "data") } };
  for (const [name, background] of Object.entries(COLOURS)) {
    const file = join(folder, "pictures", name, `${name}.png`);
    await mkdir(join(folder, "pictures", name), { recursive: true });
    await sharp({ create: { width: 8, height: 6, channels: 3, background } }).toFile(file);
  }
  await mkdir(join(folder, "mixed"));
  await writeFile(join(folder, "mixed", "broken.png"), "no picture");
  await writeFile(join(folder, "mixed", "phone.heic"), "not looked into");
  const line = (name: string) =>
    JSON.stringify({
      image: `pictures/${name}/${name}.png`,
      captions: { en: [`a ${name} thing`] },
      group: name,
    });
  await writeFile(join(folder, "manifest.jsonl"), Object.keys(COLOURS).map(line).join("\n"));
});
afterAll(() => rm(folder, { recursive: true }));

const run = (...args: string[]) => cli(args, options);
const picture = (name: string) => join("pictures", name, `${name}.png`);

describe("index and search", () => {
  test("a folder is indexed, searched by words and by a picture, and brought up to date", async () => {
    const first = await run("index", "pictures", "mixed");
    expect(first.stderr).toBe("");
    expect(first.stdout).toMatch(
      /^4 pictures in the index: 4 added\n1 file could not be indexed:\n.*broken\.png.*\n1 \.heic file is not read/,
    );
    expect(first.code).toBe(0);

    const again = JSON.parse((await run("index", "--json")).stdout);
    expect(again).toMatchObject({
      images: 4,
      added: 0,
      unchanged: 4,
      stillFailed: 1,
      unsupported: { ".heic": 1 },
      model: "colours",
    });
    expect(again.failures).toHaveLength(1);

    const found = JSON.parse((await run("search", "something green", "-k", "2", "--json")).stdout);
    expect(found.results).toHaveLength(2);
    expect(found.results[0].path).toMatch(/green\.png$/);
    expect(found.results[0].score).toBeCloseTo(1, 3);

    const alike = await run("search", "--image", picture("blue"));
    expect(alike.stdout.split("\n")[0]).toBe("#   score  size  picture");
    expect(alike.stdout.split("\n")[1]).toMatch(/^1 {2}1\.0000 +8×6 {2}.*blue\.png$/);

    const other = await run("search", "red", "--model", "other");
    expect(other.code).toBe(2);
    expect(other.stderr).toMatch(/^error: .*expected an index made with other-0.*--rebuild/);

    const removed = await run("index", "mixed", "--remove");
    expect([removed.code, removed.stdout, removed.stderr]).toEqual([0, "", "4 pictures left in the index\n"]);
  });

  test("searching without an index says how to make one", async () => {
    const { code, stdout, stderr } = await run("search", "red", "--index", "nowhere");
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(/^error: .*nowhere: .*internvl index FOLDER\n$/);
  });
});

describe("classify", () => {
  test("prints the best labels of each picture, or all of them as JSON", async () => {
    const text = await run("classify", picture("red"), picture("blue"), "--labels", "red,blue", "--top", "1");
    expect(text.stdout.split("\n").map((l) => l.trim().split(/ {2,}/))).toEqual([
      ["%", "label", "picture"],
      ["100.00", "red", picture("red")],
      ["100.00", "blue", picture("blue")],
      [""],
    ]);
    const json = await run("classify", picture("red"), "-l", "blue,red", "-t", "a {c} one", "--json");
    const { results, failed } = JSON.parse(json.stdout);
    expect(results[0].labels.map((l: { label: string }) => l.label)).toEqual(["red", "blue"]);
    expect(failed).toEqual([]);
    expect([json.code, json.stderr]).toEqual([0, ""]);
  });

  test("a broken picture does not keep the others' results back", async () => {
    const { code, stdout, stderr } = await run(
      "classify",
      "mixed/broken.png",
      picture("red"),
      "-l",
      "red,blue",
      "--json",
    );
    expect(JSON.parse(stdout).results).toHaveLength(1);
    expect(JSON.parse(stdout).failed[0].path).toBe("mixed/broken.png");
    expect(stderr).toMatch(/^error: 1 of 2 pictures could not be read:\n.*broken\.png/);
    expect(code).toBe(2);
  });

  test("missing files and folders are all named before any work", async () => {
    const { code, stdout, stderr } = await run(
      "classify",
      "no.png",
      "pictures",
      "-l",
      "a,b",
      "--model",
      "defect",
    );
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(/no\.png: there is no such file\npictures: is a folder/);
  });
});

describe("embed", () => {
  test("prints a line of JSON per picture and text", async () => {
    const { stdout, code } = await run("embed", picture("red"), "--text", "blue", "-t", "green");
    const lines = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines).toEqual([
      { path: picture("red"), embedding: [1, 0, 0] },
      { text: "blue", embedding: [0, 0, 1] },
      { text: "green", embedding: [0, 1, 0] },
    ]);
    expect(code).toBe(0);
  });

  test("prints one object with --json, which names what failed", async () => {
    const { stdout, code } = await run("embed", picture("red"), "mixed/broken.png", "--json");
    expect(JSON.parse(stdout)).toMatchObject({
      model: "colours",
      dimension: 3,
      results: [{ path: picture("red"), embedding: [1, 0, 0] }],
      failed: [{ path: "mixed/broken.png" }],
    });
    expect(code).toBe(2);
    expect((await run("embed", "--text", "red", "--json", "-o", "x.npy")).stderr).toMatch(/found both/);
  });

  test("writes .npy and .safetensors", async () => {
    await run("embed", picture("red"), picture("blue"), "-o", "out.npy");
    const npy = await readFile(join(folder, "out.npy"));
    expect(npy.toString("latin1")).toContain("'shape': (2, 3)");
    const note = await run("embed", picture("red"), "--text", "blue", "-o", "out.safetensors");
    expect(note.stderr).toBe("out.safetensors: 2 embeddings of width 3\n");
    const { tensors, metadata } = parseSafetensors("out", await readFile(join(folder, "out.safetensors")));
    expect([...(tensors.get("embeddings")!.data as Float32Array)]).toEqual([1, 0, 0, 0, 0, 1]);
    expect(JSON.parse(metadata.names!)).toEqual([picture("red"), "blue"]);
  });

  test("refuses unknown formats, nothing to do, and a matrix with holes", async () => {
    expect((await run("embed", picture("red"), "-o", "out.csv")).stderr).toMatch(
      /ends in .jsonl, .safetensors, .npy/,
    );
    expect((await run("embed")).stderr).toMatch(/nothing to embed/);
    const holes = await run("embed", picture("red"), "mixed/broken.png", "-o", "holes.npy");
    expect(holes.code).toBe(2);
    await expect(readFile(join(folder, "holes.npy"))).rejects.toThrow("ENOENT");
  });
});

describe("eval", () => {
  test("retrieval gives the recalls per language, from the cache the second time", async () => {
    const first = await run("eval", "retrieval", "manifest.jsonl", "--json");
    const result = JSON.parse(first.stdout);
    expect(result.languages.en).toMatchObject({
      "image_retrieval_recall@1": 1,
      "text_retrieval_recall@1": 1,
      texts: 4,
    });
    // The embedder of "slow" would take far longer than the test may: its pictures come from the cache.
    const args = ["eval", "retrieval", "manifest.jsonl", "--model", "m"];
    const table = await run(...args, "--protocol", "concepts");
    expect(table.stdout).toMatch(/^m-0\nlanguage +text→image R@1 .*\nen +100\.00 +100\.00 /);
    expect((await run(...args, "--languages", "fr")).stderr).toMatch(/^error: .*no captions in fr/);
  });

  test("classify takes a folder per class or a manifest's groups", async () => {
    const templates = ["--templates", "a {c} thing"];
    const { stdout, stderr } = await run("eval", "classify", "pictures", ...templates, "--json");
    expect(JSON.parse(stdout)).toMatchObject({ acc1: 1, acc5: null, images: 4, classes: 4, templates: 1 });
    expect(stderr).toBe("");
    const groups = await run("eval", "classify", "manifest.jsonl", ...templates);
    expect(groups.stdout).toMatch(
      /\n +acc@1 +acc@5 .*\n +100\.00 +n\/a +100\.00 +4 +4 +1\n$|\n100\.00 +n\/a/,
    );
    const names = await run("eval", "classify", "pictures", "--classnames", "imagenet:en");
    expect([names.code, names.stderr]).toEqual([2, expect.stringMatching(/4 classes, but 1000 class names/)]);
  });
});

describe("train and parity", () => {
  test("training prints held-out recalls as they come, or every report as a line of JSON", async () => {
    const text = await run("train", "recipe.json", "--threads", "2");
    expect(text.stdout).toMatch(/^step 1 {2}loss 4\.0000 {2}heldout\.en\.R@10 25\.00\nstep 2 /);
    expect(text.stderr).toBe("not used: x.png: not a picture\ntrained 3 steps: model-2\n");
    const { code, stdout } = await run("train", "recipe.json", "--json");
    const lines = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines[1]).toMatchObject({
      step: 2,
      loss: 2,
      recall: { "heldout.en.R@10": 0.5 },
    });
    expect(lines[3]).toEqual({ steps: 3, output: "model-0" });
    expect(code).toBe(0);
  });

  test("parity prints a line per output, and exits 1 when one is out of tolerance", async () => {
    const good = await run("parity", "good");
    expect(good.stdout).toMatch(
      /^vit_last_hidden +abs 1\.50e-6 +rel 2\.00e-5 +ok\ncaption\.beam5 +unsupported\n$/,
    );
    expect(good.stderr).toBe("1 within tolerance, 0 out of tolerance, 1 unsupported by this build\n");
    expect(good.code).toBe(0);
    const bad = await run("parity", "bad", "--json");
    expect(JSON.parse(bad.stdout)).toMatchObject({ ok: 1, fail: 1, unsupported: 1 });
    expect(bad.code).toBe(1);
    expect((await run("parity", "empty")).code).toBe(2);
  });
});
