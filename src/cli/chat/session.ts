import { homedir } from "node:os";
import { isUserError, messageOf, UsageError } from "../../core/errors.ts";
import { didYouMean } from "../../core/suggest.ts";
import { writeWhole } from "../../core/write-whole.node.ts";
import type { ChatModel } from "../../infer/chat-model.ts";
import { type Context, note } from "../context.ts";
import { checkOutput } from "../output-file.ts";
import { style, visible } from "../terminal.ts";
import { type AnswerOptions, answer, replyFacts } from "./answer.ts";
import { splitWords } from "./arguments.ts";
import {
  type Conversation,
  conversationJson,
  conversationMarkdown,
  messagesOf,
  type Turn,
} from "./conversation.ts";
import type { LineReader } from "./line-reader.ts";
import { type Media, openMedia } from "./media.ts";
import { type VideoChoice, videoArguments } from "./video-choice.ts";

export interface SessionOptions {
  readonly answer: Omit<AnswerOptions, "signal">;
  readonly video: VideoChoice;
  readonly system: string | undefined;
  /** Shown with the first message. */
  readonly media: readonly Media[];
}

/** What a command is, for `/help`, and what it does with the rest of its line. */
interface Command {
  readonly takes: string;
  readonly does: string;
  run(session: Session, rest: string): Promise<void>;
}

const COMMANDS: Readonly<Record<string, Command>> = {
  image: {
    takes: "FILE…",
    does: "show pictures with the next message",
    run: (session, rest) => session.attachPictures(rest),
  },
  video: {
    takes: "FILE",
    does: "show frames of a video with the next message; --frames N, --from S and --to S choose them",
    run: (session, rest) => session.attachVideo(rest),
  },
  clear: {
    takes: "",
    does: "begin anew: forget messages and pictures",
    run: (session) => session.clear(),
  },
  save: {
    takes: "FILE",
    does: "write the conversation to a .json or .md file",
    run: (session, rest) => session.save(rest),
  },
  system: {
    takes: "TEXT",
    does: "set the system message; without a text, the model's own again",
    run: (session, rest) => session.setSystem(rest),
  },
  retry: {
    takes: "",
    does: "answer the last message again (differently only above temperature 0)",
    run: (session) => session.retry(),
  },
  help: { takes: "", does: "this list", run: (session) => session.help() },
  exit: { takes: "", does: "leave, as Ctrl-D", run: async (session) => session.leave() },
};

const PROMPT = "> ";

/** A conversation at a terminal. Mistakes are told and the conversation goes on; defects end it. */
export class Session {
  #conversation: Conversation;
  #pending: readonly Media[];
  #left = false;

  constructor(
    readonly context: Context,
    readonly model: ChatModel,
    readonly reader: LineReader,
    readonly options: SessionOptions,
  ) {
    this.#conversation = { system: options.system, turns: [] };
    this.#pending = options.media;
  }

  /** Until the reader leaves. */
  async run(): Promise<void> {
    await this.#say(`${visible(this.model.id)}: ask something; /help lists commands, Ctrl-D leaves`);
    for (const media of this.#pending) await this.#sayAttached(media);
    while (!this.#left) {
      const line = await this.reader.read(PROMPT);
      if (line === undefined) return;
      try {
        await this.#handle(line);
      } catch (error) {
        this.context.signal.throwIfAborted();
        if (!isUserError(error) && (error as NodeJS.ErrnoException).code === undefined) throw error;
        await note(this.context, `${style(this.context.err, "red", "error:")} ${messageOf(error)}`);
      }
    }
  }

  async #handle(line: string): Promise<void> {
    if (line.trim() === "") return;
    if (!line.startsWith("/")) return this.#ask({ media: this.#pending, text: line });
    const [, name = "", rest = ""] = /^\/(\S*)\s*([\s\S]*?)\s*$/.exec(line) ?? [];
    const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
    if (!command) {
      const known = Object.keys(COMMANDS).map((known) => `/${known}`);
      throw new UsageError(
        `/${visible(name)}: there is no such command${didYouMean(`/${name}`, known)} (a message that begins with / needs a space before it)`,
      );
    }
    if (command.takes === "" && rest !== "")
      throw new UsageError(`/${name}: expected nothing after it, found "${visible(rest)}"`);
    await command.run(this, rest);
  }

