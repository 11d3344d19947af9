import { expect, it } from "vitest";
import { ConfigError } from "../core/errors.ts";
import { CHAT_TEMPLATE_NAMES, chatPrompt, chatTemplate, type Turn } from "./chat-templates.ts";

// Expected texts are written out from the published templates.
const S1 =
  "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL, 是一个有用无害的人工智能助手。";
const S2 =
  "你是书生·万象，英文名是InternVL，是由上海人工智能实验室、清华大学及多家合作单位联合开发的多模态大语言模型。";
const S3 =
  "You are InternVL, a large language model trained by Shanghai AI Laboratory.\nKnowledge cutoff: 2024-06\nCurrent date: 2025-08-06\n\nReasoning: low\n\n# Valid channels: final. Channel must be included for every message.";

const ONE: Turn<string>[] = [{ role: "user", content: "<image>\nHi" }];
const TWO: Turn<string>[] = [
  { role: "user", content: "<image>\nHi" },
  { role: "assistant", content: "Hello." },
  { role: "user", content: "Why?" },
];

const CHATML_1 = `<|im_start|>system\n${S1}<|im_end|><|im_start|>user\n<image>\nHi<|im_end|><|im_start|>assistant\n`;

it.each([
  ["Hermes-2", ONE, CHATML_1],
  ["internlm2-chat", ONE, CHATML_1],
  [
    "internlm2-chat",
    TWO,
    `${CHATML_1}Hello.<|im_end|><|im_start|>user\nWhy?<|im_end|><|im_start|>assistant\n`,
  ],
  ["phi3-chat", ONE, `<|system|>\n${S1}<|end|><|user|>\n<image>\nHi<|end|><|assistant|>\n`],
  [
    "phi3-chat",
    TWO,
    `<|system|>\n${S1}<|end|><|user|>\n<image>\nHi<|end|><|assistant|>\nHello.<|end|><|user|>\nWhy?<|end|><|assistant|>\n`,
  ],
  [
    "internvl2_5",
    ONE,
    `<|im_start|>system\n${S2}<|im_end|>\n<|im_start|>user\n<image>\nHi<|im_end|>\n<|im_start|>assistant\n`,
  ],
  [
    "internvl2_5",
    TWO,
    `<|im_start|>system\n${S2}<|im_end|>\n<|im_start|>user\n<image>\nHi<|im_end|>\n<|im_start|>assistant\nHello.<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n`,
  ],
  ["internvl_zh", ONE, " <human>: <image>\nHi <bot>:"],
  ["internvl_zh", TWO, " <human>: <image>\nHi <bot>: Hello.</s><human>: Why? <bot>:"],
  [
    "internvl3_5_gpt_oss",
    ONE,
    `<|start|>system<|message|>${S3}<|end|><|start|>user<|message|><image>\nHi<|end|><|start|>assistant`,
  ],
  [
    "internvl3_5_gpt_oss",
    TWO,
    `<|start|>system<|message|>${S3}<|end|><|start|>user<|message|><image>\nHi<|end|><|start|>assistant<|channel|>final<|message|>Hello.<|end|><|start|>user<|message|>Why?<|end|><|start|>assistant`,
  ],
])("%s writes a prompt character by character", (name, turns, expected) => {
  expect(chatPrompt(name, null, turns)).toBe(expected);
});

it.each([
  [
    "internvl2_5",
    "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n",
  ],
  ["internvl_zh", "s <human>: q <bot>: a</s>"],
  [
    "internvl3_5_gpt_oss",
    "<|start|>system<|message|>s<|end|><|start|>user<|message|>q<|end|><|start|>assistant<|channel|>final<|message|>a<|return|>",
  ],
])("%s closes a conversation that the assistant ends", (name, expected) => {
  const turns: Turn<string>[] = [
    { role: "user", content: "q" },
    { role: "assistant", content: "a" },
  ];
  expect(chatPrompt(name, "s", turns)).toBe(expected);
});

it("takes null and undefined for the template's system message and any string for another", () => {
  const own = chatPrompt("internvl2_5", undefined, ONE);
  expect(own).toBe(chatPrompt("internvl2_5", null, ONE));
  expect(own).toContain(S2);
  expect(chatPrompt("internvl2_5", "", ONE)).toBe(own.replace(S2, ""));
  expect(chatPrompt("internvl2_5", "Be brief.", ONE)).toBe(own.replace(S2, "Be brief."));
});

it("knows where generation stops", () => {
  expect(Object.fromEntries(CHAT_TEMPLATE_NAMES.map((name) => [name, chatTemplate(name).stop]))).toEqual({
    "Hermes-2": ["<|im_end|>", "<|endoftext|>"],
    "internlm2-chat": ["<|im_end|>"],
    "phi3-chat": ["<|end|>"],
    internvl2_5: ["<|im_end|>"],
    internvl_zh: ["</s>"],
    internvl3_5_gpt_oss: ["<|return|>"],
  });
});

it.each(["internvl2_6", "v1", "", "constructor"])(
  "names the unknown template %j and the known ones",
  (name) => {
    expect(() => chatTemplate(name)).toThrow(ConfigError);
    expect(() => chatTemplate(name)).toThrow(
      `chat template: ${JSON.stringify(name)} is not known; expected one of Hermes-2, internlm2-chat, phi3-chat, internvl2_5, internvl_zh, internvl3_5_gpt_oss`,
    );
  },
);
