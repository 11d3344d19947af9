import { describe, expect, test } from "vitest";
import { ConfigError } from "../core/errors.ts";
import { type ConversationRow, parseAnnotation } from "./conversations.ts";

async function parse(...rows: unknown[]): Promise<ConversationRow[]> {
  const lines = rows.map((row) => (typeof row === "string" ? row : JSON.stringify(row)));
  const parsed: ConversationRow[] = [];
  const options = { name: "rows.jsonl", resolve: (image: string) => `/pictures/${image}` };
  for await (const row of parseAnnotation(lines, options)) parsed.push(row);
  return parsed;
}

const turns = (...values: string[]) =>
  values.map((value, i) => ({ from: i % 2 === 0 ? "human" : "gpt", value }));

describe("rows", () => {
  test("the picture comes before the first question, or where it is spelled", async () => {
    const [before, spelled, inside] = await parse(
      { id: 7, image: "a/b.png", conversations: turns("What?", "A cat.", "Why?", "So.") },
      { image: ["a.png"], conversations: turns("<image>\nWhat?", "A cat.") },
      { image: "a.png", conversations: turns("Look: <image> what?", "A cat.") },
    );
    const image = { type: "image", image: "a.png" };
    const text = (t: string) => ({ type: "text", text: t });
    expect(before).toEqual({
      line: 1,
      image: "a/b.png",
      path: "/pictures/a/b.png",
      messages: [
        { role: "user", content: [text(""), { type: "image", image: "a/b.png" }, text("What?")] },
        { role: "assistant", content: "A cat." },
        { role: "user", content: "Why?" },
        { role: "assistant", content: "So." },
      ],
    });
    expect(spelled!.messages[0]!.content).toEqual([text(""), image, text("What?")]);
    expect(inside!.messages[0]!.content).toEqual([text("Look: "), image, text(" what?")]);
  });

  test("may have a system message, and no picture", async () => {
    const [row] = await parse("", {
      conversations: [{ from: "system", value: "Be short." }, ...turns("Hi", "Hello")],
    });
    expect(row).toEqual({
      line: 2,
      messages: [
        { role: "system", content: "Be short." },
        { role: "user", content: "Hi" },
        { role: "assistant", content: "Hello" },
      ],
    });
  });

  test.each([
    ["no JSON", "{", "expected JSON"],
    ["an unknown field", { conversation: [] }, "conversation"],
    ["no answer", { conversations: turns("Hi", "Hello", "Why?") }, "gpt last"],
    ["two answers", { conversations: [...turns("Hi", "Hello"), { from: "gpt", value: "!" }] }, "gpt last"],
    ["a role that is none", { conversations: [{ from: "user", value: "a" }, ...turns("b", "c")] }, "from"],
    ["several pictures", { image: ["a.png", "b.png"], conversations: turns("Hi", "Hello") }, "one picture"],
    ["a path that leaves the root", { image: "../a.png", conversations: turns("a", "b") }, "below the root"],
    ["a picture that is not there", { conversations: turns("<image>\nHi", "Hello") }, "<image> is spelled"],
    [
      "a picture in a later turn",
      { image: "a.png", conversations: turns("a", "b", "<image>\nc", "d") },
      "<image> is spelled",
    ],
    [
      "a picture in an answer",
      { image: "a.png", conversations: turns("a", "<image>") },
      "<image> is spelled",
    ],
  ])("with %s are refused with their line", async (_, row, message) => {
    const good = { conversations: turns("Hi", "Hello") };
    const error: unknown = await parse(good, row).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as Error).message).toContain("line 2: ");
    expect((error as Error).message).toContain(message);
  });
});
