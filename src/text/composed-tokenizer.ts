import { CheckpointError, UsageError } from "../core/errors.ts";
import { type AddedToken, AddedTokenFinder, type Ranges } from "./added-tokens.ts";
import type { StreamDecoder, TokenStream } from "./stream-decoder.ts";
import type { DecodeOptions, EncodeOptions, Tokenizer } from "./tokenizer.ts";
import { wellFormed } from "./utf8.ts";

/** What differs from one kind of tokenizer to another: everything between the added tokens. */
export interface Vocabulary {
  /** One more than the highest id. */
  readonly size: number;
  idOf(token: string): number | undefined;
  has(id: number): boolean;
  /** The form of a text that `encode` takes; undefined when it takes every text as it is. */
  readonly normalize: ((text: string) => string) | undefined;
  /** The ids of a normalised text that holds no added token. `atStart`: nothing stands before it, no added token either. */
  encode(text: string, atStart: boolean): readonly number[];
  /** The id that comes before an added token with which a text begins, where there is one. */
  before?(token: AddedToken): number | undefined;
  stream(): TokenStream;
}

/** BOS, EOS and padding by spelling, and whether the published tokenizer puts the first two around every text. */
export interface Ends {
  readonly bos: string | undefined;
  readonly eos: string | undefined;
  readonly pad: string | undefined;
  readonly addsBos: boolean;
  readonly addsEos: boolean;
}

/** A vocabulary with its added tokens: the one implementation of Tokenizer. */
export class ComposedTokenizer implements Tokenizer {
  readonly #byContent = new Map<string, AddedToken>();
  readonly #byId = new Map<number, AddedToken>();
  readonly #raw: AddedTokenFinder;
  readonly #normalized: AddedTokenFinder;
  #stream: TokenStream | undefined;
  readonly addedTokens: ReadonlySet<string>;
  readonly vocabSize: number;
  readonly bosId: number | undefined;
  readonly eosId: number | undefined;
  readonly padId: number | undefined;
  readonly addsBos: boolean;
  readonly addsEos: boolean;

  /**
   * Added tokens may lie inside the vocabulary or beyond it. Throws CheckpointError when two of them share an id, or a
   * text is to begin or end with a token that is not there; `where` begins the message.
   */
  constructor(
    readonly vocabulary: Vocabulary,
    added: Iterable<AddedToken>,
    ends: Ends,
    where: string,
  ) {
    for (const token of added) {
      const other = this.#byId.get(token.id);
      if (other !== undefined)
        throw new CheckpointError(
          `${where}: the added tokens ${JSON.stringify(other.content)} and ${JSON.stringify(token.content)} have the same id ${token.id}`,
        );
      this.#byContent.set(token.content, token);
      this.#byId.set(token.id, token);
    }
    this.addedTokens = new Set(this.#byContent.keys());
    const { normalize } = vocabulary;
    const inNormalized = (token: AddedToken) => token.normalized && normalize !== undefined;
    const all = [...this.#byContent.values()];
    this.#raw = new AddedTokenFinder(all.filter((token) => !inNormalized(token)));
    this.#normalized = new AddedTokenFinder(all.filter(inNormalized), ({ content }) => normalize!(content));
    this.vocabSize = Math.max(vocabulary.size, ...all.map((token) => token.id + 1));
    const idOf = (token: string | undefined) => (token === undefined ? undefined : this.idOf(token));
    this.bosId = idOf(ends.bos);
    this.eosId = idOf(ends.eos);
    this.padId = idOf(ends.pad);
    this.addsBos = ends.addsBos;
    this.addsEos = ends.addsEos;
    const lacking = [
      this.addsBos && this.bosId === undefined && "BOS",
      this.addsEos && this.eosId === undefined && "EOS",
    ];
    if (lacking.some(Boolean))
      throw new CheckpointError(
        `${where}: its texts have ${lacking.filter(Boolean).join(" and ")} around them, but the vocabulary has no such token`,
      );
  }

  idOf(token: string): number | undefined {
    return this.#byContent.get(token)?.id ?? this.vocabulary.idOf(token);
  }

  bytesOf(id: number): Uint8Array | undefined {
    const token = this.#byId.get(id);
    if (token !== undefined) return token.special ? undefined : new TextEncoder().encode(token.content);
    this.#stream ??= this.vocabulary.stream();
    return this.vocabulary.has(id) ? this.#stream.bytesOf(id) : undefined;
  }

  encode(text: string, { bos = false, eos = false, literal = false }: EncodeOptions = {}): number[] {
    if (bos && this.bosId === undefined)
      throw new UsageError("encode: this tokenizer has no BOS token, pass bos: false");
    if (eos && this.eosId === undefined)
      throw new UsageError("encode: this tokenizer has no EOS token, pass eos: false");
    const whole = wellFormed(text);
    const ids: number[] = [];
    if (bos) ids.push(this.bosId!);
    const ranges: Ranges = literal === true ? [[0, whole.length]] : literal === false ? [] : literal;
    let isFirst = true;
    for (const part of this.#raw.split(whole, ranges)) {
      if (part.token === undefined) this.#encodeBetween(ids, whole, part, ranges);
      else {
        const before = isFirst ? this.vocabulary.before?.(part.token) : undefined;
        ids.push(...(before === undefined ? [] : [before]), part.token.id);
      }
      isFirst = false;
    }
    if (eos) ids.push(this.eosId!);
    return ids;
  }

  /** Encodes a part in which added tokens may still be found once it is normalised. */
  #encodeBetween(
    ids: number[],
    whole: string,
    { start, end }: { start: number; end: number },
    ranges: Ranges,
  ): void {
    const { normalize } = this.vocabulary;
    const raw = whole.slice(start, end);
    const text = normalize === undefined ? raw : normalize(raw);
    if (this.#normalized.isEmpty) {
      for (const id of this.vocabulary.encode(text, start === 0)) ids.push(id);
      return;
    }
    // Where a place of the text is in its normalised form: behind the normalised form of what stands before it.
    const place = (at: number) => normalize!(raw.slice(0, Math.max(0, at - start))).length;
    const literal = ranges
      .filter(([from, to]) => from < end && to > start)
      .map(([from, to]) => [place(from), Math.min(place(to), text.length)] as const);
    for (const part of this.#normalized.split(text, literal)) {
      if (part.token !== undefined) ids.push(part.token.id);
      else
        for (const id of this.vocabulary.encode(
          text.slice(part.start, part.end),
          start === 0 && part.start === 0,
        ))
          ids.push(id);
    }
  }

  decode(ids: ArrayLike<number>, options: DecodeOptions = {}): string {
    const decoder = this.decoder(options);
    const parts: string[] = [];
    for (let i = 0; i < ids.length; i++) parts.push(decoder.push(ids[i]!));
    parts.push(decoder.end());
    return parts.join("");
  }

  decoder({ skipSpecial = true }: DecodeOptions = {}): StreamDecoder {
    const stream = this.vocabulary.stream();
    const skips = typeof skipSpecial === "boolean" ? () => skipSpecial : skipSpecial;
    return {
      push: (id) => {
        const token = this.#byId.get(id);
        if (token !== undefined)
          return token.special && skips(token.content) ? "" : stream.added(id, token.content);
        if (!this.vocabulary.has(id))
          throw new UsageError(`decode: id ${id} is outside the vocabulary of ${this.vocabSize} pieces`);
        return stream.token(id);
      },
      end: () => stream.end(),
    };
  }
}
