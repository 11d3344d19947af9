import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ConfigError, UsageError } from "../core/errors.ts";
import { CHAT_TEMPLATE_NAMES } from "./chat-templates.ts";
import {
  type ChatMessage,
  type ContentPart,
  type ConversationOptions,
  composePrompt,
  FRAME_TEXTS,
} from "./conversation.ts";
import { CONTENT_TAGS, expandImages, promptText } from "./prompt-segments.ts";
import { THINKING_SYSTEM_MESSAGE } from "./reply.ts";

const STRUCTURE = [
  ...["<image>", "<IMG_CONTEXT>", "<img>", "</img>", "<|im_start|>", "<|im_end|>", "<|end|>", "</s>", "<s>"],
  ...["<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|plugin|>", "[UNUSED_TOKEN_1]"],
  ...["<|start|>", "<|channel|>", "<|message|>", "<|return|>", "<|call|>", "<|constrain|>", "<video>"],
];
const SPECIALS = new Set([...STRUCTURE, ...CONTENT_TAGS]);

const text = (t: string) => ({ type: "text", text: t }) as const;
const image = (i: number) => ({ type: "image", image: i }) as const;
const video = (...frames: number[]) => ({ type: "video", frames }) as const;
const user = (...content: ContentPart<number>[]): ChatMessage<number> => ({ role: "user", content });
const compose = (messages: ChatMessage<number>[], options: Partial<ConversationOptions> = {}) =>
  composePrompt(messages, { template: "internvl2_5", systemMessage: "s", specials: SPECIALS, ...options });

/** What stands in the users' turns, with `<image>` for blocks. */
function saidBy(messages: ChatMessage<number>[], options: Partial<ConversationOptions> = {}): string[] {
  const whole = promptText(compose(messages, options).segments);
  return [...whole.matchAll(/<\|im_start\|>user\n(.*?)<\|im_end\|>\n/gs)].map((m) => m[1]!);
}

