import { z } from "zod";
import { UsageError } from "../core/errors.ts";

const penalty = z.number().min(-2).max(2).default(0);

/** More entries than this are no list of words that someone wrote. */
const MAX_BIASES = 1024;

/**
 * How a token is chosen. Names, meanings and bounds are those of OpenAI's API (temperature, top_p, presence_penalty,
 * frequency_penalty, logit_bias, top_logprobs, seed) and of transformers' generation (top_k, min_p,
 * repetition_penalty). Without any, tokens are drawn from the model's own distribution.
 */
export const SamplingOptions = z.strictObject({
  /** 0 takes the most likely token, and then top_k, top_p, min_p and seed have no effect. */
  temperature: z.number().min(0).max(2).default(1),
  /** Only the k most likely tokens; 0: all. */
  top_k: z.int().nonnegative().default(0),
  /** Only the fewest most likely tokens that together have this probability; 1: all. */
  top_p: z.number().min(0).max(1).default(1),
  /** Only tokens at least this many times as likely as the most likely one; 0: all. */
  min_p: z.number().min(0).max(1).default(0),
  /** Above 1: positive logits of tokens that were seen are divided by it, negative ones multiplied. */
  repetition_penalty: z.number().positive().max(100).default(1),
  /** Subtracted once from the logit of each token that was generated. */
  presence_penalty: penalty,
  /** Subtracted from the logit of each token as often as it was generated. */
  frequency_penalty: penalty,
  /** Added to the logit of a token, by id. */
  logit_bias: z
    .record(
      z.string().regex(/^(0|[1-9]\d{0,8})$/, { error: "expected a token's id" }),
      z.number().min(-100).max(100),
    )
    .refine((table) => Object.keys(table).length <= MAX_BIASES, {
      error: `expected at most ${MAX_BIASES} tokens`,
    })
    .default({}),
  /** How many of the most likely tokens are told at each step. */
  top_logprobs: z.int().min(0).max(20).default(0),
  /** The same seed gives the same tokens for the same logits; absent: drawn by the system. */
  seed: z.int().optional(),
});
export type SamplingOptions = z.infer<typeof SamplingOptions>;

/** Checks options that came from outside; throws a UsageError with all problems. */
export function parseSamplingOptions(options: unknown, where = "sampling"): SamplingOptions {
  const result = SamplingOptions.safeParse(options);
  if (!result.success)
    throw new UsageError(
      `${where}: not sampling options:\n${z.prettifyError(result.error).replace(/^/gm, "  ")}`,
    );
  return result.data;
}
