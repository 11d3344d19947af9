/** What the models need of a tokenizer, whatever file it came from. */
export interface Tokenizer {
  /**
   * The ids of a text. `bos` and `eos` (default false) add those pieces around it; throws UsageError when the tokenizer
   * has none. Special pieces spelled out in the text (`</s>`) become their ids, as in the reference implementations.
   */
  encode(text: string, options?: EncodeOptions): number[];
  /** The text of ids, without special pieces. Throws UsageError for an id outside the vocabulary. */
  decode(ids: ArrayLike<number>): string;
  /** One more than the highest id. */
  readonly vocabSize: number;
  readonly bosId: number | undefined;
  readonly eosId: number | undefined;
  readonly padId: number | undefined;
  /** The id of a piece by its exact spelling in the vocabulary (`▁a`, `<0x0A>`, `</s>`). */
  tokenToId(piece: string): number | undefined;
}

export interface EncodeOptions {
  readonly bos?: boolean;
  readonly eos?: boolean;
}
