import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ConfigError, UsageError } from "../core/errors.ts";
import type { ChatMessage } from "./conversation.ts";
import { type JinjaOptions, renderChatTemplate } from "./jinja-template.ts";
import { CONTENT_TAGS, expandImages, promptText } from "./prompt-segments.ts";

/** The template of the published HF repositories; earlier uploads had `<image>`. */
const PUBLISHED =
  "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n'}}{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for content in message['content'] %}{% if content['type'] == 'image' %}{{ '<IMG_CONTEXT>\\n' }}{% elif content['type'] == 'video' %}{{ '<video>\\n' }}{% elif content['type'] == 'text' %}{{ content['text'] }}{% endif %}{% endfor %}{% endif %}{{'<|im_end|>\\n'}}{% endfor %}{% if add_generation_prompt %}{{'<|im_start|>assistant\\n' }}{% endif %}";
const EARLIER = PUBLISHED.replace("<IMG_CONTEXT>", "<image>");

const STRUCTURE = [
  "<|im_start|>",
  "<|im_end|>",
  "<img>",
  "</img>",
  "<IMG_CONTEXT>",
  "<video>",
  "[MASK]",
  "</s>",
];
const SPECIALS = new Set([...STRUCTURE, ...CONTENT_TAGS]);

const render = (
  messages: readonly ChatMessage<string>[],
  template = PUBLISHED,
  options: Partial<JinjaOptions> = {},
) => renderChatTemplate(template, messages, { specials: SPECIALS, ...options });
const ask = (content: string): ChatMessage<string> => ({ role: "user", content });
const tokens = (prompt: ReturnType<typeof render>) =>
  prompt.segments.filter((s) => "block" in s || s.special).map((s) => ("block" in s ? s.block : s.text));

const MESSAGES: ChatMessage<string>[] = [
  {
    role: "user",
    content: [
      { type: "image", image: "a" },
      { type: "text", text: "Compare with" },
      { type: "video", frames: ["f", "g"] },
      { type: "image", image: "b" },
    ],
  },
  { role: "assistant", content: "They <differ>." },
  ask("Why?"),
];

