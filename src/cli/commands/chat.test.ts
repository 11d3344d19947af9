import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import type { LoadChatOptions } from "../../infer/load-chat-model.node.ts";
import { THINKING_SYSTEM_MESSAGE } from "../../text/reply.ts";
import { type FakeReply, fakeChatModel } from "../chat/fake-chat-model.fixture.ts";
import type { Context, Input } from "../context.ts";
import { fakeTerminal } from "../fake-terminal.fixture.ts";
import { Interrupted, run } from "../run.ts";
import { defaultServices } from "../services.ts";

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let photo: string;
beforeAll(async () => {
  folder = await temporaryFolder();
  photo = join(folder.path, "a photo.png");
  const background = { r: 1, g: 2, b: 3 };
  await sharp({ create: { width: 200, height: 100, channels: 3, background } })
    .png()
    .toFile(photo);
});
afterAll(() => folder[Symbol.asyncDispose]());

/** Waits for what comes at its time, however many processes run beside this one. */
const until = (check: () => void) => vi.waitFor(check, 60_000);

function setUp(replies: readonly FakeReply[], more: Partial<Context> = {}) {
  const model = fakeChatModel(replies);
  const loaded: { path: string; options: LoadChatOptions | undefined }[] = [];
  const cancel = new AbortController();
  const [out, err] = [fakeTerminal(), fakeTerminal()];
  const context: Context = {
    out,
    err,
    input: Readable.from([]),
    env: { HOME: folder.path },
    signal: cancel.signal,
    services: {
      ...defaultServices,
      async loadChatModel(path, options) {
        loaded.push({ path, options });
        return model;
      },
    },
    exitCode: 0,
    ...more,
  };
  return { context, model, loaded, cancel, out, err };
}

