import { z } from "zod";
import { messageOf, UsageError } from "../../core/errors.ts";
import type { ChatOptions } from "../../infer/chat-model.ts";
import { jsonSchemaGrammar } from "../../infer/json-schema.ts";
import { SamplingOptions } from "../../infer/sampling-options.ts";
import { type ChatMessage, type ContentPart, readMessages } from "../../text/conversation.ts";
import type { ChatLimits } from "../limits.ts";
import { ApiError } from "./api-error.ts";
import { CHAT_FIELDS, MESSAGE_FIELDS, withoutIgnored } from "./fields.ts";
import { defined, generationFields, generationOptions, streamOptions } from "./generation-fields.ts";
import { parseRequest } from "./parse-request.ts";

/** A picture or video of a request that was not looked at yet. */
export interface MediaReference {
  /** A data URL, or an address. */
  readonly url: string;
  /** Where in the request it is, for messages about it. */
  readonly param: string;
  /** Of a video. */
  readonly choice?: FrameChoice;
}

/** Which frames of a video are shown; times in seconds from its start. The names are those of vLLM and Qwen. */
export interface FrameChoice {
  /** So many, evenly spaced; with `fps`: at most. */
  readonly num_frames?: number;
  /** So many a second. */
  readonly fps?: number;
  readonly video_start?: number;
  readonly video_end?: number;
}

/** `POST /v1/chat/completions`, understood. */
export interface ChatRequest {
  readonly model: string;
  /** A video's one frame is what refers to the video. */
  readonly messages: readonly ChatMessage<MediaReference>[];
  readonly options: ChatOptions;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  readonly logprobs: boolean;
  /** What the request calls the most tokens of an answer. */
  readonly maxTokensField: "max_tokens" | "max_completion_tokens";
}

/** More tiles than any published model was shown of a picture. */
const MAX_TILES = 64;

const part = z.discriminatedUnion(
  "type",
  [
    z.strictObject({ type: z.literal("text"), text: z.string() }),
    z.strictObject({
      type: z.literal("image_url"),
      image_url: z.strictObject({
        url: z.string().min(1),
        detail: z.enum(["auto", "low", "high"]).nullish(),
        // The name that LMDeploy and SGLang took over from InternVL's configuration.
        max_dynamic_patch: z.int().min(1).max(MAX_TILES).nullish(),
      }),
    }),
    z.strictObject({
      type: z.literal("video_url"),
      video_url: z.strictObject({
        url: z.string().min(1),
        num_frames: z.int().min(1).nullish(),
        fps: z.number().positive().nullish(),
        video_start: z.number().min(0).nullish(),
        video_end: z.number().min(0).nullish(),
      }),
    }),
  ],
  {
    error: () => 'expected a part of type "text", "image_url" or "video_url"; the models read nothing else',
  },
);
type Part = z.infer<typeof part>;

const ROLES = ["system", "developer", "user", "assistant"] as const;

const message = z.preprocess(
  (value) => withoutIgnored(value, MESSAGE_FIELDS),
  z.strictObject({
    role: z.enum(ROLES, { error: () => `expected one of the roles ${ROLES.join(", ")}` }),
    content: z.union([z.string(), z.array(part).min(1)]),
  }),
);
type Message = z.infer<typeof message>;

/** The form of an answer; a schema is checked by {@link formatOf}. */
const responseFormat = z.discriminatedUnion(
  "type",
  [
    z.strictObject({ type: z.literal("text") }),
    z.strictObject({ type: z.literal("json_object") }),
    z.strictObject({
      type: z.literal("json_schema"),
      json_schema: z.strictObject({
        name: z.string().optional(),
        description: z.string().optional(),
        strict: z.boolean().nullish(),
        schema: z.record(z.string(), z.unknown()),
      }),
    }),
  ],
  { error: () => 'expected "text", "json_object" or "json_schema"' },
);

/** What the model is kept to; throws a 400 that names a keyword of the schema which is not supported. */
function formatOf(
  format: z.infer<typeof responseFormat> | null | undefined,
): Pick<ChatOptions, "responseFormat"> {
  if (format == null || format.type === "text") return {};
  if (format.type === "json_object") return { responseFormat: format };
  const { schema } = format.json_schema;
  try {
    jsonSchemaGrammar(schema);
  } catch (error) {
    throw refused("response_format.json_schema.schema", messageOf(error));
  }
  return { responseFormat: { type: "json_schema", schema } };
}

