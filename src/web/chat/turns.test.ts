import { expect, test } from "vitest";
import { type Attachment, titleOf } from "./turns.ts";

const pictured = (name: string): Attachment => ({
  kind: "picture",
  picture: { name, blob: new Blob(), width: 4, height: 3 },
});

test("a conversation is called by its first question", () => {
  expect(titleOf({ text: "  What\n is this? ", attachments: [] })).toBe("What is this?");
  expect(titleOf({ text: "", attachments: [pictured("cat.png")] })).toBe("About cat.png");
  const long = titleOf({ text: "word ".repeat(40), attachments: [] });
  expect(long).toMatch(/^(word )+wor?d?…$/);
  expect(long.length).toBeLessThanOrEqual(60);
});
