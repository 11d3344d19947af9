import { z } from "zod";
import type { ChatOptions } from "../../infer/chat-model.ts";
import { SamplingOptions } from "../../infer/sampling-options.ts";
import type { ChatLimits } from "../limits.ts";
import { ApiError } from "./api-error.ts";

const { shape } = SamplingOptions;

const MAX_STOPS = 4;
const MAX_STOP_CHARACTERS = 1000;
const stopText = z.string().min(1).max(MAX_STOP_CHARACTERS);

export const modelName = z.string().min(1).max(500);

/** Fields of chats and completions: OpenAI's, and of the ecosystem top_k, min_p and repetition_penalty. */
export const generationFields = (limits: ChatLimits) => ({
  model: modelName,
  temperature: shape.temperature.unwrap().nullish(),
  top_p: shape.top_p.unwrap().nullish(),
  top_k: shape.top_k.unwrap().nullish(),
  min_p: shape.min_p.unwrap().nullish(),
  repetition_penalty: shape.repetition_penalty.unwrap().nullish(),
  presence_penalty: shape.presence_penalty.unwrap().nullish(),
  frequency_penalty: shape.frequency_penalty.unwrap().nullish(),
  logit_bias: shape.logit_bias.unwrap().nullish(),
  seed: z.int().nullish(),
  stop: z.union([stopText, z.array(stopText).max(MAX_STOPS)]).nullish(),
  n: z.int().min(1).max(limits.answers).nullish(),
  max_tokens: z.int().min(1).nullish(),
  stream: z.boolean().nullish(),
  stream_options: z
    .strictObject({
      include_usage: z.boolean().nullish(),
      // Padding against guesses of what is said from packets' sizes: a proxy's task.
      include_obfuscation: z.boolean().nullish(),
    })
    .nullish(),
});

type GenerationRequest = z.infer<z.ZodObject<ReturnType<typeof generationFields>>>;

/** The sampling of a request, in the model's words; what was not given is left to the model. */
export function generationOptions(request: GenerationRequest): ChatOptions {
  const { stop, n, max_tokens } = request;
  return defined({
    temperature: request.temperature,
    top_p: request.top_p,
    top_k: request.top_k,
    min_p: request.min_p,
    repetition_penalty: request.repetition_penalty,
    presence_penalty: request.presence_penalty,
    frequency_penalty: request.frequency_penalty,
    logit_bias: request.logit_bias,
    seed: request.seed,
    stop: typeof stop === "string" ? [stop] : stop,
    n,
    maxTokens: max_tokens,
  });
}

/** The stream's options; a 400 when they are given without a stream. */
export function streamOptions(request: GenerationRequest): { stream: boolean; includeUsage: boolean } {
  const stream = request.stream ?? false;
  if (request.stream_options && !stream)
    throw new ApiError(400, "stream_options: only with stream: true; leave it out", {
      param: "stream_options",
    });
  return { stream, includeUsage: request.stream_options?.include_usage ?? false };
}

type Defined<T> = { [K in keyof T]: Exclude<T[K], null | undefined> };

/** The fields that are given. */
export const defined = <T extends object>(fields: T): Partial<Defined<T>> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value != null)) as Partial<Defined<T>>;
