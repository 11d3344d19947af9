import { expect, test } from "vitest";
import { toMessages } from "./request.ts";
import type { KeptPicture } from "./turns.ts";

const picture = (name: string, size = 1): KeptPicture => ({
  name,
  blob: new Blob([new Uint8Array(size)]),
  width: 4,
  height: 3,
});

test("a request has the pictures before the words, and neither thoughts nor questions without an answer", async () => {
  const names = new Map<Blob, string>();
  const named = (p: KeptPicture): KeptPicture => {
    names.set(p.blob, p.name);
    return p;
  };
  const frames = ["f1", "f2"].map((name) => named(picture(name)));
  const messages = await toMessages(
    [
      {
        question: { text: "first", attachments: [{ kind: "picture", picture: named(picture("p1")) }] },
        answer: { text: "yes", thinking: "hm", ending: "complete" },
      },
      { question: { text: "lost", attachments: [] }, answer: { text: "", thinking: "", ending: "failed" } },
      { question: { text: "", attachments: [{ kind: "video", name: "v", frames }] } },
    ],
    async (blob) => names.get(blob)!,
  );
  expect(messages).toEqual([
    {
      role: "user",
      content: [
        { type: "image_url", image_url: { url: "p1" } },
        { type: "text", text: "first" },
      ],
    },
    { role: "assistant", content: "yes" },
    {
      role: "user",
      content: [
        { type: "text", text: "Frame-1: " },
        { type: "image_url", image_url: { url: "f1" } },
        { type: "text", text: "Frame-2: " },
        { type: "image_url", image_url: { url: "f2" } },
      ],
    },
  ]);
});

test("the frames of a conversation that has nothing else get one tile each", async () => {
  const question = { text: "", attachments: [{ kind: "video", name: "v", frames: [picture("f")] }] } as const;
  expect(await toMessages([{ question }], async () => "f")).toEqual([
    {
      role: "user",
      content: [
        { type: "text", text: "Frame-1: " },
        { type: "image_url", image_url: { url: "f", detail: "low" } },
      ],
    },
  ]);
});
