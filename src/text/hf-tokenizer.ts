import { Tokenizer as Tokenizers } from "@huggingface/tokenizers";
import { z } from "zod";
import { CheckpointError, messageOf, UsageError } from "../core/errors.ts";
import type { EncodeOptions, Tokenizer } from "./tokenizer.ts";
import { MAX_ID, parseTokenizerConfig } from "./tokenizer-config.ts";
import { withEnds } from "./tokenizer-ends.ts";

const Id = z.number().int().min(0).max(MAX_ID);

/** As much of `tokenizer.json` as must be true before the library may see it. */
const TokenizerFile = z.looseObject({
  added_tokens: z.array(z.looseObject({ id: Id, content: z.string() })).default([]),
  model: z.looseObject({
    // Files of before 2020 leave it out. For a type it does not know the library would guess.
    type: z.enum(["BPE", "Unigram", "WordPiece"]).optional(),
    // A list of [piece, score] for unigram models.
    vocab: z.union([z.record(z.string(), Id), z.array(z.unknown()).max(MAX_ID)]),
  }),
  normalizer: z.unknown().default(null),
  pre_tokenizer: z.unknown().default(null),
  post_processor: z.unknown().default(null),
  decoder: z.unknown().default(null),
});

/** The part of the library's class that is used; its own type declarations do not resolve under `nodenext`. */
interface LibraryTokenizer {
  encode(text: string, options: { add_special_tokens: boolean }): { ids: number[]; tokens: string[] };
  decode(
    ids: number[],
    options: { skip_special_tokens: boolean; clean_up_tokenization_spaces: boolean },
  ): string;
  token_to_id(token: string): number | undefined;
  id_to_token(id: number): string | undefined;
  get_vocab(withAddedTokens: boolean): Map<string, number>;
}

/**
 * A `tokenizer.json` (any algorithm that `@huggingface/tokenizers` knows) behind the Tokenizer interface. Works in
 * browsers too. BOS and EOS come from `encode`'s options alone: the file's own template for them is not applied.
 */
export class HfTokenizer implements Tokenizer {
  readonly #tokenizers: LibraryTokenizer;
  readonly vocabSize: number;
  readonly bosId: number | undefined;
  readonly eosId: number | undefined;
  readonly padId: number | undefined;

  /**
   * `tokenizerJson` and `configJson` are the parsed files, untrusted. Throws CheckpointError when the library cannot use
   * them, ConfigError for a wrong tokenizer_config.json; `where` begins the message: the file's path.
   */
  constructor(tokenizerJson: unknown, configJson: unknown = {}, where = "tokenizer.json") {
    const config = parseTokenizerConfig(configJson);
    const file = TokenizerFile.safeParse(tokenizerJson);
    if (!file.success) {
      const problems = file.error.issues
        .slice(0, 5)
        .map((i) => `${i.path.join(".") || "file"}: ${i.message}`);
      throw new CheckpointError(`${where}: not a tokenizer.json: ${problems.join("; ")}`);
    }
    const { bos_token, eos_token, pad_token, unk_token } = config;
    try {
      this.#tokenizers = new Tokenizers(file.data, config) as LibraryTokenizer;
    } catch (cause) {
      throw new CheckpointError(`${where}: this tokenizer is not supported: ${messageOf(cause)}`, { cause });
    }
    let highest = -1;
    for (const id of this.#tokenizers.get_vocab(true).values()) highest = Math.max(highest, id);
    this.vocabSize = highest + 1;
    const idOf = (piece: string | undefined) => (piece === undefined ? undefined : this.tokenToId(piece));
    this.bosId = idOf(bos_token);
    this.eosId = idOf(eos_token);
    this.padId = idOf(pad_token);
    this.#checkNamed({ bos_token, eos_token, pad_token, unk_token }, where);
  }

  tokenToId(piece: string): number | undefined {
    return this.#tokenizers.token_to_id(piece);
  }

  encode(text: string, options: EncodeOptions = {}): number[] {
    const wellFormed = text.replace(/\p{Surrogate}/gu, "\ufffd");
    const { ids, tokens } = this.#tokenizers.encode(wellFormed, { add_special_tokens: false });
    const unknown = ids.findIndex((id) => !Number.isInteger(id));
    if (unknown >= 0)
      throw new UsageError(
        `encode: ${JSON.stringify(tokens[unknown])} is not in the vocabulary, and this tokenizer has no unknown piece`,
      );
    return withEnds(this, ids, options);
  }

  decode(ids: ArrayLike<number>): string {
    const list = Array.from(ids);
    const outside = list.find((id) => this.#tokenizers.id_to_token(id) === undefined);
    if (outside !== undefined)
      throw new UsageError(`decode: id ${outside} is outside the vocabulary of ${this.vocabSize} pieces`);
    if (list.length === 0) return "";
    // The library's default tidies spaces before punctuation, which no InternVL tokenizer asks for.
    return this.#tokenizers.decode(list, { skip_special_tokens: true, clean_up_tokenization_spaces: false });
  }

  #checkNamed(named: Readonly<Record<string, string | undefined>>, where: string): void {
    const missing = Object.entries(named).filter(([, piece]) => piece && this.tokenToId(piece) === undefined);
    if (missing.length > 0)
      throw new CheckpointError(
        `${where}: the vocabulary lacks ${missing.map(([k, piece]) => `${k} ${JSON.stringify(piece)}`).join(", ")}, named in tokenizer_config.json; do both files come from one model?`,
      );
  }
}
