import { UsageError } from "../core/errors.ts";
import type { EncodeOptions, Tokenizer } from "./tokenizer.ts";

/** `ids` with BOS and EOS as asked for; throws UsageError when the tokenizer lacks the one asked for. */
export function withEnds(
  { bosId, eosId }: Pick<Tokenizer, "bosId" | "eosId">,
  ids: number[],
  { bos = false, eos = false }: EncodeOptions,
): number[] {
  if (bos && bosId === undefined)
    throw new UsageError("encode: this tokenizer has no BOS piece, pass bos: false");
  if (eos && eosId === undefined)
    throw new UsageError("encode: this tokenizer has no EOS piece, pass eos: false");
  if (bos) ids.unshift(bosId!);
  if (eos) ids.push(eosId!);
  return ids;
}