describe("one question", () => {
  test("the answer is printed as it comes, thinking is not; options reach the model", async () => {
    const { context, model, loaded, out, err } = setUp([{ thinking: "hm", words: ["It is ", "a sign."] }]);
    const seen: string[] = [];
    const write = out.write.bind(out);
    out.write = async (text) => {
      seen.push(text);
      await write(text);
    };
    const args = ["--threads", "2", "--context", "64", "--precision", "w8", "--mmproj", "p.gguf"];
    const sampling = [
      "--temperature",
      "0.7",
      "--top-p",
      "0.8",
      "--top-k",
      "20",
      "--min-p",
      "0.1",
      "--seed",
      "5",
    ];
    const rest = [
      "--repetition-penalty",
      "1.1",
      "--stop",
      "a",
      "--stop",
      "b",
      "--max-tiles",
      "3",
      "--max-tokens",
      "9",
    ];
    const code = await run(["chat", "m.gguf", photo, "What?", ...args, ...sampling, ...rest], context);
    expect([code, seen, err.text]).toEqual([0, ["It is ", "a sign.", "\n"], ""]);
    expect(loaded).toEqual([
      { path: "m.gguf", options: { batch: 2, threads: 2, context: 64, precision: "w8", mmproj: "p.gguf" } },
    ]);
    const { messages, options } = model.asked[0]!;
    expect(messages).toEqual([
      {
        role: "user",
        content: [
          { type: "image", image: { width: 200, height: 100, data: expect.any(Uint8Array) } },
          { type: "text", text: "What?" },
        ],
      },
    ]);
    expect(options).toEqual({
      temperature: 0.7,
      top_p: 0.8,
      top_k: 20,
      min_p: 0.1,
      seed: 5,
      repetition_penalty: 1.1,
      stop: ["a", "b"],
      maxTiles: 3,
      maxTokens: 9,
      signal: context.signal,
    });
    expect(model.disposed).toBe(true);
  });

  test("greedy unless told otherwise; --think has its message and its temperature", async () => {
    const greedy = setUp([{ words: ["a"] }]);
    await run(["chat", "m", "hi"], greedy.context);
    expect(greedy.model.asked[0]).toMatchObject({
      messages: [{ role: "user", content: "hi" }],
      options: { temperature: 0 },
    });
    const { context, model, out, err } = setUp([{ thinking: "hm\n", words: ["a"] }]);
    await run(["chat", "m", "hi", "--think", "--show-thinking"], context);
    expect(model.asked[0]).toMatchObject({
      messages: [{ role: "system", content: THINKING_SYSTEM_MESSAGE }, { role: "user" }],
      options: { temperature: 0.6 },
    });
    expect([out.text, err.text]).toEqual(["a\n", "hm\n"]);
  });

  test("a terminal gets no control characters from the model, a pipe gets them all", async () => {
    const words = ["red \x1b[31m", "\tx\ny\r"];
    const pipe = setUp([{ words }]);
    await run(["chat", "m", "hi"], pipe.context);
    expect(pipe.out.text).toBe(`${words.join("")}\n`);
    const { context } = setUp([{ words }]);
    const out = fakeTerminal({ isTTY: true });
    const err = fakeTerminal({ isTTY: true });
    await run(["chat", "m", "hi"], { ...context, out, err });
    expect(out.text).toBe("red \\u001b[31m\tx\ny\\u000d\n");
    expect(err.text).toMatch(
      /2 tokens in \d+\.\d s, .* tokens\/s; the conversation took 10 \(4 known from before\)\n$/,
    );
  });

  test("boxes are in pixels of the picture, and drawn on it", async () => {
    const words = ["<ref>cat</ref><box>[[100, 200, 500, 1000]]</box>"];
    const { context, out, err } = setUp([{ words }]);
    const drawn = join(folder.path, "drawn.png");
    await run(["chat", "m", photo, "Detect.", "--json", "--boxes", drawn], context);
    const { boxes, answer } = JSON.parse(out.text);
    expect([answer, boxes]).toEqual([words[0], [{ label: "cat", box: [20, 20, 100, 100] }]]);
    expect(err.text).toBe(`${drawn}: 1 box\n`);
    const { data, info } = await sharp(drawn).raw().toBuffer({ resolveWithObject: true });
    const pixel = (x: number, y: number) => [...data.subarray((y * 200 + x) * 3, (y * 200 + x) * 3 + 3)];
    expect([info.width, info.height, pixel(150, 50)]).toEqual([200, 100, [1, 2, 3]]);
    expect(pixel(20, 60)).not.toEqual([1, 2, 3]);
  });

  test("is not answered from a stdin that is no text, and says when it waits for one", async () => {
    const { context, err } = setUp([], { input: Readable.from([Buffer.from([0, 1, 2, 255])]) });
    expect(await run(["chat", "m"], context)).toBe(2);
    expect(err.text).toMatch(
      /^error: stdin: expected text in UTF-8, found unknown contents beginning 00 01 02 ff; /,
    );
    const input = new PassThrough();
    const slow = setUp([{ words: ["yes"] }], { input });
    const end = run(["chat", "m", "q"], slow.context);
    await until(() => expect(slow.err.text).toContain("waiting for text from stdin"));
    input.end("more");
    expect([await end, slow.model.asked[0]!.messages[0]!.content]).toEqual([0, "q\n\nmore"]);
  });

  test("the program's end ends an answer and a loading", async () => {
    const { context, cancel, out, err } = setUp([{ words: ["so"], hangs: true }]);
    const end = run(["chat", "m", "q"], context);
    await until(() => expect(out.text).toBe("so"));
    cancel.abort(new Interrupted("SIGINT"));
    expect([await end, out.text, err.text]).toEqual([130, "so\n", "interrupted\n"]);

    const loading = setUp([]);
    loading.context.services.loadChatModel = () => new Promise(() => {});
    const ended = run(["chat", "m", "q"], loading.context);
    setTimeout(() => loading.cancel.abort(new Interrupted("SIGTERM")), 50);
    expect(await ended).toBe(143);
  });
});

/** A chat at a terminal: `type` sends keys, and `shows` waits for a text on it. */
function talk(replies: readonly FakeReply[], args: readonly string[] = []) {
  const input = new PassThrough() as PassThrough & Input;
  Object.assign(input, { isTTY: true });
  const out = fakeTerminal({ isTTY: true });
  const parts = setUp(replies, { input, out });
  const end = run(["chat", "m", ...args], parts.context);
  const answered = (n: number) => until(() => expect(parts.err.text.match(/ tokens? in /g)).toHaveLength(n));
  const says = (text: string) => until(() => expect(parts.err.text).toContain(text));
  return { ...parts, out, input, end, answered, says, type: (keys: string) => input.write(keys) };
}

