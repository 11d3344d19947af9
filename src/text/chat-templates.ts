import { ConfigError } from "../core/errors.ts";

/**
 * The text around the messages of a conversation. The published files hold one "separator style" in code for each; as
 * data, a template is what stands before and after each kind of message.
 */
export interface ChatTemplate {
  readonly system: string;
  /** The system message where neither the configuration nor the conversation has one. */
  readonly systemMessage: string;
  readonly afterSystem: string;
  readonly user: string;
  readonly afterUser: string;
  /** Opens the turn that the model is to write: the prompt ends with it. */
  readonly assistant: string;
  /** Begins a turn that it has written. */
  readonly answer: string;
  readonly afterAnswer: string;
  /** Ends a conversation that is complete, as training texts are. */
  readonly afterLastAnswer: string;
  /** Generation ends at these spellings, none of which belongs to the answer. `eos_token_id` of configurations is often wrong. */
  readonly stop: readonly string[];
}

const INTERNVL_1 =
  "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL, 是一个有用无害的人工智能助手。";
const INTERNVL_2_5 =
  "你是书生·万象，英文名是InternVL，是由上海人工智能实验室、清华大学及多家合作单位联合开发的多模态大语言模型。";
const INTERNVL_3_5_GPT_OSS = [
  "You are InternVL, a large language model trained by Shanghai AI Laboratory.",
  "Knowledge cutoff: 2024-06",
  "Current date: 2025-08-06",
  "",
  "Reasoning: low",
  "",
  "# Valid channels: final. Channel must be included for every message.",
].join("\n");

/** A template in which every message ends alike and a turn begins the same whether the model or history writes it. */
function uniform(
  [system, user, assistant]: readonly [string, string, string],
  separator: string,
  systemMessage: string,
  stop: readonly string[],
): ChatTemplate {
  return {
    ...{ system, systemMessage, afterSystem: separator },
    ...{ user, afterUser: separator },
    ...{ assistant, answer: assistant, afterAnswer: separator, afterLastAnswer: separator },
    stop,
  };
}

const CHATML = ["<|im_start|>system\n", "<|im_start|>user\n", "<|im_start|>assistant\n"] as const;
const PHI_3 = ["<|system|>\n", "<|user|>\n", "<|assistant|>\n"] as const;

/** The templates that `config.json` of chat repositories names (OpenGVLab/InternVL, internvl/conversation.py). */
const TEMPLATES: ReadonlyMap<string, ChatTemplate> = new Map([
  ["Hermes-2", uniform(CHATML, "<|im_end|>", INTERNVL_1, ["<|im_end|>", "<|endoftext|>"])],
  ["internlm2-chat", uniform(CHATML, "<|im_end|>", INTERNVL_1, ["<|im_end|>"])],
  ["phi3-chat", uniform(PHI_3, "<|end|>", INTERNVL_1, ["<|end|>"])],
  ["internvl2_5", uniform(CHATML, "<|im_end|>\n", INTERNVL_2_5, ["<|im_end|>"])],
  [
    "internvl_zh",
    {
      ...{ system: "", systemMessage: "", afterSystem: " " },
      ...{ user: "<human>: ", afterUser: " " },
      // The open turn has no space: the answer begins with it.
      ...{ assistant: "<bot>:", answer: "<bot>: ", afterAnswer: "</s>", afterLastAnswer: "</s>" },
      stop: ["</s>"],
    },
  ],
  [
    "internvl3_5_gpt_oss",
    {
      ...{
        system: "<|start|>system<|message|>",
        systemMessage: INTERNVL_3_5_GPT_OSS,
        afterSystem: "<|end|>",
      },
      ...{ user: "<|start|>user<|message|>", afterUser: "<|end|>" },
      // The model names the channel of what it writes; answers in history are of the final one.
      ...{ assistant: "<|start|>assistant", answer: "<|start|>assistant<|channel|>final<|message|>" },
      ...{ afterAnswer: "<|end|>", afterLastAnswer: "<|return|>" },
      stop: ["<|return|>"],
    },
  ],
]);

export const CHAT_TEMPLATE_NAMES: readonly string[] = [...TEMPLATES.keys()];

/** The template of a name as configurations have it. Throws ConfigError for any other. */
export function chatTemplate(name: string): ChatTemplate {
  const found = TEMPLATES.get(name);
  if (found === undefined)
    throw new ConfigError(
      `chat template: ${JSON.stringify(name)} is not known; expected one of ${CHAT_TEMPLATE_NAMES.join(", ")}`,
    );
  return found;
}

/** A message of a conversation. `C` is its content: a text, or whatever a caller puts in its place. */
export interface Turn<C> {
  readonly role: "user" | "assistant";
  readonly content: C;
}

/** A stretch of the template's own text, or the content of a message. */
export type Layout<C> = { readonly own: string } | { readonly content: C };

/**
 * The order of things in a prompt. After a user's turn the assistant's is opened; a conversation that ends with an
 * assistant's turn is complete. `systemMessage` null or undefined is the template's own, `""` an empty one.
 */
export function layOutTurns<C>(
  template: ChatTemplate,
  systemMessage: C | null | undefined,
  turns: readonly Turn<C>[],
): Layout<C>[] {
  const layout: Layout<C>[] = [
    { own: template.system },
    systemMessage === null || systemMessage === undefined
      ? { own: template.systemMessage }
      : { content: systemMessage },
    { own: template.afterSystem },
  ];
  for (const [i, { role, content }] of turns.entries()) {
    const last = i === turns.length - 1;
    if (role === "user") {
      layout.push({ own: template.user }, { content }, { own: template.afterUser });
      if (last) layout.push({ own: template.assistant });
    } else {
      layout.push({ own: template.answer }, { content });
      layout.push({ own: last ? template.afterLastAnswer : template.afterAnswer });
    }
  }
  return layout;
}

/**
 * The prompt text of a conversation of plain texts, character by character as the published code writes it. Answers are
 * without markers of channels. For prompts with pictures or from strangers see `composePrompt`. DIFFERS: an empty text is
 * a message like any other; the published code takes it for an open turn.
 */
export function chatPrompt(
  templateName: string,
  systemMessage: string | null | undefined,
  turns: readonly Turn<string>[],
): string {
  return layOutTurns(chatTemplate(templateName), systemMessage, turns)
    .map((part) => ("own" in part ? part.own : part.content))
    .join("");
}
