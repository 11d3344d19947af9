import type { StreamDecoder } from "./stream-decoder.ts";

/** What the models need of a tokenizer, whatever file it came from. */
export interface Tokenizer {
  /**
   * The ids of a text. Added tokens spelled out in it (`</s>`, `<img>`) become their ids, as in the reference
   * implementations, except where `literal` says otherwise. Lone surrogates count as U+FFFD. What the vocabulary
   * cannot express becomes its unknown token, or is left out where the reference does so. Throws UsageError when BOS or
   * EOS is asked for and there is none.
   */
  encode(text: string, options?: EncodeOptions): number[];
  /** The text of ids: what `decoder` gives for them one after the other. Throws UsageError for an unknown id. */
  decode(ids: ArrayLike<number>, options?: DecodeOptions): string;
  /** Decodes ids as they come. */
  decoder(options?: DecodeOptions): StreamDecoder;
  /** The id of a token by its exact spelling in the vocabulary (`▁a`, `<0x0A>`, `</s>`); undefined when there is none. */
  idOf(token: string): number | undefined;
  /**
   * The bytes that a token stands for in a text: those of characters, or a part of one. Undefined for special tokens, for
   * ids that are none, and for vocabularies whose tokens have no bytes of their own.
   */
  bytesOf(id: number): Uint8Array | undefined;
  /** Spellings of the added tokens. */
  readonly addedTokens: ReadonlySet<string>;
  /** One more than the highest id. */
  readonly vocabSize: number;
  readonly bosId: number | undefined;
  readonly eosId: number | undefined;
  readonly padId: number | undefined;
  /** Whether the published tokenizer itself puts BOS before a text, and EOS after it: see `tokenizer-config.ts`. */
  readonly addsBos: boolean;
  readonly addsEos: boolean;
}

export interface EncodeOptions {
  /** Puts BOS before the ids, EOS after them. Default false. */
  readonly bos?: boolean;
  readonly eos?: boolean;
  /**
   * Where added tokens are text like any other: everywhere (true), or in ranges [start, end) of the text in UTF-16
   * units, ascending. A token that touches such a range is not recognised, so that nobody's words become a marker, and
   * the ids of everything else stay those of the whole text. Default false.
   */
  readonly literal?: boolean | readonly (readonly [start: number, end: number])[];
}

export interface DecodeOptions {
  /**
   * Leaves out special tokens: all (true, the default), none (false), or those for which the predicate holds. Added
   * tokens that are not special are part of the text and always stay.
   */
  readonly skipSpecial?: boolean | ((token: string) => boolean);
}
