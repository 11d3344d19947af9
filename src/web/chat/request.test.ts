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
    undefined,
    async (blob) => `data:image/png;base64,${names.get(blob)}`,
  );
  expect(messages).toEqual([
    {
      role: "user",
      content: [
        { type: "image_url", image_url: { url: "data:image/png;base64,p1" } },
        { type: "text", text: "first" },
      ],
    },
    { role: "assistant", content: "yes" },
    {
      role: "user",
      content: [{ type: "video_url", video_url: { url: "data:video/jpeg;base64,f1,f2" } }],
    },
  ]);
});

test("pictures bring the number of tiles that was chosen, frames of videos have one anyway", async () => {
  const frames = [picture("f")];
  const attachments = [
    { kind: "picture", picture: picture("p") },
    { kind: "video", name: "v", frames },
  ] as const;
  const [message] = await toMessages([{ question: { text: "", attachments } }], 6, async () => "data:x,A");
  expect(message!.content).toEqual([
    { type: "image_url", image_url: { url: "data:x,A", max_dynamic_patch: 6 } },
    { type: "video_url", video_url: { url: "data:video/jpeg;base64,A" } },
  ]);
});
