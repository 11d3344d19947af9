import { SentencePieceBpe } from "./sentencepiece-bpe.ts";
import type { SentencePieceModel } from "./sentencepiece-model.ts";
import type { EncodeOptions, Tokenizer } from "./tokenizer.ts";
import { withEnds } from "./tokenizer-ends.ts";

/** A piece that is recognised by its literal spelling, before any merging. */
export interface SpecialPiece {
  readonly id: number;
  /** Whitespace before or after it is dropped. */
  readonly lstrip?: boolean;
  readonly rstrip?: boolean;
}

export interface SentencePieceTokenizerOptions {
  /** Special pieces by spelling, beside the model's unknown and control pieces; ids may lie beyond the model's. */
  readonly special?: ReadonlyMap<string, SpecialPiece>;
  /** BOS, EOS and padding by spelling; default: the model's own, if it has them. */
  readonly bosPiece?: string;
  readonly eosPiece?: string;
  readonly padPiece?: string;
  /**
   * Whether the text after a special piece begins with the model's dummy space as the text itself does: `true` is the
   * published behaviour (`legacy`) and the default.
   */
  readonly prefixAfterSpecial?: boolean;
}

/** A `tokenizer.model` behind the Tokenizer interface: SentencePiece's BPE plus special pieces inside the text. */
export class SentencePieceTokenizer implements Tokenizer {
  readonly #bpe: SentencePieceBpe;
  readonly #special: ReadonlyMap<string, SpecialPiece>;
  readonly #specialIds: ReadonlySet<number>;
  readonly #pattern: RegExp;
  readonly #prefixAfterSpecial: boolean;
  readonly vocabSize: number;
  readonly bosId: number | undefined;
  readonly eosId: number | undefined;
  readonly padId: number | undefined;

  constructor(model: SentencePieceModel, options: SentencePieceTokenizerOptions = {}) {
    this.#bpe = new SentencePieceBpe(model);
    const special = new Map<string, SpecialPiece>();
    for (const [id, { piece, type }] of model.pieces.entries())
      if (type === "unknown" || type === "control") special.set(piece, { id });
    for (const [piece, entry] of options.special ?? []) special.set(piece, entry);
    this.#special = special;
    this.#specialIds = new Set([...special.values()].map((s) => s.id));
    const longestFirst = [...special.keys()].sort((a, b) => b.length - a.length);
    this.#pattern = new RegExp(
      `(${longestFirst.map((s) => s.replace(/[^\p{L}\p{N}]/gu, "\\$&")).join("|")})`,
    );
    this.#prefixAfterSpecial = options.prefixAfterSpecial ?? true;
    let size = model.pieces.length;
    for (const id of this.#specialIds) size = Math.max(size, id + 1);
    this.vocabSize = size;
    this.bosId = this.tokenToId(options.bosPiece ?? model.bosPiece);
    this.eosId = this.tokenToId(options.eosPiece ?? model.eosPiece);
    this.padId = this.tokenToId(options.padPiece ?? model.padPiece);
  }

  tokenToId(piece: string): number | undefined {
    return this.#special.get(piece)?.id ?? this.#bpe.idOf(piece);
  }

  encode(text: string, options: EncodeOptions = {}): number[] {
    const ids: number[] = [];
    // Every second part is a special piece: that is what split does with a captured separator.
    const parts = text.split(this.#pattern);
    for (const [i, part] of parts.entries()) {
      if (i % 2 === 1) ids.push(this.#special.get(part)!.id);
      else {
        let chunk = part;
        if (this.#special.get(parts[i + 1] ?? "")?.lstrip) chunk = chunk.trimEnd();
        if (this.#special.get(parts[i - 1] ?? "")?.rstrip) chunk = chunk.trimStart();
        const dummyPrefix = i === 0 || this.#prefixAfterSpecial;
        for (const id of this.#bpe.encode(chunk, { dummyPrefix })) ids.push(id);
      }
    }
    return withEnds(this, ids, options);
  }

  decode(ids: ArrayLike<number>): string {
    return this.#bpe.decode(Array.from(ids).filter((id) => !this.#specialIds.has(id)));
  }
}