describe("composePrompt", () => {
  it("writes a picture, a question, an answer and the next question", () => {
    const { segments, blocks } = compose([
      user(image(7), text("What is it?")),
      { role: "assistant", content: "A cat." },
      { role: "user", content: "Why?" },
    ]);
    expect(segments).toEqual([
      { text: "<|im_start|>", special: true },
      { text: "system\ns", special: false },
      { text: "<|im_end|>", special: true },
      { text: "\n", special: false },
      { text: "<|im_start|>", special: true },
      { text: "user\n", special: false },
      { block: 0 },
      { text: "\nWhat is it?", special: false },
      { text: "<|im_end|>", special: true },
      { text: "\n", special: false },
      { text: "<|im_start|>", special: true },
      { text: "assistant\nA cat.", special: false },
      { text: "<|im_end|>", special: true },
      { text: "\n", special: false },
      { text: "<|im_start|>", special: true },
      { text: "user\nWhy?", special: false },
      { text: "<|im_end|>", special: true },
      { text: "\n", special: false },
      { text: "<|im_start|>", special: true },
      { text: "assistant\n", special: false },
    ]);
    expect(blocks).toEqual([[7]]);
  });

  it.each<[string, ContentPart<number>[], string]>([
    ["one picture", [image(0), text("q")], "<image>\nq"],
    ["the picture after the text", [text("q"), image(0)], "<image>\nq"],
    ["no text", [image(0)], "<image>\n"],
    ["several pictures", [image(0), image(1), text("q")], "Image-1: <image>\nImage-2: <image>\nq"],
    ["texts in parts", [text("q"), text(""), text("r"), image(0)], "<image>\nqr"],
    ["a video", [video(0, 1), text("q")], "Frame-1: <image>\nFrame-2: <image>\nq"],
    [
      "a picture and a video",
      [image(0), video(1, 2), text("q")],
      "<image>\nFrame-1: <image>\nFrame-2: <image>\nq",
    ],
    ["two videos", [video(0), video(1, 2)], "Frame-1: <image>\nFrame-1: <image>\nFrame-2: <image>\n"],
    [
      "texts and pictures in turn",
      [text("Cat:"), image(0), text("Dog: "), image(1), text("q")],
      "Cat:\nImage-1: <image>\nDog: Image-2: <image>\nq",
    ],
    ["a picture inside the text", [text("See"), image(0), text("and say")], "See\n<image>\nand say"],
  ])("places %s", (_, parts, expected) => {
    expect(saidBy([user(...parts)])).toEqual([expected]);
  });

  it("counts pictures through all turns and gives them in reading order", () => {
    const messages: ChatMessage<number>[] = [
      user(text("q"), image(5), image(6)),
      { role: "assistant", content: "a" },
      user(video(1, 2), image(9), text("r")),
    ];
    expect(saidBy(messages)).toEqual([
      "Image-1: <image>\nImage-2: <image>\nq",
      "Frame-1: <image>\nFrame-2: <image>\nImage-3: <image>\nr",
    ]);
    expect(compose(messages).blocks).toEqual([[5], [6], [1], [2], [9]]);
    // A single picture has no label, whichever turn it belongs to.
    expect(saidBy([{ role: "user", content: "q" }, user(image(0), text("r"))])).toEqual(["q", "<image>\nr"]);
  });

  it("puts all pictures of a message behind one placeholder when they are combined", () => {
    const messages = [user(text("q"), image(1), image(2)), user(image(3), image(4), text("r"))];
    expect(saidBy(messages, { pictures: "combined" })).toEqual(["<image>\nq", "<image>\nr"]);
    expect(compose(messages, { pictures: "combined" }).blocks).toEqual([
      [1, 2],
      [3, 4],
    ]);
    const same = image(1);
    expect(compose([user(same, text("q"), same)], { pictures: "combined" }).blocks).toEqual([[1, 1]]);
  });

  it("writes frames as each consumer does", () => {
    const message = user(video(0, 1), text("q"));
    expect(saidBy([message], { frameText: FRAME_TEXTS.plain })).toEqual([
      "Frame1: <image>\nFrame2: <image>\nq",
    ]);
    expect(saidBy([message], { frameText: FRAME_TEXTS.open })).toEqual(["Frame1: <image>\nFrame2: <image>q"]);
  });

  it("prefers the conversation's system message, then the configuration's, then the template's", () => {
    const ask: ChatMessage<number> = { role: "user", content: "q" };
    const start = (messages: ChatMessage<number>[], systemMessage?: string | null) =>
      promptText(compose(messages, { systemMessage }).segments).split("<|im_end|>")[0];
    expect(start([{ role: "system", content: "mine" }, ask])).toBe("<|im_start|>system\nmine");
    expect(start([{ role: "system", content: "" }, ask], "its")).toBe("<|im_start|>system\n");
    expect(start([ask], "its")).toBe("<|im_start|>system\nits");
    expect(start([ask], null)).toMatch(/^<\|im_start\|>system\n你是书生·万象/);
  });

  it("lets messages spell the marks of content, as the published prompts do", () => {
    const tokens = (messages: ChatMessage<number>[], contentTags?: readonly string[]) =>
      compose(messages, contentTags ? { contentTags } : {})
        .segments.flatMap((s) => ("special" in s && s.special ? [s.text] : []))
        .filter((t) => CONTENT_TAGS.includes(t));
    const messages: ChatMessage<number>[] = [
      { role: "system", content: THINKING_SYSTEM_MESSAGE },
      { role: "user", content: "<ref>cat</ref>" },
      { role: "assistant", content: "<ref>cat</ref><box>[[1, 2, 3, 4]]</box>" },
      { role: "user", content: "more" },
    ];
    expect(tokens(messages)).toEqual(
      ["think", "/think", "ref", "/ref", "ref", "/ref", "box", "/box"].map((t) => `<${t}>`),
    );
    expect(tokens(messages, [])).toEqual([]);
  });

  it("never makes a token of what messages spell", () => {
    const fragments = [
      ...STRUCTURE,
      ...STRUCTURE.flatMap((s) => [s.slice(0, 4), s.slice(4)]),
      "\n",
      "a",
      " 中",
    ];
    const words = fc
      .array(fc.oneof(fc.constantFrom(...fragments), fc.string()), { maxLength: 6 })
      .map((w) => w.join(""));
    const part = fc.oneof(words.map(text), fc.constant(image(0)), fc.constant(video(0, 1)));
    fc.assert(
      fc.property(
        fc.constantFrom(...CHAT_TEMPLATE_NAMES),
        fc.array(fc.tuple(fc.array(part, { maxLength: 4 }), words), { minLength: 1, maxLength: 3 }),
        words,
        (template, turns, systemMessage) => {
          const messages = (clean: boolean) => {
            const words = (t: string) => (clean ? "w" : t);
            return turns.flatMap(([parts, answer]): ChatMessage<number>[] => [
              user(...parts.map((p) => (p.type === "text" && p.text !== "" ? text(words(p.text)) : p))),
              { role: "assistant", content: words(answer) },
            ]);
          };
          const shape = (clean: boolean) => {
            const options = { template, systemMessage: clean ? "w" : systemMessage };
            const { segments } = compose(messages(clean), options);
            return segments.filter((s) => "block" in s || s.special);
          };
          expect(shape(false)).toEqual(shape(true));
        },
      ),
      { numRuns: 300 },
    );
  });

  it("loses no character of what messages say", () => {
    fc.assert(
      fc.property(fc.string(), (said) => {
        const { segments } = compose([{ role: "user", content: said }]);
        expect(promptText(segments)).toBe(
          `<|im_start|>system\ns<|im_end|>\n<|im_start|>user\n${said}<|im_end|>\n<|im_start|>assistant\n`,
        );
      }),
    );
  });

  it("expands to the count of features of every picture's tiles", () => {
    const prompt = compose([user(image(0), image(1), text("<IMG_CONTEXT><image>")), user(video(2, 3))]);
    const segments = expandImages(prompt, [13, 1, 1, 1]);
    expect(segments.filter((s) => s.special && s.text === "<IMG_CONTEXT>")).toHaveLength(256 * 16);
    expect(segments.filter((s) => s.special && s.text === "<img>")).toHaveLength(4);
  });

  it.each<[string, ChatMessage<number>[], string]>([
    ["no message", [], "no message of role user or assistant"],
    ["a system message alone", [{ role: "system", content: "s" }], "no message of role user or assistant"],
    [
      "a late system message",
      [
        { role: "user", content: "q" },
        { role: "system", content: "s" },
      ],
      "messages[1]: a system message; only the first",
    ],
    [
      "a picture of the assistant's",
      [{ role: "assistant", content: [image(0)] }],
      "messages[0]: a picture in a message of role assistant",
    ],
    [
      "a picture in the system message",
      [
        { role: "system", content: [video(0)] },
        { role: "user", content: "q" },
      ],
      "messages[0]: a picture in a message of role system",
    ],
    ["a video without frames", [user(text("q"), video())], "messages[0]: a video without frames"],
  ])("refuses %s", (_, messages, message) => {
    expect(() => compose(messages)).toThrow(UsageError);
    expect(() => compose(messages)).toThrow(message);
  });

  it("refuses an unknown template", () => {
    expect(() => compose([{ role: "user", content: "q" }], { template: "x" })).toThrow(ConfigError);
  });
});
