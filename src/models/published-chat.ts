import json from "./configs/internvl-chat.json" with { type: "json" };

/** How much of a configuration was read in a copy of the published one; configs/README.md says which. */
export type ChatConfigSource = "copy" | "numbers" | "base";

/** A published InternVL-Chat. */
export interface PublishedChat {
  readonly name: string;
  /** "github": `model_type` internvl_chat, with OpenGVLab's own code; "hf": transformers' internvl. */
  readonly format: "github" | "hf";
  /** Names of the vision tower and the language model that it was made of. */
  readonly vision: string;
  readonly llm: string;
  /** Fields as in config.json, the parts in `vision_config` and `llm_config` or `text_config`. A fresh object. */
  readonly config: Record<string, unknown>;
  /** Tokens, those of images included, that it was trained with and works well up to. */
  readonly context: number;
  readonly source: ChatConfigSource;
}

type Fields = Readonly<Record<string, unknown>>;

interface ModelEntry {
  readonly format: "github" | "hf";
  readonly vision: string;
  readonly llm: string;
  readonly config: Fields;
  readonly vision_config?: Fields;
  readonly llm_config?: Fields;
  readonly context: number;
  readonly source: ChatConfigSource;
}

interface ChatConfigs {
  /** Fields that all models of a format share. */
  readonly formats: Readonly<Record<string, Fields>>;
  /** Fields that all language models of a class share, by `architectures[0]`. */
  readonly classes: Readonly<Record<string, Fields>>;
  readonly vision: Readonly<Record<string, Fields>>;
  readonly llm: Readonly<Record<string, Fields & { readonly architectures: readonly string[] }>>;
  readonly models: Readonly<Record<string, ModelEntry>>;
}

const CONFIGS = json as unknown as ChatConfigs;

/** Names under which InternVL-Chat models were published, as {@link publishedChat} takes them. */
export const PUBLISHED_CHAT_NAMES: readonly string[] = Object.keys(CONFIGS.models);

/** The published InternVL-Chat of that name; undefined for other names. */
export function publishedChat(name: string): PublishedChat | undefined {
  if (!Object.hasOwn(CONFIGS.models, name)) return undefined;
  const { config, vision_config, llm_config, ...model } = CONFIGS.models[name]!;
  const llm = CONFIGS.llm[model.llm]!;
  return {
    name,
    ...model,
    config: structuredClone({
      ...CONFIGS.formats[model.format],
      ...config,
      vision_config: { ...CONFIGS.vision[model.vision], ...vision_config },
      [model.format === "hf" ? "text_config" : "llm_config"]: {
        ...CONFIGS.classes[llm.architectures[0]!],
        ...llm,
        ...llm_config,
      },
    }),
  };
}
