import { SPACE } from "./sentencepiece-model.ts";
import { decodeUtf8Prefix } from "./utf8.ts";

/**
 * Ids to text one at a time. All pieces joined are the text of all ids, exactly; no piece ends inside a character, so
 * that each is valid UTF-8 by itself. Time per id does not depend on how many came before.
 */
export interface StreamDecoder {
  /** The text that this id settles; "" while bytes of a character are missing. Throws UsageError for an unknown id. */
  push(id: number): string;
  /** What was held back: an unfinished character is U+FFFD. The decoder then begins anew. */
  end(): string;
}

/** A vocabulary's own way from tokens to text, under a tokenizer that knows about added tokens. */
export interface TokenStream {
  /** A token of the vocabulary. */
  token(id: number): string;
  /** An added token that is kept, with its spelling. */
  added(id: number, text: string): string;
  end(): string;
  /** The bytes that a token of the vocabulary stands for, wherever it is; undefined where tokens have none. */
  bytesOf(id: number): Uint8Array | undefined;
}

/**
 * Tokens that are bytes. Bytes that are no UTF-8 become U+FFFD as everywhere (one for each maximal part).
 *
 * DIFFERS: an added token is the text that it is, as in the Python ("slow") tokenizers; the Rust ones read its characters
 * as bytes, so that `<é>` becomes `<\ufffd>`. `stream-decoder.test.ts` pins it.
 */
export class ByteStream implements TokenStream {
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });

  constructor(readonly bytesOf: (id: number) => Uint8Array) {}

  token(id: number): string {
    return this.#decoder.decode(this.bytesOf(id), { stream: true });
  }

  added(_: number, text: string): string {
    return this.end() + text;
  }

  end(): string {
    return this.#decoder.decode();
  }
}

/** What a SentencePiece token is: text in which `▁` stands for a space, or a single byte. */
export type PieceText = string | number;

export interface PieceStreamOptions {
  /** Whether the first space of a text is the one that encoding put there, or all of the first spaces are. */
  readonly leadingSpace: "keep" | "drop-one" | "drop-all";
  /** Whether encoding put a space after an added token too. */
  readonly afterAdded: boolean;
}

/**
 * SentencePiece's tokens: text, and bytes that are characters together. Each byte that belongs to none is one U+FFFD, as
 * google/sentencepiece decodes them.
 *
 * DIFFERS: the decoders of `tokenizer.json` for such vocabularies replace all bytes of a run when one of them is wrong,
 * which nobody can stream; `hf-tokenizer.test.ts` pins it.
 */
export class PieceStream implements TokenStream {
  #bytes: number[] = [];
  #atStart: boolean;

  constructor(
    readonly textOf: (id: number) => PieceText,
    readonly options: PieceStreamOptions,
  ) {
    this.#atStart = options.leadingSpace !== "keep";
  }

  token(id: number): string {
    const piece = this.textOf(id);
    if (typeof piece === "number") {
      this.#bytes.push(piece);
      const { text, length } = decodeUtf8Prefix(this.#bytes);
      this.#bytes.splice(0, length);
      return this.#settled(text);
    }
    const before = this.#flush();
    const strip = this.#atStart && piece.startsWith(SPACE);
    if (strip && this.options.leadingSpace === "drop-one") this.#atStart = false;
    return before + this.#settled(piece.slice(strip ? 1 : 0).replaceAll(SPACE, " "));
  }

  added(_: number, text: string): string {
    const before = this.#flush();
    this.#atStart = this.options.afterAdded && this.options.leadingSpace !== "keep";
    return before + text;
  }

  bytesOf(id: number): Uint8Array {
    const piece = this.textOf(id);
    if (typeof piece === "number") return Uint8Array.of(piece);
    return new TextEncoder().encode(piece.replaceAll(SPACE, " "));
  }

  /** Ends a run of bytes. */
  #flush(): string {
    const text = decodeUtf8Prefix(this.#bytes, true).text;
    this.#bytes = [];
    return this.#settled(text);
  }

  end(): string {
    const text = this.#flush();
    this.#atStart = this.options.leadingSpace !== "keep";
    return text;
  }

  #settled(text: string): string {
    if (text !== "") this.#atStart = false;
    return text;
  }
}

/**
 * Any other way to decode, of which only the whole is known: all text comes at the end. No InternVL model has such a
 * tokenizer.
 */
export class WholeStream implements TokenStream {
  #ids: number[] = [];

  constructor(readonly decodeAll: (ids: number[]) => string) {}

  token(id: number): string {
    this.#ids.push(id);
    return "";
  }

  added(id: number): string {
    return this.token(id);
  }

  bytesOf(): undefined {}

  end(): string {
    const ids = this.#ids;
    this.#ids = [];
    return ids.length === 0 ? "" : this.decodeAll(ids);
  }
}
