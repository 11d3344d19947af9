import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { ChatMessages } from "../../src/infer/chat-model.ts";
import { loadChatModel } from "../../src/infer/load-chat-model.node.ts";
import { decodeImage } from "../../src/vision/decode.node.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { TINY_CHAT_CONFIG, writeTinyChat } from "../tiny-chat.ts";
import { cli, ended, type RunOptions, startCli } from "./cli-process.ts";

/** `internvl chat` as users run it, over a model of random weights: it speaks nonsense, always the same. */

// A process takes a second, and ten where many others run.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

const VIDEO = fileURLToPath(new URL("../fixtures/video/eight.gif", import.meta.url));

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let options: RunOptions;
beforeAll(async () => {
  folder = await temporaryFolder();
  options = { cwd: folder.path, real: true, env: { HOME: folder.path } };
  await mkdir(join(folder.path, "tiny"));
  await mkdir(join(folder.path, "pictures"));
  await mkdir(join(folder.path, "empty"));
  await writeTinyChat(join(folder.path, "tiny"));
  const background = { r: 200, g: 30, b: 90 };
  const create = { width: 84, height: 28, channels: 3 as const, background };
  await sharp({ create }).png().toFile(join(folder.path, "photo.png"));
  // By its contents and not by its name.
  await cp(join(folder.path, "photo.png"), join(folder.path, "unnamed"));
  await cp(VIDEO, join(folder.path, "clip.gif"));
  await writeFile(join(folder.path, "notes.txt"), "some notes");
  await writeFile(join(folder.path, "broken.png"), Buffer.from("89504e470d0a1a0a00", "hex"));
});
afterAll(() => folder[Symbol.asyncDispose]());

const chat = (args: readonly string[], more: RunOptions = {}) =>
  cli(["chat", "tiny", "--threads", "1", ...args], { ...options, ...more });

/** What the model itself says. */
async function expected(
  messages: ChatMessages,
  maxTokens: number,
): Promise<{ text: string; prompt: number }> {
  await using model = await loadChatModel(join(folder.path, "tiny"), { threads: 1 });
  let text = "";
  let prompt = 0;
  for await (const chunk of model.chat(messages, { temperature: 0, maxTokens })) {
    text += chunk.text;
    prompt = chunk.usage?.promptTokens ?? prompt;
  }
  return { text, prompt };
}

test("a question about a picture is answered on stdout, and nothing else is said", async () => {
  const image = await decodeImage(join(folder.path, "photo.png"));
  const content = [
    { type: "image" as const, image },
    { type: "text" as const, text: "What is it?" },
  ];
  const { text } = await expected([{ role: "user", content }], 12);
  const named = await chat(["photo.png", "What is it?", "--max-tokens", "12"]);
  expect(named).toEqual({ code: 0, stdout: `${text}\n`, stderr: "" });
  const unnamed = await chat(["What is it?", "unnamed", "--max-tokens", "12"]);
  expect(unnamed.stdout).toBe(named.stdout);
});

test("piped text is the question, or follows it", async () => {
  const { text: alone } = await expected([{ role: "user", content: "hello there" }], 6);
  const piped = await chat(["--max-tokens", "6"], { input: "hello there\n" });
  expect(piped).toEqual({ code: 0, stdout: `${alone}\n`, stderr: "" });
  const { text: both } = await expected([{ role: "user", content: "say:\n\nhello there" }], 6);
  const appended = await chat(["say:", "--max-tokens", "6"], { input: "hello there\n" });
  expect(appended.stdout).toBe(`${both}\n`);
});

test("--json gives one object with what the answer took; options reach the model", async () => {
  const messages: ChatMessages = [
    { role: "system", content: "be brief" },
    { role: "user", content: "hello" },
  ];
  const { text, prompt } = await expected(messages, 7);
  const run = await chat(["hello", "--system", "be brief", "--max-tokens", "7", "--json"]);
  expect(run).toMatchObject({ code: 0, stderr: "" });
  expect(JSON.parse(run.stdout)).toEqual({
    model: expect.stringMatching(/^tiny@[0-9a-f]{12}$/),
    answer: text,
    thinking: "",
    finish_reason: "length",
    usage: { prompt_tokens: prompt, cached_tokens: 0, completion_tokens: 7 },
    seconds: expect.any(Number),
    tokens_per_second: expect.any(Number),
  });
  const sampled = ["hello", "--temperature", "1.5", "--max-tokens", "9", "--seed"];
  const [a, again, b] = [
    await chat([...sampled, "3"]),
    await chat([...sampled, "3"]),
    await chat([...sampled, "4"]),
  ];
  expect(again.stdout).toBe(a.stdout);
  expect(b.stdout).not.toBe(a.stdout);
});

test("a video is shown as frames", async () => {
  const tokens = async (...more: string[]) => {
    const { stdout, stderr } = await chat(["clip.gif", "go", "--max-tokens", "1", "--json", ...more]);
    expect(stderr).toBe("");
    return JSON.parse(stdout).usage.prompt_tokens;
  };
  const [two, three] = [await tokens("--frames", "2"), await tokens("--frames", "3")];
  // A frame's own tokens, two marks, and its label.
  expect(three - two).toBeGreaterThanOrEqual(4 + 2 + 1);
});

test("boxes are not drawn where there are none", async () => {
  const run = await chat(["photo.png", "boxes", "--max-tokens", "4", "--boxes", "out.png"]);
  expect(run).toMatchObject({ code: 0, stderr: "out.png: not written, the answer has no boxes\n" });
  await expect(readFile(join(folder.path, "out.png"))).rejects.toThrow("ENOENT");
});

