/** A field of OpenAI's API that this server does not act on. */
interface IgnoredField {
  /** Why, for whoever sends a value that matters. */
  readonly why: string;
  /** Values that ask for nothing; with these, and with null, the field may be there. */
  readonly harmless: (value: unknown) => boolean;
}

export type IgnoredFields = Readonly<Record<string, IgnoredField>>;

const anything = () => true;
const nothing = (value: unknown) => value === false || (Array.isArray(value) && value.length === 0);
const oneOf =
  (...values: readonly unknown[]) =>
  (value: unknown) =>
    values.includes(value);

const NO_TOOLS = "the models call no tools; describe what is wanted in the messages";

/** Fields of every request that generates. */
const COMMON: IgnoredFields = {
  // They change nothing of an answer, so that clients which always send them work.
  user: { why: "whose request it is, is told by the API key or the address", harmless: anything },
  safety_identifier: { why: "nothing is reported to anyone", harmless: anything },
  metadata: { why: "nothing is stored", harmless: anything },
  store: { why: "nothing is stored", harmless: anything },
  prompt_cache_key: { why: "what is known of a prompt is found by its tokens", harmless: anything },
  prompt_cache_retention: { why: "what is known of a prompt is found by its tokens", harmless: anything },
  service_tier: { why: "there is one tier", harmless: oneOf("auto", "default") },
};

export const CHAT_FIELDS: IgnoredFields = {
  ...COMMON,
  parallel_tool_calls: { why: NO_TOOLS, harmless: anything },
  tools: { why: NO_TOOLS, harmless: nothing },
  tool_choice: { why: NO_TOOLS, harmless: oneOf("none", "auto") },
  functions: { why: NO_TOOLS, harmless: nothing },
  function_call: { why: NO_TOOLS, harmless: oneOf("none", "auto") },
  audio: { why: "the models neither hear nor speak", harmless: nothing },
  modalities: {
    why: "the models answer with text only",
    harmless: (value) => Array.isArray(value) && value.every((m) => m === "text"),
  },
  prediction: { why: "predicted outputs are not used", harmless: nothing },
  web_search_options: { why: "the models do not search the web", harmless: nothing },
  reasoning_effort: {
    why: "models that think are told so by the system message",
    harmless: nothing,
  },
  media_io_kwargs: {
    why: "which frames of a video are taken, is said beside its url: num_frames, fps, video_start, video_end",
    harmless: nothing,
  },
  mm_processor_kwargs: {
    why: "how many tiles a picture may have, is said beside its url: max_dynamic_patch",
    harmless: nothing,
  },
  verbosity: { why: "ask for a short or long answer in the messages", harmless: oneOf("medium") },
};

export const COMPLETION_FIELDS: IgnoredFields = {
  ...COMMON,
  suffix: { why: "text can only go on, not be filled in", harmless: oneOf("") },
  best_of: { why: "answers are not ranked; ask for n of them", harmless: oneOf(1) },
};

export const EMBEDDING_FIELDS: IgnoredFields = { user: COMMON.user! };

/** Fields of a message. Clients send back the messages of answers as they were. */
export const MESSAGE_FIELDS: IgnoredFields = {
  name: { why: "the models' prompts have no place for names of people", harmless: anything },
  reasoning_content: { why: "thoughts are not part of the next prompt", harmless: anything },
  refusal: { why: "refusals are text", harmless: nothing },
  annotations: { why: "answers have no annotations", harmless: nothing },
  audio: CHAT_FIELDS.audio!,
  tool_calls: CHAT_FIELDS.tools!,
  function_call: CHAT_FIELDS.tools!,
  tool_call_id: { why: NO_TOOLS, harmless: () => false },
};

/** An object without what it need not have; anything else as it is. */
export function withoutIgnored(value: unknown, fields: IgnoredFields): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(
    Object.entries(value).filter(([name, v]) => {
      const field = Object.hasOwn(fields, name) ? fields[name] : undefined;
      return !(field && (v === null || field.harmless(v)));
    }),
  );
}

/** Why a field that is left is refused. */
export function whyRefused(name: string, where: "message" | "request"): string {
  const tables = where === "message" ? [MESSAGE_FIELDS] : [CHAT_FIELDS, COMPLETION_FIELDS, EMBEDDING_FIELDS];
  const why = tables.find((table) => Object.hasOwn(table, name))?.[name]?.why;
  return why ? `not supported: ${why}` : "unknown here; leave it out";
}
