import { z } from "zod";
import { CheckpointError } from "../core/errors.ts";

/** How GPT-2 cuts a text into words (openai/gpt-2, encoder.py). */
export const GPT2_WORDS =
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/** A step that makes each match of a regular expression (Oniguruma's dialect) and what lies between them a word. */
export const splitBy = (regex: string) => ({
  type: "Split",
  pattern: { Regex: regex },
  behavior: "Isolated",
  invert: false,
});

const Step = z.looseObject({ type: z.string() });

/** A pre-tokenizer, ready for the library. */
export interface WordSteps {
  /** What cuts a text into words: JSON of a pre-tokenizer, null when the text is one word. */
  readonly words: unknown;
  /** Words are then written as bytes (`byte-alphabet.ts`). */
  readonly bytes: boolean;
  /** A space is put before a text that begins with none. */
  readonly prefixSpace: boolean;
}

function flatten(json: unknown, where: string): z.infer<typeof Step>[] {
  if (json === null || json === undefined) return [];
  const step = Step.safeParse(json);
  if (!step.success) throw new CheckpointError(`${where}: its pre_tokenizer is not an object with a type`);
  if (step.data.type !== "Sequence") return [step.data];
  const parts = z.array(z.unknown()).safeParse(step.data.pretokenizers);
  return (parts.success ? parts.data : []).flatMap((part) => flatten(part, where));
}

/**
 * Takes the pre-tokenizer of a `tokenizer.json` apart: bytes are written by us, word by word; GPT-2's own cutting and
 * that of digits become regular expressions, because the library's differ from the reference outside ASCII (checked
 * with version 0.1). Throws CheckpointError for what the library would get wrong without a word.
 */
export function wordSteps(json: unknown, where: string): WordSteps {
  const steps = flatten(json, where);
  const refuse = (what: string): never => {
    throw new CheckpointError(`${where}: this tokenizer is not supported: ${what}`);
  };
  const words: unknown[] = [];
  let bytes = false;
  let prefixSpace = false;
  for (const [i, step] of steps.entries()) {
    if (step.type === "Digits") words.push(splitBy(step.individual_digits ? "\\p{N}" : "\\p{N}+"));
    else if (step.type === "Split" && !/^(isolated|removed)$/i.test(String(step.behavior ?? "isolated")))
      refuse(`a Split with the behavior ${step.behavior}`);
    else if (step.type !== "ByteLevel") words.push(step);
    else {
      if (i + 1 < steps.length) refuse("ByteLevel is not the last step of its pre_tokenizer");
      bytes = true;
      prefixSpace = step.add_prefix_space === true;
      if (prefixSpace && i > 0) refuse("ByteLevel adds a space to each of several words");
      if (step.use_regex !== false) words.push(splitBy(GPT2_WORDS));
    }
  }
  return {
    words: words.length === 0 ? null : { type: "Sequence", pretokenizers: words },
    bytes,
    prefixSpace,
  };
}
