import { expect, test } from "vitest";
import { readChunk } from "./chat-api.ts";
import { ChatError } from "./chat-error.ts";

test("a chunk gives its words, its thoughts, its end and its count", () => {
  const split = (text: string) => ({ thinking: "", answer: text });
  const chunk = (value: unknown) => readChunk(JSON.stringify(value), split);
  expect(chunk({ choices: [{ delta: { role: "assistant", content: "" } }] })).toEqual([]);
  expect(
    chunk({ choices: [{ delta: { content: "a", reasoning_content: "b" }, finish_reason: "length" }] }),
  ).toEqual([
    { type: "words", text: "a", thinking: "b" },
    { type: "finish", reason: "length" },
  ]);
  expect(chunk({ choices: [], usage: { completion_tokens: 7 } })).toEqual([{ type: "usage", tokens: 7 }]);
  for (const odd of [
    null,
    3,
    [],
    { choices: "x" },
    { choices: [null] },
    { choices: [{ delta: { content: 5 } }] },
  ])
    expect(chunk(odd)).toEqual([]);
  expect(() => readChunk("{", split)).toThrow(ChatError);
  expect(() => chunk({ error: { message: "no memory", type: "server_error" } })).toThrow("no memory");
});
