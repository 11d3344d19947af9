import { z } from "zod";
import type { ChatOptions } from "../../infer/chat-model.ts";
import type { ChatLimits } from "../limits.ts";
import { ApiError } from "./api-error.ts";
import { checkTexts } from "./chat-request.ts";
import { COMPLETION_FIELDS, withoutIgnored } from "./fields.ts";
import { generationFields, generationOptions, streamOptions } from "./generation-fields.ts";
import { parseRequest } from "./parse-request.ts";

/** `POST /v1/completions`, understood. */
export interface CompletionRequest {
  readonly model: string;
  readonly prompts: readonly string[];
  readonly options: ChatOptions;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  readonly logprobs: boolean;
  /** Whether answers begin with their prompt. */
  readonly echo: boolean;
}

/** Most tokens where none are named; OpenAI's own. */
const DEFAULT_MAX_TOKENS = 16;

/** Most of the likely tokens that the old form of logprobs tells. */
const MAX_LOGPROBS = 5;

const completionSchema = (limits: ChatLimits) =>
  z.strictObject({
    ...generationFields(limits),
    prompt: z.union([z.string().min(1), z.array(z.string().min(1)).min(1).max(limits.answers)]),
    logprobs: z.int().min(0).max(MAX_LOGPROBS).nullish(),
    echo: z.boolean().nullish(),
  });

/** Reads a body; throws a 400 that names the field which is wrong or cannot be honoured. */
export function parseCompletionRequest(body: unknown, limits: ChatLimits): CompletionRequest {
  const request = parseRequest(completionSchema(limits), withoutIgnored(body, COMPLETION_FIELDS));
  const { logprobs } = request;
  const prompts = [request.prompt].flat();
  const answers = prompts.length * (request.n ?? 1);
  if (answers > limits.answers)
    throw new ApiError(
      400,
      `n: ${request.n} answers to each of ${prompts.length} prompts, at most ${limits.answers} together; send several requests`,
      { param: "n" },
    );
  const echo = request.echo ?? false;
  if (echo && logprobs != null)
    throw new ApiError(
      400,
      "echo: not together with logprobs: the prompt's log probabilities are not told; leave one of them out",
      { param: "echo" },
    );
  checkTexts("prompt", prompts, limits);
  return {
    model: request.model,
    prompts,
    options: {
      ...generationOptions({ ...request, max_tokens: request.max_tokens ?? DEFAULT_MAX_TOKENS }),
      ...(logprobs != null && { top_logprobs: logprobs }),
    },
    ...streamOptions(request),
    logprobs: logprobs != null,
    echo,
  };
}