const HISTORY = () => join(folder.path, ".local", "share", "internvl", "chat-history");

describe.skipIf(process.platform !== "linux")("a conversation", () => {
  test("goes on with pictures of earlier turns, and is kept in the history and in files", async () => {
    const { type, answered, says, model, out, end } = talk(
      [{ words: ["One."] }, { words: ["Two", "."] }],
      [photo],
    );
    await says("a photo.png (200×100)");
    type("what is it\r");
    await answered(1);
    type("and then\\\rmore\r");
    await answered(2);
    const messages = model.asked[1]!.messages;
    expect(messages.map((m) => m.role)).toEqual(["user", "assistant", "user"]);
    expect(messages[0]!.content).toMatchObject([{ type: "image" }, { type: "text", text: "what is it" }]);
    expect([messages[1]!.content, messages[2]!.content]).toEqual(["One.", "and then\nmore"]);

    type(`/save "${join(folder.path, "talk.json")}"\r`);
    await says("talk.json");
    type("/save ~/talk.md\r");
    await says("talk.md");
    type("\x04");
    expect(await end).toBe(0);
    expect(out.text).toContain("One.\n");
    const saved = JSON.parse(await readFile(join(folder.path, "talk.json"), "utf8"));
    expect(saved).toEqual({
      model: "fake@0",
      messages: [
        { role: "user", content: "what is it", files: [photo] },
        {
          role: "assistant",
          content: "One.",
          finish_reason: "stop",
          usage: { prompt_tokens: 10, cached_tokens: 4, completion_tokens: 1 },
        },
        { role: "user", content: "and then\nmore" },
        expect.objectContaining({ role: "assistant", content: "Two." }),
      ],
    });
    expect(await readFile(join(folder.path, "talk.md"), "utf8")).toBe(
      `# Chat with fake@0\n\n## You\n\n\`${photo}\`\n\nwhat is it\n\n## Answer\n\nOne.\n\n## You\n\nand then\nmore\n\n## Answer\n\nTwo.\n`,
    );
    expect((await readFile(HISTORY(), "utf8")).split("\n").slice(0, 3)).toEqual([
      "what is it",
      "and then\\",
      "more",
    ]);
    expect((await stat(HISTORY())).mode & 0o777).toBe(0o600);
  });

  test("begins with the history, unless that is refused", async () => {
    await mkdir(join(HISTORY(), ".."), { recursive: true });
    await writeFile(HISTORY(), "older\nnewest\n");
    const first = talk([{ words: ["a"] }]);
    await first.says("/help");
    first.type("\x1b[A\x1b[A\r");
    await first.answered(1);
    expect(first.model.asked[0]!.messages[0]!.content).toBe("older");
    first.type("\x04");
    await first.end;
    const before = await readFile(HISTORY(), "utf8");
    const refused = talk([{ words: ["a"] }], ["--no-history"]);
    await refused.says("/help");
    refused.type("\x1b[Asecret\r");
    await refused.answered(1);
    expect(refused.model.asked[0]!.messages[0]!.content).toBe("secret");
    refused.type("/exit\r");
    expect(await refused.end).toBe(0);
    expect(await readFile(HISTORY(), "utf8")).toBe(before);
  });

  test("lines that are pasted together are one message", async () => {
    const { type, answered, model, says, end } = talk([{ words: ["a"] }]);
    await says("/help");
    type("\x1b[200~one\rtwo\r\x1b[201~three\r");
    await answered(1);
    expect(model.asked[0]!.messages[0]!.content).toBe("one\ntwo\nthree");
    type("\x04");
    await end;
  });

  test("Ctrl-C stops the answer and keeps what was said; at an empty line it leaves", async () => {
    const { type, says, answered, model, out, end } = talk([
      { words: ["So far"], hangs: true },
      { words: [], hangs: true },
      { words: ["Done"] },
    ]);
    await says("/help");
    type("first\r");
    await until(() => expect(out.text).toContain("So far"));
    type("\x03");
    await says("stopped");
    type("second\r");
    await until(() => expect(model.asked).toHaveLength(2));
    expect(model.asked[1]!.messages.map((m) => m.content)).toEqual(["first", "So far", "second"]);
    type("\x03");
    await until(() => expect(out.text.split("> ").length).toBeGreaterThan(3));
    // What was stopped without a word was not said.
    type("half a line\x03third\r");
    await answered(1);
    expect(model.asked[2]!.messages.map((m) => m.content)).toEqual(["first", "So far", "third"]);
    type("\x03");
    expect(await end).toBe(0);
    expect(model.disposed).toBe(true);
  });

  test("the program's end ends it, while it waits and while it answers", async () => {
    const waiting = talk([]);
    await waiting.says("/help");
    waiting.cancel.abort(new Interrupted("SIGTERM"));
    expect(await waiting.end).toBe(143);
    const busy = talk([{ words: ["x"], hangs: true }]);
    await busy.says("/help");
    busy.type("go\r");
    await until(() => expect(busy.model.asked).toHaveLength(1));
    busy.cancel.abort(new Interrupted("SIGINT"));
    expect(await busy.end).toBe(130);
  });

  test("/image, /clear, /system and /retry change what the model is asked", async () => {
    const { type, says, answered, model, end } = talk([{ words: ["a"] }, { words: ["b"] }, { words: ["c"] }]);
    await says("/help");
    type(`/image ${photo.replaceAll(" ", "\\ ")}\r`);
    await says("with the next message: ");
    type("look\r");
    await answered(1);
    type("/retry\r");
    await answered(2);
    expect(model.asked[1]!.messages).toEqual(model.asked[0]!.messages);
    type("/system be kind\r");
    await says("system message set");
    type("/clear\r");
    await says("begun anew");
    type("hello\r");
    await answered(3);
    expect(model.asked[2]!.messages).toEqual([
      { role: "system", content: "be kind" },
      { role: "user", content: "hello" },
    ]);
    type("\x04");
    expect(await end).toBe(0);
  });

  test("/video shows the frames that it asks for", async () => {
    const { type, says, answered, model, end } = talk([{ words: ["a"] }], ["--frames", "4"]);
    await says("/help");
    const gif = fileURLToPath(new URL("../../../test/fixtures/video/eight.gif", import.meta.url));
    type(`/video ${gif} --frames 2 --to 0.5\r`);
    await says("2 frames, the video has 8");
    type("look\r");
    await answered(1);
    expect(model.asked[0]!.messages[0]!.content).toMatchObject([
      { type: "video", frames: { length: 2 } },
      { type: "text", text: "look" },
    ]);
    type("\x04");
    expect(await end).toBe(0);
  });

  test.each([
    ["/imgae x.png", "/imgae: there is no such command, did you mean /image?"],
    ["/home/me/x.png", "there is no such command; known: /image, /video, "],
    ["/image", "/image: expected files, found none"],
    ["/image nowhere.png", "nowhere.png: expected a readable file"],
    ["/video a.mp4 b.mp4", "/video: expected one file, found 2"],
    ["/video nowhere.mp4", "nowhere.mp4"],
    ["/video a.mp4 --frames none", "/video --frames: Expected a whole number"],
    ["/clear all", '/clear: expected nothing after it, found "all"'],
    ["/retry", "/retry: nothing was answered yet"],
    ["/save", "/save: expected the name of one file"],
    ["/save talk.doc", "expected a name that ends in .json or .md"],
    ["/save talk.json", "/save: nothing was said yet"],
  ])("%s is told, and the conversation goes on", async (line, message) => {
    const { type, says, answered, end } = talk([{ words: ["still here"] }], ["--no-history"]);
    await says("/help");
    type(`${line}\r`);
    await says(message);
    type("hello\r");
    await answered(1);
    type("\x04");
    expect(await end).toBe(0);
  });

  test("--json and --boxes are for one answer", async () => {
    for (const option of [["--json"], ["--boxes", "a.png"]]) {
      const { end, err } = talk([], option);
      expect(await end).toBe(2);
      expect(err.text).toContain(`chat: ${option[0]} is for one answer`);
    }
  });

  test("a defect ends it", async () => {
    const { type, says, model, end, err } = talk([], ["--no-history"]);
    await says("/help");
    model.chat = () => {
      throw new TypeError("deep down");
    };
    type("hello\r");
    expect(await end).toBe(70);
    expect(err.text).toMatch(/TypeError: deep down\n\s+at /);
  });
});
