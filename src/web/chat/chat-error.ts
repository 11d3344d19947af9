/** Why there is no answer, or not all of it. */
export class ChatError extends Error {
  constructor(
    /** HTTP status; 0 when there was no answer from the server, or it broke off. */
    readonly status: number,
    message: string,
    /** OpenAI's machine-readable `error.code` or `error.type`. */
    readonly code = "",
    /** How long the server asks to wait, in seconds. */
    readonly retryAfterS?: number,
  ) {
    super(message);
    this.name = "ChatError";
  }

  /** Whether the same question may be answered in a while: others are being answered, or the model is being loaded. */
  get isBusy(): boolean {
    return this.status === 429 || (this.status === 503 && this.retryAfterS !== undefined);
  }
}

/** What the user reads: what happened and what to do. */
export function problemText(error: ChatError): string {
  const message = /[.!?…]$/.test(error.message) ? error.message : `${error.message}.`;
  const what = message.charAt(0).toUpperCase() + message.slice(1);
  const advice = adviceFor(error);
  return advice ? `${what} ${advice}` : what;
}

function adviceFor({ status, code }: ChatError): string {
  if (code === "context_length_exceeded")
    return "Start a new conversation, or send fewer or smaller pictures.";
  if (status === 413) return "Send fewer or smaller pictures.";
  if (status === 401) return "Enter the server's key in the settings; who runs it knows it.";
  if (status === 403) return "This server wants another address; ask who runs it.";
  if (status === 404) return "Reload the page to see which models there are.";
  if (status === 429) return "The model is busy with other questions. Try again in a while.";
  if (status === 503) return "The model is not ready. Try again in a while.";
  if (status === 504) return "Try again, or ask for less.";
  if (status >= 500) return "Try again; if it happens again, the server's log says more.";
  return status === 0 ? "Try again." : "Change the question and try again.";
}

/** OpenAI's error object in a response's body or in an event; undefined if there is none. */
export function readErrorObject(body: unknown): { message: string; code: string } | undefined {
  const error = (body as { error?: unknown } | null | undefined)?.error;
  if (typeof error === "string") return { message: error, code: "" };
  if (typeof error !== "object" || error === null) return undefined;
  const { message, code, type } = error as { message?: unknown; code?: unknown; type?: unknown };
  const name = [code, type].find((value) => typeof value === "string" && value !== "");
  return {
    message: typeof message === "string" && message !== "" ? message : "the server reports a failure",
    code: (name as string | undefined) ?? "",
  };
}
