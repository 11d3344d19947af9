import { expect, test } from "vitest";
import { beyondBounds } from "./history.ts";
import type { Conversation } from "./turns.ts";

test("of too many conversations the oldest go, but never the latest", () => {
  const conversation = (id: string, size: number): Conversation => ({
    id,
    title: id,
    changedMs: 0,
    exchanges: [
      {
        question: {
          text: "",
          attachments: [
            { kind: "picture", picture: { name: id, blob: { size } as Blob, width: 4, height: 3 } },
          ],
        },
      },
    ],
  });
  const many = Array.from({ length: 62 }, (_, i) => conversation(String(i), 1));
  expect(beyondBounds(many)).toEqual(["60", "61"]);
  expect(beyondBounds([conversation("a", 2e8), conversation("b", 2e8)])).toEqual(["b"]);
  expect(beyondBounds([conversation("a", 9e8)])).toEqual([]);
});