test("Ctrl-C ends an answer at once, with what was said until then", async () => {
  // Room for an answer that is not over by itself before the signal comes.
  await cp(join(folder.path, "tiny"), join(folder.path, "long"), { recursive: true });
  const llm_config = { ...TINY_CHAT_CONFIG.llm_config, max_position_embeddings: 32_768 };
  const config = JSON.stringify({ ...TINY_CHAT_CONFIG, llm_config });
  await writeFile(join(folder.path, "long", "config.json"), config);
  const args = ["chat", "long", "talk on", "--context", "32768", "--threads", "1"];
  const child = startCli(args, options);
  const end = ended(child);
  await new Promise((resolve) => child.stdout!.once("data", resolve));
  child.kill("SIGINT");
  const { code, stdout, stderr } = await end;
  expect([code, stderr]).toEqual([130, "interrupted\n"]);
  expect(stdout.endsWith("\n")).toBe(true);
});

describe("what is not possible ends with 2, a message and nothing on stdout", () => {
  test.each<[string, string[], RegExp, RunOptions?]>([
    ["no question", ["photo.png"], /there is no question; give one in quotes.*or pipe a text in/],
    ["an empty question", [" "], /the question is empty/],
    ["words without quotes", ["what", "is", "it"], /found 3 texts.*put the question in quotes: "what is it"/],
    ["a file that is not there", ["fhoto.png", "what"], /^error: fhoto\.png: there is no such file\n$/],
    ["a path that is not there", ["./photo", "what"], /\.\/photo: there is no such file/],
    ["a folder", ["pictures", "what"], /pictures: is a folder; name the pictures in it/],
    [
      "a text file",
      ["notes.txt", "what"],
      /notes\.txt: expected a picture or a video, found a text file; pipe/,
    ],
    ["a broken picture", ["broken.png", "what"], /broken\.png: expected a complete PNG picture/],
    [
      "a picture that is piped in",
      ["what"],
      /stdin: expected text in UTF-8, found a PNG picture/,
      { input: Buffer.from("89504e470d0a1a0a00ff", "hex") },
    ],
    ["a wrong number", ["what", "--temperature", "3"], /Expected a number from 0 to 2/],
    ["a word for a number", ["what", "--max-tokens", "many"], /Expected a whole number of at least 1/],
    ["an unknown option", ["what", "--temprature", "1"], /Did you mean --temperature\?/],
    [
      "sampling without chance",
      ["what", "--top-p", "0.9", "--seed", "1"],
      /--top-p, --seed without effect at temperature 0/,
    ],
    ["two system messages", ["what", "--think", "--system", "x"], /found both/],
    ["an empty stop", ["what", "--stop", ""], /--stop: expected a text/],
    ["a time without a video", ["photo.png", "what", "--from", "2"], /--from is for videos/],
    ["times in the wrong order", ["clip.gif", "what", "--from", "2", "--to", "1"], /--from before --to/],
    [
      "a time after the end",
      ["clip.gif", "what", "--from", "500"],
      /clip\.gif: .*choose a part inside the video/,
    ],
    ["boxes on no picture", ["what", "--boxes", "a.png"], /expected one picture to draw on, found 0 files/],
    ["boxes in another format", ["photo.png", "what", "--boxes", "a.gif"], /ends in \.png or \.jpg/],
    ["boxes in no folder", ["photo.png", "what", "--boxes", "none/a.png"], /expected the folder none/],
    ["an mmproj for a folder", ["what", "--mmproj", "x.gguf"], /mmproj belongs to a \.gguf file/],
    ["too long a text", [`${"x ".repeat(900)}`], /the conversation takes \d+ tokens, the context holds 512/],
  ])("%s", async (_, args, message, more) => {
    const { code, stdout, stderr } = await chat(args, more);
    expect(stderr).toMatch(message);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).not.toMatch(/\n\s+at /);
  });

  test.each<[string, string[], RegExp]>([
    [
      "no such model",
      ["nowhere", "hi"],
      /nowhere: expected the folder of a chat model, a \.gguf file, or a name on the hub such as .*found none; check/,
    ],
    ["a picture in the model's place", ["photo.png", "hi"], /photo\.png: expected a model first/],
    ["a folder without a model", ["empty", "hi"], /empty: expected model\.safetensors/],
    [
      "a .gguf without its vision part",
      ["a.gguf", "photo.png", "hi"],
      /name its vision part with --mmproj FILE/,
    ],
    ["no model at all", [], /missing required argument 'model'/],
  ])("%s", async (_, args, message) => {
    const { code, stdout, stderr } = await cli(["chat", ...args], options);
    expect(stderr).toMatch(message);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).not.toMatch(/\n\s+at /);
  });
});

test("a model is quantised into a folder once, says what it came to, and answers from there", async () => {
  const quantize = () => cli(["quantize", "tiny", "tiny-w8", "--threads", "1", "--json"], options);
  const first = await quantize();
  expect(first).toMatchObject({ code: 0, stderr: "" });
  expect(JSON.parse(first.stdout)).toMatchObject({ folder: "tiny-w8", precision: "w8" });
  const again = await quantize();
  expect(again.stderr).toContain("tiny-w8: there is something in it (");
  expect(again.code).toBe(2);
  const ask = (model: string, ...more: string[]) =>
    cli(["chat", model, "Hello", "--max-tokens", "8", "--threads", "1", ...more], options);
  const [stored, made] = await Promise.all([ask("tiny-w8"), ask("tiny", "--precision", "w8")]);
  expect(stored.code).toBe(0);
  expect(stored.stdout).toBe(made.stdout);
});