  async #ask(turn: Turn): Promise<void> {
    const { turns, system } = this.#conversation;
    const stop = new AbortController();
    const signal = AbortSignal.any([this.context.signal, stop.signal]);
    this.reader.onInterrupt = () => {
      // Whoever asks a second time wants to leave.
      if (stop.signal.aborted) this.leave();
      stop.abort();
    };
    try {
      const messages = messagesOf({ system, turns: [...turns, turn] });
      const reply = await answer(this.context, this.model, messages, { ...this.options.answer, signal });
      // What was stopped before a word came was not said: the pictures wait for another message.
      if (reply.answer === "" && reply.finishReason === "interrupted") return await this.#say("stopped");
      this.#conversation = { system, turns: [...turns, { ...turn, reply }] };
      this.#pending = [];
      await this.#say(replyFacts(reply));
    } finally {
      this.reader.onInterrupt = () => {};
    }
  }

  async attachPictures(rest: string): Promise<void> {
    const files = this.#words(rest);
    if (files.length === 0)
      throw new UsageError("/image: expected files, found none; put names with spaces in quotes");
    await this.#attach(files, this.options.video, "picture");
  }

  async attachVideo(rest: string): Promise<void> {
    const { files, choice } = videoArguments("/video", this.#words(rest), this.options.video);
    if (files.length !== 1)
      throw new UsageError(
        `/video: expected one file, found ${files.length || "none"}; put names with spaces in quotes`,
      );
    await this.#attach(files, choice, "video");
  }

  #words(rest: string): readonly string[] {
    return splitWords(rest, this.context.env.HOME || homedir());
  }

  async #attach(files: readonly string[], choice: VideoChoice, as: "picture" | "video"): Promise<void> {
    const read: Media[] = [];
    for (const file of files) read.push(await openMedia(file, choice, this.context.signal, as));
    this.#pending = [...this.#pending, ...read];
    for (const media of read) await this.#sayAttached(media);
  }

  async clear(): Promise<void> {
    this.#conversation = { ...this.#conversation, turns: [] };
    this.#pending = [];
    await this.#say("begun anew");
  }

  async save(rest: string): Promise<void> {
    const [file, ...more] = this.#words(rest);
    if (file === undefined || more.length > 0)
      throw new UsageError("/save: expected the name of one file; put a name with spaces in quotes");
    const write = /\.json$/i.test(file)
      ? conversationJson
      : /\.(md|markdown)$/i.test(file)
        ? conversationMarkdown
        : undefined;
    if (!write) throw new UsageError(`/save ${visible(file)}: expected a name that ends in .json or .md`);
    if (this.#conversation.turns.length === 0)
      throw new UsageError("/save: nothing was said yet; ask something first");
    await checkOutput("/save", file);
    await writeWhole(file, write(this.#conversation, this.model.id));
    await this.#say(`saved: ${visible(file)}`);
  }

  async setSystem(text: string): Promise<void> {
    this.#conversation = { ...this.#conversation, system: text === "" ? undefined : text };
    await this.#say(text === "" ? "the model's own system message" : "system message set");
  }

  async retry(): Promise<void> {
    const { turns } = this.#conversation;
    const last = turns.at(-1);
    if (!last) throw new UsageError("/retry: nothing was answered yet; ask something first");
    const before = this.#conversation;
    const pending = this.#pending;
    this.#conversation = { ...before, turns: turns.slice(0, -1) };
    try {
      await this.#ask({ media: last.media, text: last.text });
    } finally {
      // The new answer takes the place of the old one only once it is there; pictures for the next message wait on.
      if (this.#conversation.turns.length < turns.length) this.#conversation = before;
      this.#pending = pending;
    }
  }

  async help(): Promise<void> {
    const lines = Object.entries(COMMANDS).map(
      ([name, { takes, does }]) => `  ${`/${name} ${takes}`.padEnd(14)}  ${does}`,
    );
    lines.push(
      "A line that ends with \\ goes on in the next. Ctrl-C stops an answer, and leaves at an empty line.",
    );
    await this.#say(lines.join("\n"));
  }

  leave(): void {
    this.#left = true;
    this.reader.close();
  }

  #sayAttached({ path, facts }: Media): Promise<void> {
    return this.#say(`with the next message: ${visible(path)} (${facts})`);
  }

  /** A remark, apart from what the model says. */
  #say(text: string): Promise<void> {
    return note(this.context, style(this.context.err, "dim", text));
  }
}
