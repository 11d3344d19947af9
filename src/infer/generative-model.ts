import { UsageError } from "../core/errors.ts";
import { type ChatMessage, type ContentPart, partsOf } from "../text/conversation.ts";
import { encodePrompt } from "../text/encode-prompt.ts";
import {
  CONTENT_TAGS,
  expandImages,
  IMAGE_TOKENS,
  type Prompt as TextPrompt,
  type TextSegment,
} from "../text/prompt-segments.ts";
import { type ReplySplitter, replySplitter } from "../text/reply.ts";
import { StopStrings } from "../text/stop-strings.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import type { RgbImage } from "../vision/image.ts";
import { limitTiles } from "../vision/tile-budget.ts";
import { countTiles, planTiles, type Tiling } from "../vision/tiling.ts";
import { Batch } from "./batch.ts";
import type { GrammarSymbol } from "./byte-grammar.ts";
import type { PositionKey } from "./cache-rows.ts";
import type {
  ChatChunk,
  ChatMessages,
  ChatModel,
  ChatOptions,
  FinishReason,
  TokenDetail,
} from "./chat-model.ts";
import type { Decoder } from "./decoder.ts";
import { generate } from "./generate.ts";
import { JsonConstraint } from "./json-constraint.ts";
import { jsonObjectGrammar, jsonSchemaGrammar } from "./json-schema.ts";
import { type PictureEncoder, type PictureTokens, placePictures } from "./picture-tokens.ts";
import { type ChosenToken, createSampler, type TokenLogprob } from "./sampling.ts";
import { parseSamplingOptions, type SamplingOptions } from "./sampling-options.ts";
import type { Prompt } from "./sequence.ts";
import { TokenHistory } from "./token-history.ts";
import { TokenTrie } from "./token-trie.ts";

/** What a chat model is put together from. What is disposable stays the caller's. */
export interface GenerativeParts {
  readonly id: string;
  readonly tokenizer: Tokenizer;
  readonly decoder: Decoder;
  /** Tokens of a conversation and its answer together. */
  readonly contextLength: number;
  /** The prompt of a conversation; absent for models that only continue texts. */
  readonly compose?: <P>(messages: readonly ChatMessage<P>[]) => TextPrompt<P>;
  /** Name of the chat template: it says how answers are marked. */
  readonly template: string;
  /** Spellings that end an answer. */
  readonly stop: readonly string[];
  /** Ids that end an answer besides those that `stop` spells. */
  readonly stopIds: readonly number[];
  /** Whether the repetition penalty counts the prompt: not where the published code gives the model embeddings. */
  readonly penalizesPrompt: boolean;
  /** How pictures are seen; absent for models of text alone. */
  readonly pictures?: {
    readonly encoder: PictureEncoder;
    readonly tiling: Tiling;
    tile(image: RgbImage, tiling: Tiling): Promise<readonly RgbImage[]>;
  };
  /** Answers that are made at the same time, and conversations whose computed beginnings are kept. */
  readonly batch: number;
}

interface Settings {
  readonly sampling: SamplingOptions;
  /** What the answer is kept to. */
  readonly grammar?: GrammarSymbol;
}

/** A picture and how many tiles it may have. */
interface Planned {
  readonly image: RgbImage;
  readonly maxTiles: number;
}

/** A prompt as the decoder takes it. */
interface ReadyPrompt extends Prompt {
  /** What stands at each position, for finding it again. */
  readonly keys: readonly PositionKey[];
}

/** Tokens of an answer that are written out although they are special. */
const KEPT_TOKENS: ReadonlySet<string> = new Set([
  ...CONTENT_TAGS,
  ...["<|start|>", "<|channel|>", "<|constrain|>", "<|message|>", "<|end|>", "<|return|>", "<|call|>"],
]);

/** A decoder with its tokenizer, its prompts and, where it has one, its eyes. */
export class GenerativeModel implements ChatModel {
  readonly id: string;
  readonly contextLength: number;
  readonly concurrency: number;
  readonly #batch: Batch;
  readonly #stopIds: ReadonlySet<number>;
  /** Stop spellings that are several tokens. */
  readonly #stopTexts: readonly string[];
  /** Bits of the ids that the tokenizer knows, where the model has logits for more. */
  readonly #known: Uint32Array | undefined;
  /** Ends what is still answered when the model is released. */
  readonly #closing = new AbortController();
  /** The vocabulary's bytes, made for the first constrained answer. */
  #trie: Promise<TokenTrie> | undefined;

