import type { ChatMessage } from "../text/conversation.ts";
import type { RgbImage } from "../vision/image.ts";
import type { SamplingOptions } from "./sampling-options.ts";

/** A picture of a conversation: decoded, or a frame of a video. */
export type ChatPicture = RgbImage;

/** A conversation for a chat model. Pictures stay with their messages, those of earlier turns too. */
export type ChatMessages = readonly ChatMessage<ChatPicture>[];

export interface ChatOptions extends Partial<SamplingOptions> {
  /** Most tokens of an answer; default: what the context has room for. */
  readonly maxTokens?: number;
  /** Texts that end an answer and are not part of it. */
  readonly stop?: readonly string[];
  /** Keeps the answer to JSON: any object, or what a JSON schema describes (see jsonSchemaGrammar for its keywords). */
  readonly responseFormat?:
    | { readonly type: "json_object" }
    | { readonly type: "json_schema"; readonly schema: unknown };
  /** How many answers to one conversation, each with random numbers of its own; default 1. */
  readonly n?: number;
  /** Most tiles of a picture; default: the model's. Pictures of one message that have no number of their own share it. */
  readonly maxTiles?: number;
  readonly signal?: AbortSignal;
}

/** Why an answer ended: by itself or a stop text, or because there was no more room. */
export type FinishReason = "stop" | "length";

/** A token with its log probability (nats, the model's own) and the most likely ones in its place. */
export interface TokenDetail {
  readonly token: string;
  readonly bytes: Uint8Array;
  readonly logprob: number;
  readonly top: readonly { readonly token: string; readonly bytes: Uint8Array; readonly logprob: number }[];
}

/** What an answer has grown by. Texts are whole characters; what a token adds may come with a later chunk. */
export interface ChatChunk {
  /** Which of the `n` answers. */
  readonly index: number;
  /** Added to the answer. */
  readonly text: string;
  /** Added to what the model thinks before it answers, where it does. */
  readonly thinking: string;
  /** The tokens that were made since the last chunk. */
  readonly tokens: readonly TokenDetail[];
  /** In the last chunk of an answer. */
  readonly finishReason?: FinishReason;
  /** In the last chunk of all. */
  readonly usage?: ChatUsage;
}

export interface ChatUsage {
  /** Tokens of the conversation, those of its pictures included. */
  readonly promptTokens: number;
  /** Of these, how many were known from before and not computed again. */
  readonly cachedTokens: number;
  /** Tokens of all answers. */
  readonly completionTokens: number;
}

/** A model that answers conversations with pictures. Dispose of it when no chat is running. */
export interface ChatModel extends AsyncDisposable {
  /** Name and fingerprint of the weights. */
  readonly id: string;
  /** Tokens that a conversation and its answer may have together. */
  readonly contextLength: number;
  /** Answers that are made at the same time; further ones wait for their turn. */
  readonly concurrency: number;
  /**
   * The answer to a conversation, as it grows. Leaving the loop or aborting stops it within a token. Throws UsageError
   * for a conversation or options that are not possible, one that is too long among them.
   */
  chat(messages: ChatMessages, options?: ChatOptions): AsyncIterable<ChatChunk>;
  /** A text goes on: the plain prompt, without a template and without pictures. */
  complete(prompt: string, options?: ChatOptions): AsyncIterable<ChatChunk>;
}
