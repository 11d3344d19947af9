import type { AddedToken } from "./added-tokens.ts";
import { ComposedTokenizer, type Ends, type Vocabulary } from "./composed-tokenizer.ts";
import { SentencePieceBpe } from "./sentencepiece-bpe.ts";
import { type SentencePieceModel, SPACE } from "./sentencepiece-model.ts";
import type { Tokenizer } from "./tokenizer.ts";

export interface SentencePieceTokenizerOptions {
  /** Added tokens beside the model's unknown and control pieces; their ids may lie beyond the model's or replace a piece. */
  readonly added?: readonly AddedToken[];
  /** Default: the model's own BOS, EOS and padding, if it has them, and none put around a text. */
  readonly ends?: { readonly [K in keyof Ends]?: Ends[K] | undefined };
  /**
   * Whether the text after an added token begins with the model's dummy space as the text itself does: `true` is the
   * published behaviour (`legacy`) and the default.
   */
  readonly prefixAfterAdded?: boolean;
  /** Where that is `false`: the added tokens that a text may begin with without the dummy space. Default: all. */
  readonly markers?: ReadonlySet<string>;
  /** Begins messages. Default `tokenizer.model`. */
  readonly where?: string;
}

/**
 * A SentencePiece model with added tokens in the text, as the Python ("slow") tokenizers of the published repositories
 * do it, with which the models were trained: the text between added tokens is encoded piece by piece. The ids are those of
 * `LlamaTokenizer` in transformers 4.37.2, either way (384 texts with added tokens of every kind).
 *
 * - `LlamaTokenizer` with `legacy: true` (its default) encodes every piece as a text of its own: each gets the model's
 *   dummy space. With `legacy: false` (Phi-3) only a text gets one, unless it begins with an added token that the
 *   configuration names as a marker: what `added_tokens_decoder` alone calls special, as Phi-3's `<|user|>`, is none.
 * - InternLM2's own class encodes every piece as a text of its own too; its model has no dummy space.
 * - Yi-Hermes is a LLaMA tokenizer that adds no BOS. The model file and the configuration say all of this.
 *
 * Decoding takes the dummy space off again where encoding put it, so that a text is what it was.
 *
 * DIFFERS: the Python classes put spaces around added tokens when they decode; nothing is put here, so that
 * `<ref>cat</ref>` stays what the model wrote. `sentencepiece-tokenizer.test.ts` pins it.
 */
export function sentencePieceTokenizer(
  model: SentencePieceModel,
  {
    added = [],
    ends = {},
    prefixAfterAdded = true,
    markers,
    where = "tokenizer.model",
  }: SentencePieceTokenizerOptions = {},
): Tokenizer {
  const taken = new Set(added.map((token) => token.id));
  const named = new Set(added.map((token) => token.content));
  const flags = { special: true, lstrip: false, rstrip: false, singleWord: false, normalized: false };
  const own = model.pieces.flatMap(({ piece, type }, id) =>
    (type === "unknown" || type === "control") && !taken.has(id) && !named.has(piece)
      ? [{ content: piece, id, ...flags }]
      : [],
  );
  return new ComposedTokenizer(
    new SentencePieceVocabulary(new SentencePieceBpe(model), prefixAfterAdded, markers),
    [...own, ...added],
    {
      bos: ends.bos ?? model.bosPiece,
      eos: ends.eos ?? model.eosPiece,
      pad: ends.pad ?? model.padPiece,
      addsBos: ends.addsBos ?? false,
      addsEos: ends.addsEos ?? false,
    },
    where,
  );
}

class SentencePieceVocabulary implements Vocabulary {
  readonly normalize = undefined;

  constructor(
    readonly bpe: SentencePieceBpe,
    readonly prefixAfterAdded: boolean,
    readonly markers: ReadonlySet<string> | undefined,
  ) {}

  get size() {
    return this.bpe.model.pieces.length;
  }

  idOf(token: string) {
    return this.bpe.idOf(token);
  }

  has(id: number) {
    return this.bpe.model.pieces[id] !== undefined;
  }

  encode(text: string, atStart: boolean) {
    return this.bpe.encode(text, { dummyPrefix: atStart || this.prefixAfterAdded });
  }

  before({ content }: AddedToken) {
    const isFree = this.prefixAfterAdded || this.markers === undefined || this.markers.has(content);
    return isFree ? undefined : this.bpe.idOf(SPACE);
  }

  stream() {
    return this.bpe.stream({ afterAdded: this.prefixAfterAdded });
  }
}