const chatSchema = (limits: ChatLimits) =>
  z.strictObject({
    ...generationFields(limits),
    messages: z.array(message).min(1).max(limits.messages),
    max_completion_tokens: z.int().min(1).nullish(),
    logprobs: z.boolean().nullish(),
    top_logprobs: SamplingOptions.shape.top_logprobs.unwrap().nullish(),
    response_format: responseFormat.nullish(),
  });

/** Reads a body; throws a 400 that names the field which is wrong or cannot be honoured. */
export function parseChatRequest(body: unknown, limits: ChatLimits): ChatRequest {
  const request = parseRequest(chatSchema(limits), withoutIgnored(body, CHAT_FIELDS));
  const { max_tokens, max_completion_tokens, top_logprobs } = request;
  if (max_tokens != null && max_completion_tokens != null && max_tokens !== max_completion_tokens)
    throw refused("max_tokens", "differs from max_completion_tokens, its new name; give one of them");
  const logprobs = request.logprobs ?? false;
  if (top_logprobs != null && !logprobs)
    throw refused("top_logprobs", "only with logprobs: true; set it, or leave this out");
  const messages = request.messages.map(toMessage);
  checkConversation(messages, request.messages, limits);
  return {
    model: request.model,
    messages,
    options: {
      ...generationOptions({ ...request, max_tokens: max_completion_tokens ?? max_tokens }),
      ...(top_logprobs != null && { top_logprobs }),
      ...formatOf(request.response_format),
    },
    ...streamOptions(request),
    logprobs,
    maxTokensField: max_completion_tokens == null ? "max_tokens" : "max_completion_tokens",
  };
}

function toMessage({ role, content }: Message, i: number): ChatMessage<MediaReference> {
  const toPart = (p: Part, j: number): ContentPart<MediaReference> => {
    if (p.type === "text") return p;
    const param = `messages[${i}].content[${j}].${p.type}`;
    if (p.type === "video_url") {
      const { url, ...choice } = p.video_url;
      return { type: "video", frames: [{ url, param: `${param}.url`, choice: defined(choice) }] };
    }
    const image = { url: p.image_url.url, param: `${param}.url` };
    const maxTiles = tilesOf(p.image_url, param);
    return { type: "image", image, ...(maxTiles !== undefined && { maxTiles }) };
  };
  return {
    role: role === "developer" ? "system" : role,
    content: typeof content === "string" ? content : content.map(toPart),
  };
}

function checkConversation(
  messages: readonly ChatMessage<MediaReference>[],
  given: readonly Message[],
  limits: ChatLimits,
): void {
  try {
    readMessages(messages);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    const { message } = error;
    throw new ApiError(400, message, { param: message.slice(0, message.indexOf(":")) });
  }
  if (messages.at(-1)!.role === "assistant")
    throw refused(
      `messages[${messages.length - 1}].role`,
      "the last message is the assistant's, expected one of the user to answer",
    );
  const parts = given.flatMap(({ content }): (string | Part)[] => [content].flat());
  const texts = parts.map((p) => (typeof p === "string" ? p : p.type === "text" ? p.text : ""));
  checkTexts("messages", texts, limits);
  for (const [type, most] of [
    ["image_url", limits.pictures],
    ["video_url", limits.videos],
  ] as const) {
    const found = parts.filter((p) => typeof p !== "string" && p.type === type).length;
    if (found > most)
      throw refused("messages", `expected at most ${most} parts of type ${type}, found ${found}`);
  }
}

/** Refuses texts that are too long together, before anyone counts their tokens. */
export function checkTexts(param: string, texts: readonly string[], limits: ChatLimits): void {
  const characters = texts.reduce((sum, text) => sum + text.length, 0);
  if (characters <= limits.characters) return;
  const problem = `expected at most ${limits.characters} characters of text, found ${characters}; shorten it`;
  throw new ApiError(400, `${param}: ${problem}`, { param, code: "context_length_exceeded" });
}

/** Most tiles of a picture, where the request says it: `detail: "low"` is one. */
function tilesOf(
  { detail, max_dynamic_patch }: Extract<Part, { type: "image_url" }>["image_url"],
  param: string,
): number | undefined {
  if (detail !== "low") return max_dynamic_patch ?? undefined;
  if ((max_dynamic_patch ?? 1) > 1)
    throw refused(`${param}.max_dynamic_patch`, 'detail: "low" is one tile; leave one of them out');
  return 1;
}

const refused = (param: string, problem: string): ApiError =>
  new ApiError(400, `${param}: ${problem}`, { param });