  constructor(readonly parts: GenerativeParts) {
    const { tokenizer, stop, stopIds, decoder, contextLength } = parts;
    this.id = parts.id;
    this.contextLength = contextLength;
    this.concurrency = parts.batch;
    this.#batch = new Batch(decoder, parts.batch, contextLength);
    this.#stopIds = new Set([...stop.flatMap((text) => tokenizer.idOf(text) ?? []), ...stopIds]);
    this.#stopTexts = stop.filter((text) => tokenizer.idOf(text) === undefined);
    if (tokenizer.vocabSize < decoder.shape.vocab_size) {
      this.#known = new Uint32Array(Math.ceil(tokenizer.vocabSize / 32)).fill(0xffffffff);
      const over = tokenizer.vocabSize % 32;
      if (over > 0) this.#known[this.#known.length - 1] = 2 ** over - 1;
    }
  }

  async *chat(messages: ChatMessages, given: ChatOptions = {}): AsyncGenerator<ChatChunk> {
    const options = this.#whileOpen(given);
    const { compose } = this.parts;
    if (!compose)
      throw new UsageError(
        `${this.id}: it continues texts and has no chat template; use complete instead of chat`,
      );
    const settings = this.#settings(options);
    const prompt = await this.#prepare(compose(this.#plan(messages, options.maxTiles)), options.signal);
    const splitter = settings.grammar ? () => PLAIN : () => replySplitter(this.parts.template);
    yield* this.#answers(prompt, settings, options, splitter);
  }

  async *complete(prompt: string, given: ChatOptions = {}): AsyncGenerator<ChatChunk> {
    const options = this.#whileOpen(given);
    const settings = this.#settings(options);
    const segments = [{ text: prompt, special: false }];
    const ids = encodePrompt(this.parts.tokenizer, segments);
    if (ids.length === 0) throw new UsageError(`${this.id}: the prompt is empty; give it at least a word`);
    this.#checkIds(ids);
    yield* this.#answers({ ids, keys: ids }, settings, options, () => PLAIN);
  }

