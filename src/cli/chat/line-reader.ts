import { createInterface, type Interface } from "node:readline";
import { Writable } from "node:stream";
import type { Input } from "../context.ts";
import type { Terminal } from "../terminal.ts";

const PASTE_ON = "\x1b[?2004h";
const PASTE_OFF = "\x1b[?2004l";
const CONTINUED = "… ";

export interface LineReaderOptions {
  /** Lines typed before, newest first. */
  readonly history: readonly string[];
  readonly historySize: number;
  /** Called with all lines, newest first, when one is added. */
  onHistory(lines: readonly string[]): void;
  readonly signal: AbortSignal;
}

/**
 * Reads messages from a terminal, with line editing and history. A line that ends with a backslash goes on in the next,
 * and lines that are pasted together are one message. Between two readings nothing is echoed; what is typed then stands
 * at the next prompt.
 */
export class LineReader implements Disposable {
  readonly #lines: Interface;
  readonly #echo: Echo;
  readonly #messages: string[] = [];
  #waiting: { resolve(message: string | undefined): void; reject(reason: unknown): void } | undefined;
  #parts: string[] = [];
  #prompt = "";
  #pasting = false;
  #closed = false;
  readonly #dispose: () => void;

  /** What Ctrl-C does between two readings. */
  onInterrupt: () => void = () => {};

  constructor(input: Input, terminal: Terminal, options: LineReaderOptions) {
    this.#echo = new Echo(terminal);
    this.#lines = createInterface({
      input,
      output: this.#echo,
      terminal: true,
      history: [...options.history],
      historySize: options.historySize,
      removeHistoryDuplicates: true,
    });
    const onKey = (_: unknown, key: { readonly name?: string } | undefined) => {
      if (key?.name === "paste-start") this.#pasting = true;
      if (key?.name === "paste-end") this.#pasting = false;
    };
    const onAbort = () => this.#waiting?.reject(options.signal.reason);
    input.on("keypress", onKey);
    options.signal.addEventListener("abort", onAbort);
    this.#lines.on("line", (line) => this.#take(line));
    this.#lines.on("history", (lines) => options.onHistory(lines));
    this.#lines.on("SIGINT", () => this.#interrupt());
    this.#lines.on("close", () => {
      this.#closed = true;
      this.#waiting?.resolve(undefined);
    });
    this.#echo.write(PASTE_ON);
    this.#dispose = () => {
      input.off("keypress", onKey);
      options.signal.removeEventListener("abort", onAbort);
    };
  }

  /** The next message; undefined when there will be none: after Ctrl-D, or Ctrl-C at an empty line. */
  async read(prompt: string): Promise<string | undefined> {
    if (this.#messages.length > 0) return this.#messages.shift();
    if (this.#closed) return undefined;
    this.#prompt = prompt;
    this.#echo.silent = false;
    this.#show();
    try {
      return await new Promise<string | undefined>((resolve, reject) => {
        this.#waiting = { resolve, reject };
      });
    } finally {
      this.#waiting = undefined;
      this.#echo.silent = true;
      // The line break of the message comes before the answer.
      await this.#echo.written();
    }
  }

  [Symbol.dispose](): void {
    this.#echo.silent = false;
    this.#dispose();
    this.#echo.write(PASTE_OFF);
    this.#lines.close();
  }

  #show(): void {
    this.#lines.setPrompt(this.#parts.length > 0 ? CONTINUED : this.#prompt);
    this.#lines.prompt(true);
  }

  #take(line: string): void {
    const continued = !this.#pasting && line.endsWith("\\");
    this.#parts.push(continued ? line.slice(0, -1) : line);
    if (continued || this.#pasting) {
      if (this.#waiting) this.#show();
      return;
    }
    const message = this.#parts.join("\n");
    this.#parts = [];
    if (this.#waiting) this.#waiting.resolve(message);
    else this.#messages.push(message);
    this.#waiting = undefined;
  }

  /** No more messages come: what is being read ends. */
  close(): void {
    this.#lines.close();
  }

  #interrupt(): void {
    if (!this.#waiting) {
      this.onInterrupt();
      return;
    }
    this.#echo.write("\n");
    if (this.#lines.line === "" && this.#parts.length === 0) {
      this.#lines.close();
      return;
    }
    this.#parts = [];
    // As the keys that delete the line.
    this.#lines.write(null, { ctrl: true, name: "e" });
    this.#lines.write(null, { ctrl: true, name: "u" });
    this.#show();
  }
}

/** The terminal as a stream for the line editor, which can be silenced. */
class Echo extends Writable {
  silent = false;
  readonly isTTY = true;

  constructor(readonly terminal: Terminal) {
    super({
      decodeStrings: false,
      write: (chunk, _, done) => {
        terminal.write(String(chunk)).then(() => done(), done);
      },
    });
  }

  override write(text: string): boolean {
    return this.silent ? true : super.write(text);
  }

  /** Resolves when all is out that was written so far. */
  written(): Promise<void> {
    return new Promise((resolve) => super.write("", () => resolve()));
  }

  get columns(): number {
    return this.terminal.columns;
  }
}
