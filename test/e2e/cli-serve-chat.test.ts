import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import OpenAI from "openai";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { temporaryFolder } from "../temporary-folder.ts";
import { writeTinyChat } from "../tiny-chat.ts";
import { cli, ended, startCli } from "./cli-process.ts";

vi.setConfig({ testTimeout: 300_000 });

const PICTURE = fileURLToPath(new URL("../../gallery/animals/cat-face.webp", import.meta.url));

const VIDEO = fileURLToPath(new URL("../fixtures/grey-ramp.webm", import.meta.url));

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
beforeAll(async () => {
  folder = await temporaryFolder();
  await writeTinyChat(join(folder.path));
});
afterAll(() => folder[Symbol.asyncDispose]());

const options = () => ({ real: true, env: { HOME: folder.path, PORT: "0" } });

test("OpenAI's client talks to a chat model that serve was given", async () => {
  const args = ["serve", "--chat", folder.path, "--api-key", "secret", "--context", "400", "--threads", "1"];
  const child = startCli(args, options());
  const end = ended(child);
  const line = await new Promise<string>((resolve) => child.stdout!.once("data", resolve));
  const baseURL = new URL("v1", /(http:\S+)/.exec(line)![1]!).href;
  const name = folder.path.slice(folder.path.lastIndexOf("/") + 1);
  const client = new OpenAI({ baseURL, apiKey: "secret", maxRetries: 0 });
  expect((await client.models.list()).data[0]!.id).toBe(name);

  const url = `data:image/webp;base64,${(await readFile(PICTURE)).toString("base64")}`;
  const request = {
    model: name,
    messages: [
      {
        role: "user" as const,
        content: [
          { type: "image_url" as const, image_url: { url } },
          { type: "text" as const, text: "What is this?" },
        ],
      },
    ],
    temperature: 0,
    max_tokens: 12,
  };
  const whole = await client.chat.completions.create(request);
  expect(whole.usage!.completion_tokens).toBe(12);
  let streamed = "";
  for await (const chunk of await client.chat.completions.create({ ...request, stream: true }))
    streamed += chunk.choices[0]?.delta.content ?? "";
  expect(streamed).toBe(whole.choices[0]!.message.content);
  expect(streamed.length).toBeGreaterThan(0);

  // The client's types know no videos; what it is given it sends.
  const video = `data:video/webm;base64,${(await readFile(VIDEO)).toString("base64")}`;
  const filmed = async (num_frames: number) => {
    const film = { type: "video_url", video_url: { url: video, num_frames } } as never;
    const content = [film, { type: "text" as const, text: "What is this?" }];
    const reply = await client.chat.completions.create({ ...request, messages: [{ role: "user", content }] });
    return reply.usage!.prompt_tokens;
  };
  // A frame is a tile of 2 × 2 tokens, and its label.
  expect((await filmed(3)) - (await filmed(2))).toBeGreaterThan(4);

  // Conversations side by side, each its own.
  const ask = async (content: string) => {
    const messages = [{ role: "user" as const, content }];
    const reply = await client.chat.completions.create({ ...request, messages });
    return reply.choices[0]!.message.content;
  };
  const words = ["red", "green apples", "blue", "a b c", "yellow", "two words"];
  const alone: (string | null)[] = [];
  for (const word of words) alone.push(await ask(word));
  expect(await Promise.all(words.map(ask))).toEqual(alone);

  await expect(new OpenAI({ baseURL, apiKey: "wrong" }).models.list()).rejects.toMatchObject({ status: 401 });
  await expect(ask("x ".repeat(900))).rejects.toMatchObject({ status: 400 });
  child.kill("SIGINT");
  expect((await end).code).toBe(0);
});

test("what `npm start` serves answers OpenAI's client about a shipped picture, by a model that is shipped too", async () => {
  const child = startCli(["serve", "--gallery", "--threads", "1"], options());
  const end = ended(child);
  const line = await new Promise<string>((resolve) => child.stdout!.once("data", resolve));
  const baseURL = new URL("v1", /(http:\S+)/.exec(line)![1]!).href;
  const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
  const [first] = (await client.models.list()).data;
  expect(first!.id).toBe("nano-chat");
  const ask = async (path: string, text: string) => {
    const picture = await readFile(new URL(`../../gallery/${path}.webp`, import.meta.url));
    const url = `data:image/webp;base64,${picture.toString("base64")}`;
    const reply = await client.chat.completions.create({
      model: first!.id,
      temperature: 0,
      messages: [
        {
          role: "user",
          content: [
            { type: "image_url", image_url: { url } },
            { type: "text", text },
          ],
        },
      ],
    });
    return reply.choices[0]!.message.content;
  };
  expect(await ask("food/lemon", "What is this?")).toBe("a lemon");
  expect(await ask("food/lemon", "What is the main colour?")).toBe("yellow");
  expect(await ask("food/tomato", "What colour is it?")).toBe("red");
  expect(await ask("plants/evergreen-tree", "Is there green in it?")).toBe("yes");
  child.kill("SIGINT");
  expect((await end).code).toBe(0);
});

test("a chat model that is none, and two of one name, end it with a message", async () => {
  const none = await cli(["serve", "--chat", "nowhere"], options());
  expect([none.code, none.stderr]).toEqual([
    2,
    expect.stringMatching(/^error: nowhere: expected the folder of a chat/),
  ]);
  const twice = await cli(["serve", "--chat", folder.path, "--chat", folder.path], options());
  expect([twice.code, twice.stderr]).toEqual([2, expect.stringMatching(/two models are called/)]);
});