  /** Options with a signal that is the model's end as well. Throws where that has come. */
  #whileOpen(options: ChatOptions): ChatOptions & { readonly signal: AbortSignal } {
    const { signal: closing } = this.#closing;
    closing.throwIfAborted();
    // A signal of each answer's own: runs listen to it, and those of many answers would crowd one.
    const signals = options.signal ? [options.signal, closing] : [closing];
    return { ...options, signal: AbortSignal.any(signals) };
  }

  /** Checks the options. */
  #settings(options: ChatOptions): Settings {
    const { maxTokens, stop, n = 1, maxTiles, responseFormat, signal: _, ...sampling } = options;
    const whole = { maxTokens, n, maxTiles };
    for (const [name, value] of Object.entries(whole))
      if (value !== undefined && !(Number.isSafeInteger(value) && value >= 1))
        throw new UsageError(`chat: ${name} is ${value}; give a whole number of at least 1`);
    if (stop?.includes("")) throw new UsageError("chat: a stop text is empty, which every text contains");
    const grammar =
      responseFormat?.type === "json_schema"
        ? jsonSchemaGrammar(responseFormat.schema)
        : responseFormat && jsonObjectGrammar;
    return { sampling: parseSamplingOptions(sampling, "chat"), ...(grammar && { grammar }) };
  }

  /** Follows one constrained text: the mask of what may come next, and the token that came. */
  async #constrain(grammar: GrammarSymbol): Promise<{ allowed(): Uint32Array; advance(id: number): void }> {
    const { tokenizer, decoder } = this.parts;
    this.#trie ??= TokenTrie.build(decoder.shape.vocab_size, (id) => tokenizer.bytesOf(id));
    const constraint = new JsonConstraint(grammar, await this.#trie, this.#stopIds);
    let state = constraint.start;
    return {
      allowed: () => constraint.allowed(state),
      advance: (id) => {
        state = constraint.advance(state, id);
      },
    };
  }

  /** Pictures of one message share its tiles, but for those that bring their own number; frames of a video have one each. */
  #plan(messages: ChatMessages, maxTiles?: number): ChatMessage<Planned>[] {
    const { pictures } = this.parts;
    const max = maxTiles ?? pictures?.tiling.max_dynamic_patch ?? 1;
    return messages.map((message) => {
      // Templates of models of text alone know no parts.
      if (typeof message.content === "string") return { role: message.role, content: message.content };
      const parts = partsOf(message);
      const sharing = parts.filter((p) => p.type === "image" && p.maxTiles === undefined).length;
      if (!pictures && parts.some((p) => p.type !== "text"))
        throw new UsageError(
          `${this.id}: it sees no pictures; leave them out or take a vision-language model`,
        );
      const content = parts.map((part): ContentPart<Planned> => {
        if (part.type === "text") return part;
        if (part.type === "video")
          return { type: "video", frames: part.frames.map((image) => ({ image, maxTiles: 1 })) };
        const own = part.maxTiles ?? Math.max(1, Math.floor(max / sharing));
        if (!(Number.isSafeInteger(own) && own >= 1))
          throw new UsageError(`chat: maxTiles of a picture is ${own}; give a whole number of at least 1`);
        return { type: "image", image: { image: part.image, maxTiles: own } };
      });
      return { role: message.role, content };
    });
  }

  /** Finds the ids of a prompt and sees its pictures, once it is known that they have room. */
  async #prepare(prompt: TextPrompt<Planned>, signal?: AbortSignal): Promise<ReadyPrompt> {
    const { tokenizer, pictures } = this.parts;
    if (!pictures || prompt.blocks.length === 0) {
      const ids = encodePrompt(tokenizer, prompt.segments as TextSegment[]);
      this.#checkIds(ids);
      return { ids, keys: ids };
    }
    const tilings = prompt.blocks.map((block) =>
      block.map(({ image, maxTiles }) => ({ image, tiling: limitTiles(pictures.tiling, maxTiles) })),
    );
    const tilesOf = ({ image, tiling }: { readonly image: RgbImage; readonly tiling: Tiling }) =>
      countTiles(planTiles(image.width, image.height, tiling));
    const counts = tilings.map((block) => block.reduce((sum, picture) => sum + tilesOf(picture), 0));
    const { tokensPerTile } = pictures.encoder.model;
    const ids = encodePrompt(tokenizer, expandImages(prompt, counts, { tokensPerTile }));
    this.#checkIds(ids);
    const contextId = tokenizer.idOf(IMAGE_TOKENS.context);
    const places = ids.filter((id) => id === contextId).length;
    const tokens = tokensPerTile * counts.reduce((sum, tiles) => sum + tiles, 0);
    if (places !== tokens)
      throw new UsageError(
        `${this.id}: ${tokens} image tokens have ${places} places in the prompt; its tokenizer does not know ${IMAGE_TOKENS.context}`,
      );
    const seen: PictureTokens[] = [];
    for (const { image, tiling } of tilings.flat()) {
      signal?.throwIfAborted();
      const tiles = await pictures.tile(image, tiling);
      seen.push(await pictures.encoder.encode(tiles, signal ? { signal } : {}));
    }
    return { ids, ...placePictures(ids, contextId!, seen) };
  }

  /** Throws a UsageError for a prompt that the model cannot take. */
  #checkIds(ids: readonly number[]): void {
    const { vocab_size } = this.parts.decoder.shape;
    const foreign = ids.find((id) => id >= vocab_size);
    if (foreign !== undefined)
      throw new UsageError(
        `${this.id}: its tokenizer gives the id ${foreign}, the model has ids below ${vocab_size}; put the model's own tokenizer beside its weights`,
      );
    if (ids.length >= this.contextLength)
      throw new UsageError(
        `${this.id}: the conversation takes ${ids.length} tokens, the context holds ${this.contextLength} with the answer; shorten it, or send fewer pictures or tiles`,
      );
  }

  /** All answers, and what they took. */
  async *#answers(
    prompt: ReadyPrompt,
    settings: Settings,
    options: ChatOptions & { readonly signal: AbortSignal },
    splitter: () => ReplySplitter,
  ): AsyncGenerator<ChatChunk> {
    const { n = 1 } = options;
    const usage = { promptTokens: prompt.ids.length, cachedTokens: 0, completionTokens: 0 };
    const over = new AbortController();
    const own = { ...options, signal: AbortSignal.any([options.signal, over.signal]) };
    const answers = Array.from({ length: n }, (_, i) => this.#answer(prompt, settings, own, i, splitter()));
    let open = n;
    for await (const { cachedTokens, ...chunk } of inTurn(answers, over)) {
      usage.completionTokens += chunk.tokens.length;
      if (cachedTokens !== undefined && chunk.index === 0) usage.cachedTokens = cachedTokens;
      if (chunk.finishReason !== undefined) open--;
      yield open === 0 ? { ...chunk, usage } : chunk;
    }
  }

  async *#answer(
    { ids, keys, images }: ReadyPrompt,
    { sampling, grammar }: Settings,
    { maxTokens, stop = [], signal }: ChatOptions,
    index: number,
    splitter: ReplySplitter,
  ): AsyncGenerator<ChatChunk & { readonly cachedTokens?: number }> {
    const { tokenizer, penalizesPrompt } = this.parts;
    const constrained = grammar && (await this.#constrain(grammar));
    const allowed = constrained?.allowed ?? (this.#known && (() => this.#known!));
    const sequence = await this.#batch.join(keys, signal ? { signal } : {});
    const { known } = sequence;
    const made: number[] = [];
    try {
      const prompt = {
        ids: ids.slice(known),
        ...(images && { images: { tokens: images.tokens, rows: images.rows.slice(known) } }),
      };
      const tokens = generate(sequence, prompt, {
        sampler: createSampler(sampling, index),
        history: new TokenHistory(penalizesPrompt ? ids : []),
        maxNewTokens: Math.min(maxTokens ?? Number.POSITIVE_INFINITY, this.contextLength - ids.length),
        stopIds: this.#stopIds,
        ...(allowed && { allowed }),
        ...(signal && { signal }),
      });
      const text = tokenizer.decoder({ skipSpecial: (token) => !KEPT_TOKENS.has(token) });
      const stops = new StopStrings([...stop, ...this.#stopTexts]);
      const ending = (finishReason: FinishReason): ChatChunk => {
        const rest = finishReason === "stop" ? stops.end() : stops.push(text.end()).text + stops.end();
        const [last, end] = [splitter.push(rest), splitter.end()];
        const thinking = last.thinking + end.thinking;
        return { index, text: last.answer + end.answer, thinking, tokens: [], finishReason };
      };
      for await (const token of tokens) {
        made.push(token.id);
        constrained?.advance(token.id);
        const isEnd = this.#stopIds.has(token.id);
        const settled = stops.push(isEnd ? text.end() : text.push(token.id));
        const { thinking, answer } = splitter.push(settled.text);
        const cached = made.length === 1 ? { cachedTokens: known } : {};
        yield { index, text: answer, thinking, tokens: [this.#detail(token)], ...cached };
        if (isEnd || settled.stop !== undefined) {
          // Told before the next token is over, which is under way after a stop text.
          yield ending("stop");
          return;
        }
      }
      yield ending("length");
    } finally {
      sequence.leave([...keys, ...made]);
    }
  }

  #detail({ id, logprob, topLogprobs = [] }: ChosenToken): TokenDetail {
    const of = (token: TokenLogprob) => {
      const bytes = this.parts.tokenizer.bytesOf(token.id) ?? new Uint8Array();
      return { token: new TextDecoder().decode(bytes), bytes, logprob: token.logprob };
    };
    return { ...of({ id, logprob }), top: topLogprobs.map(of) };
  }

  /** Ends the answers that are still being made, with an error in each, and lets go of their caches. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new UsageError(`${this.id}: it was released; load it again`));
    await this.#batch[Symbol.asyncDispose]();
  }
}

/**
 * Things as they come: the first of the first stream, which does what all need, and then of all streams at once. Aborts
 * `over` when it ends, so that streams that still work or wait are not waited for.
 */
async function* inTurn<T>(streams: readonly AsyncGenerator<T>[], over: AbortController): AsyncGenerator<T> {
  const step = async (stream: AsyncGenerator<T>) => ({ stream, result: await stream.next() });
  const [first, ...others] = streams;
  const coming = new Map([[first!, step(first!)]]);
  let waiting = others;
  try {
    while (coming.size > 0) {
      const { stream, result } = await Promise.race(coming.values());
      coming.delete(stream);
      if (!result.done) yield result.value;
      if (!result.done) coming.set(stream, step(stream));
      for (const other of waiting) coming.set(other, step(other));
      waiting = [];
    }
  } finally {
    over.abort();
    await Promise.allSettled(streams.map((stream) => stream.return(undefined)));
  }
}

/** A text that is all answer. */
const PLAIN: ReplySplitter = {
  push: (text) => ({ thinking: "", answer: text }),
  end: () => ({ thinking: "", answer: "" }),
};
