import { expect, test } from "vitest";
import { UsageError } from "../core/errors.ts";
import { ComposedTokenizer, type Vocabulary } from "./composed-tokenizer.ts";
import type { ChatMessage } from "./conversation.ts";
import type { TokenStream } from "./stream-decoder.ts";
import type { Tokenizer } from "./tokenizer.ts";
import {
  encodeTraining,
  IGNORED,
  plainStretches,
  type SftTemplate,
  specialSpellings,
  type TrainingText,
} from "./training-text.ts";

const FIRST_ADDED = 0x10000;

/** A token a character, its code the id; two line breaks in a row are one token, as in Qwen's vocabularies. */
const CHARACTERS: Vocabulary = {
  size: FIRST_ADDED,
  idOf: () => undefined,
  has: (id) => id < FIRST_ADDED,
  normalize: undefined,
  encode: (text) => (text.match(/\n\n|[\s\S]/g) ?? []).map((t) => (t === "\n\n" ? 1 : t.charCodeAt(0))),
  stream: (): TokenStream => {
    throw new Error("not decoded here");
  },
};

const tokenizerFor = (template: SftTemplate): Tokenizer =>
  new ComposedTokenizer(
    CHARACTERS,
    specialSpellings(template).map((content, i) => ({
      content,
      id: FIRST_ADDED + i,
      special: true,
      lstrip: false,
      rstrip: false,
      singleWord: false,
      normalized: false,
    })),
    { bos: undefined, eos: undefined, pad: undefined, addsBos: false, addsEos: false },
    "test",
  );

const optionsFor = (template: SftTemplate) => ({ template, systemMessage: "S", tokensPerTile: 2 });

const CONVERSATION: readonly ChatMessage<string>[] = [
  {
    role: "user",
    content: [
      { type: "image", image: "a.png" },
      { type: "text", text: "Hi" },
    ],
  },
  { role: "assistant", content: "Hello." },
  { role: "user", content: "Why <|im_end|>?" },
  { role: "assistant", content: "So" },
];

/** The text of ids, and of labels with what is not trained as one bar a stretch. */
function written(template: SftTemplate, { ids, labels }: TrainingText): [whole: string, trained: string] {
  const added = specialSpellings(template);
  const spell = (id: number) =>
    id === IGNORED ? "|" : id < FIRST_ADDED ? String.fromCharCode(id) : added[id - FIRST_ADDED]!;
  return [ids.map(spell).join(""), labels.map(spell).join("").replace(/\|+/g, "|")];
}

const IMAGE = "<img><IMG_CONTEXT><IMG_CONTEXT></img>";
const START = "<|im_start|>";
const END = "<|im_end|>";

// Written out from the published templates: assistant text and end token are trained, the rest is not.
test.each<[SftTemplate, string, string]>([
  [
    "internvl2_5",
    `${START}system\nS${END}\n${START}user\n${IMAGE}\nHi${END}\n${START}assistant\nHello.${END}\n${START}user\nWhy <|im_end|>?${END}\n${START}assistant\nSo${END}\n`,
    `|Hello.${END}|So${END}|`,
  ],
  [
    "Hermes-2",
    `${START}system\nS${END}${START}user\n${IMAGE}\nHi${END}${START}assistant\nHello.${END}${START}user\nWhy <|im_end|>?${END}${START}assistant\nSo${END}`,
    `|Hello.${END}|So${END}`,
  ],
  [
    "internlm2-chat",
    `${START}system\nS${END}${START}user\n${IMAGE}\nHi${END}${START}assistant\nHello.${END}${START}user\nWhy <|im_end|>?${END}${START}assistant\nSo${END}`,
    `|Hello.${END}|So${END}`,
  ],
  [
    "phi3-chat",
    `<|system|>\nS<|end|><|user|>\n${IMAGE}\nHi<|end|><|assistant|>\nHello.<|end|><|user|>\nWhy <|im_end|>?<|end|><|assistant|>\nSo<|end|>`,
    "|Hello.<|end|>|So<|end|>",
  ],
])("%s: what is trained", (template, whole, trained) => {
  const text = encodeTraining(tokenizerFor(template), CONVERSATION, optionsFor(template));
  expect(written(template, text)).toEqual([whole, trained]);
  // Labels are the ids in their places, not moved.
  for (const [i, label] of text.labels.entries()) if (label !== IGNORED) expect(label).toBe(text.ids[i]);
});

test("what a message spells ends no turn", () => {
  const { ids } = encodeTraining(tokenizerFor("internvl2_5"), CONVERSATION, optionsFor("internvl2_5"));
  const end = tokenizerFor("internvl2_5").idOf(END);
  // System, two questions, two answers.
  expect(ids.filter((id) => id === end)).toHaveLength(5);
});

const encode = (...messages: ChatMessage<string>[]) =>
  encodeTraining(tokenizerFor("internvl2_5"), messages, optionsFor("internvl2_5"));

test("an empty answer is its end token", () => {
  const text = encode({ role: "user", content: "Hi" }, { role: "assistant", content: "" });
  expect(written("internvl2_5", text)[1]).toBe(`|${END}|`);
});

test("rows that cannot be trained on are refused", () => {
  const user = { role: "user", content: "Hi" } as const;
  expect(() => encode(user)).toThrow(UsageError);
  expect(() => encode({ role: "assistant", content: "Hello" })).toThrow("follows no message of the user");
  // The line break before the answer becomes one token with the answer's own.
  expect(() => encode(user, { role: "assistant", content: "\nHello" })).toThrow(
    "join with the tokens before",
  );
});

test("a tokenizer is trained on the stretches between tokens", () => {
  expect([...plainStretches(CONVERSATION, optionsFor("internvl2_5"))]).toEqual([
    ...["system\nS", "\n", "user\n", "\nHi", "\n", "assistant\nHello.", "\n"],
    ...["user\nWhy <|im_end|>?", "\n", "assistant\nSo", "\n"],
  ]);
});