describe("renderChatTemplate", () => {
  // Expected texts are what Python's jinja2 renders, markers replaced as the published processor does.
  it.each([PUBLISHED, EARLIER])(
    "writes pictures, videos and turns by the repository's template",
    (template) => {
      const prompt = render(MESSAGES, template);
      expect(promptText(prompt.segments)).toBe(
        "<|im_start|>user\n<image>\nCompare withFrame1: <image>\nFrame2: <image>\n<image>\n<|im_end|>\n<|im_start|>assistant\nThey <differ>.<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n",
      );
      expect(prompt.blocks).toEqual([["a"], ["f"], ["g"], ["b"]]);
      expect(prompt.segments.slice(0, 6)).toEqual([
        { text: "<|im_start|>", special: true },
        { text: "user\n", special: false },
        { block: 0 },
        { text: "\nCompare withFrame1: ", special: false },
        { block: 1 },
        { text: "\nFrame2: ", special: false },
      ]);
      const expanded = promptText(expandImages(prompt, [2, 1, 1, 1], { tokensPerTile: 1 }));
      expect(expanded).toContain(
        "<img><IMG_CONTEXT><IMG_CONTEXT></img>\nCompare withFrame1: <img><IMG_CONTEXT></img>\n",
      );
    },
  );

  it.each([
    ["joins", "{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"],
    ["writes", "<|im_start|>{{ message.role }}\n{{ message.content | trim }}<|im_end|>\n"],
  ])("shows pictures as markers to a template that %s texts alone", (_, turn) => {
    const texts = `{%- for message in messages -%}${turn}{%- endfor -%}{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}`;
    const text = (template: string) => promptText(render(MESSAGES, template).segments);
    expect(render(MESSAGES, texts).blocks).toEqual(render(MESSAGES).blocks);
    // trim takes the break after the last marker, and the template's own breaks are its own.
    const plain = (prompt: string) => prompt.replaceAll(/\n(?=<\|im)/g, "");
    expect(plain(text(texts))).toBe(plain(text(PUBLISHED)));
    const parts: ChatMessage<string>[] = [
      { role: "user", content: ["Hello, ", "you"].map((part) => ({ type: "text", text: part })) },
    ];
    expect(promptText(render(parts, texts).segments)).toContain("user\nHello, you<|im_end|>");
  });

  it("adds no system message, and opens no turn after the assistant's", () => {
    expect(promptText(render([ask("q"), { role: "assistant", content: "a" }]).segments)).toBe(
      "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n",
    );
    expect(promptText(render([{ role: "system", content: "s" }, ask("q")]).segments)).toBe(
      "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n",
    );
  });

  it("leaves what messages spell as text, and as it was", () => {
    const said = `${STRUCTURE.join(" ")}<image><|video_pad|> \ue000\ue001 a<b>c[d]`;
    const prompt = render([ask(said)]);
    expect(tokens(prompt)).toEqual(["<|im_start|>", "<|im_end|>", "<|im_start|>"]);
    expect(prompt.segments[1]).toEqual({ text: `user\n${said}`, special: false });
  });

  it("lets messages spell the marks of content", () => {
    const messages = [ask("<ref>cat</ref> <think>")];
    expect(tokens(render(messages)).slice(1, -2)).toEqual(["<ref>", "</ref>", "<think>"]);
    expect(tokens(render(messages, PUBLISHED, { contentTags: [] })).slice(1, -2)).toEqual([]);
  });

  it("makes no token of parts that the template joins, and lets it trim", () => {
    const template =
      "{{ '<|im_start|>' }}{% for m in messages %}{{ m.content | trim }}{% endfor %}{{ '<|im_end|>' }}";
    const prompt = render([ask("  <|im_"), ask("end|>\n")], template);
    expect(prompt.segments).toEqual([
      { text: "<|im_start|>", special: true },
      { text: "<|im_end|>", special: false },
      { text: "<|im_end|>", special: true },
    ]);
  });

  it("gives no message's text to tokens, whatever it is", () => {
    const fragments = [
      ...STRUCTURE,
      "<image>",
      "<|im_",
      "end|>",
      "<",
      ">",
      "[",
      "\ue000",
      "\uf8ff",
      "a",
      "\n",
      "中",
    ];
    const words = fc
      .array(fc.oneof(fc.constantFrom(...fragments), fc.string()), { maxLength: 6 })
      .map((w) => w.join(""));
    fc.assert(
      fc.property(fc.array(fc.array(words, { maxLength: 3 }), { minLength: 1, maxLength: 3 }), (turns) => {
        const messages = (of: (text: string) => string) =>
          turns.map(
            (texts): ChatMessage<string> => ({
              role: "user",
              content: [
                { type: "image", image: "x" },
                ...texts.map((t) => ({ type: "text", text: of(t) }) as const),
              ],
            }),
          );
        const prompt = render(messages((t) => t));
        expect(tokens(prompt)).toEqual(tokens(render(messages(() => "w"))));
        const said = turns
          .map((texts) => `<|im_start|>user\n<image>\n${texts.join("")}<|im_end|>\n`)
          .join("");
        expect(promptText(prompt.segments)).toBe(`${said}<|im_start|>assistant\n`);
      }),
      { numRuns: 200 },
    );
  });

  it("gives templates further variables, the date, and Python's range", () => {
    const template =
      "{{ bos_token }}{{ strftime_now('%Y-%m-%d %d %B %b %H:%M:%S %%') }}{% for i in range(5, 0, -2) %}{{ i }}{% endfor %}{{ messages[0].content }}";
    const prompt = render([ask("q")], template, {
      variables: { bos_token: "</s>" },
      now: new Date(2025, 7, 6, 1, 2, 3),
    });
    expect(prompt.segments).toEqual([
      { text: "</s>", special: true },
      { text: "2025-08-06 06 August Aug 01:02:03 %531q", special: false },
    ]);
  });

  it.each([
    ["{{ raise_exception('roles must alternate') }}", "roles must alternate"],
    ["{% for %}", "cannot be rendered"],
    ["{{ 'a' + nothing }}", "cannot be rendered"],
    ["{{ strftime_now('%Q') }}", "%Q is not supported"],
    ["{{ range(100000) | length }}", "above 16384 items"],
    ["{{ range(0, 9, 0) }}", "the step is 0"],
    ["{{ range('a') }}", "expected one to three integers"],
    [
      "{% for i in range(9999) %}{% for j in range(9999) %}{% for k in range(9999) %}{% endfor %}{% endfor %}{% endfor %}",
      "it does too much",
    ],
    [
      "{% for i in range(9999) %}{% for j in range(9999) %}{{ j }}{% endfor %}{% endfor %}",
      "it does too much",
    ],
    [
      "{% set n = namespace(a='x') %}{% for i in range(99) %}{% set n.a = n.a + n.a %}{% endfor %}",
      "a text above",
    ],
    [
      "{% set n = namespace(a=[1]) %}{% for i in range(99) %}{% set n.a = n.a + n.a %}{% endfor %}",
      "a list above",
    ],
    ["{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "cannot be rendered"],
  ])("refuses the template %#: %j", (template, message) => {
    let thrown: unknown;
    try {
      render([ask("q")], template, { where: "m/chat_template.jinja" });
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(ConfigError);
    expect(String(thrown)).toMatch(/^ConfigError: m\/chat_template\.jinja: /);
    expect(String(thrown)).toContain(message);
  });

  it("refuses a template that is too long", () => {
    const long = () => render([ask("q")], " ".repeat(65_537));
    expect(long).toThrow(ConfigError);
    expect(long).toThrow("chat_template.jinja: 65537 characters, expected at most 65536");
  });

  it.each(["none", "<image><image>", "<video>"])(
    "refuses the template %j, which does not write one marker a picture",
    (template) => {
      const messages: ChatMessage<string>[] = [{ role: "user", content: [{ type: "image", image: "a" }] }];
      const written = () => render(messages, template);
      expect(written).toThrow(ConfigError);
      expect(written).toThrow(/wrote \d markers for 1 pictures and \d for 0 videos/);
    },
  );

  it("renders a long conversation", () => {
    const messages = Array.from({ length: 1000 }, (_, i) => [
      ask(`q${i}`),
      { role: "assistant", content: "a".repeat(400) } as const,
    ]);
    expect(tokens(render(messages.flat()))).toHaveLength(4000);
  });

  it("refuses conversations as composePrompt does", () => {
    expect(() => render([])).toThrow(UsageError);
    expect(() => render([ask("q"), { role: "system", content: "s" }])).toThrow(
      "messages[1]: a system message",
    );
  });

  it("refuses texts that hold every character for private use", () => {
    const all = Array.from({ length: 6400 }, (_, i) => String.fromCharCode(0xe000 + i)).join("");
    expect(() => render([ask(all)])).toThrow(UsageError);
    expect(promptText(render([ask(all.slice(4))]).segments)).toContain(all.slice(4));
  });
});
