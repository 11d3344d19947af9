import type { Terminal } from "./terminal.ts";

/** A terminal for tests that keeps what is written to it in `text`. */
export function fakeTerminal(options: Partial<Omit<Terminal, "write">> = {}): Terminal & { text: string } {
  return {
    text: "",
    isTTY: false,
    columns: 80,
    colour: false,
    ...options,
    async write(text) {
      this.text += text;
    },
  };
}
