import { type HostTensor, i64 } from "../core/array.ts";
import { UsageError } from "../core/errors.ts";
import { MAX_TEXT_TOKENS } from "../core/text-limit.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** The published prefix of every text for InternVL-C and -G, without a space after the colon. */
export const TEXT_PREFIX = "summarize:";
/** The models derive their mask from `id > 0`: padding is 0 whatever the tokenizer's own padding piece is. */
const PAD = 0;

export interface ClipTextOptions {
  readonly prefix?: string;
  readonly maxLength?: number;
}

export interface ClipText {
  /** [B, T], T being the longest text of the batch; padded with 0 on the right. */
  readonly ids: HostTensor<"i64">;
  /** Tokens of each text, BOS and EOS included: EOS is at `lengths[i] - 1`. */
  readonly lengths: number[];
}

/**
 * Texts as InternVL-C takes them: prefix, BOS … EOS, cut on the right so that EOS stays the last token, padded on the
 * right with 0. Throws UsageError for no texts, a `maxLength` below 3, or a tokenizer without BOS or EOS.
 */
export function encodeForInternVLC(
  tokenizer: Tokenizer,
  texts: readonly string[],
  { prefix = TEXT_PREFIX, maxLength = MAX_TEXT_TOKENS }: ClipTextOptions = {},
): ClipText {
  if (texts.length === 0) throw new UsageError("encodeForInternVLC: no texts given, expected at least one");
  if (!Number.isInteger(maxLength) || maxLength < 3)
    throw new UsageError(`encodeForInternVLC: maxLength is ${maxLength}, expected an integer of at least 3`);
  const rows = texts.map((text) => {
    const ids = tokenizer.encode(prefix + text, { bos: true, eos: true });
    return ids.length <= maxLength ? ids : [...ids.slice(0, maxLength - 1), ids.at(-1)!];
  });
  const lengths = rows.map((row) => row.length);
  const longest = Math.max(...lengths);
  const padded = rows.flatMap((row) => [...row, ...new Array<number>(longest - row.length).fill(PAD)]);
  return { ids: i64([rows.length, longest], padded), lengths };
}
