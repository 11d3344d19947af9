import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError } from "../core/errors.ts";
import { readChatConfig } from "../models/chat-config.ts";
import { InternVLChat } from "../models/internvl_chat.ts";
import type { Fields } from "../models/unused-fields.ts";
import { SFT_TEMPLATES, type SftTemplate } from "../text/training-text.ts";

/** A chat model to train, before the size of its vocabulary is known. */
export interface ChatBlueprint {
  readonly template: SftTemplate;
  readonly systemMessage: string | null;
  /** config.json with a vocabulary of at least so many rows. */
  config(vocabulary: number): Fields;
  /** `tied` as the configuration says, unless a tree with a head of its own is asked for. */
  create(vocabulary: number, options?: { readonly tied?: boolean }): InternVLChat;
}

/**
 * A blueprint from the fields of config.json in the GitHub format; `where` begins messages. Throws a ConfigError for
 * fields that are not known and templates that cannot be trained.
 */
export function chatBlueprint(fields: Fields, where: string): ChatBlueprint {
  // How the weights were stored does not matter to the trained model.
  const { precision: _, ...own } = fields;
  const config = (vocabulary: number): Fields => {
    const language = (own.llm_config ?? {}) as Fields;
    const rows = Number(language.vocab_size ?? 0);
    return {
      architectures: ["InternVLChatModel"],
      ...own,
      model_type: "internvl_chat",
      llm_config: { ...language, vocab_size: Math.max(rows, vocabulary) },
    };
  };
  const { chat } = readChatConfig(config(1), where);
  const template = SFT_TEMPLATES.find((name) => name === chat.template);
  if (template === undefined)
    throw new ConfigError(
      `${where}: the template is ${JSON.stringify(chat.template)}; models with one of ${SFT_TEMPLATES.join(", ")} can be trained`,
    );
  return {
    template,
    systemMessage: chat.system_message,
    config,
    create(vocabulary, options) {
      const { chat, language } = readChatConfig(config(vocabulary), where);
      return new InternVLChat(chat, language.create(options));
    },
  };
}

/** The config.json of a chat model's folder. */
export async function readBlueprint(folder: string): Promise<ChatBlueprint> {
  const file = join(folder, "config.json");
  const text = await readFile(file, "utf8").catch((e: NodeJS.ErrnoException) => {
    throw new ConfigError(`${file}: cannot be read (${e.code}); give the folder of a chat model`, {
      cause: e,
    });
  });
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new ConfigError(`${file}: not JSON; the file is damaged, fetch it again`, { cause });
  }
  if ((json as Fields | null)?.model_type !== "internvl_chat")
    throw new ConfigError(
      `${file}: expected a chat model in the GitHub format (model_type "internvl_chat"); the -hf folders name no template to train with`,
    );
  return chatBlueprint(json as Fields, file);
}
