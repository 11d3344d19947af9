import { api, type Status } from "./api.ts";
import { byId } from "./dom.ts";
import { formatPlural } from "./format.ts";

const ASK_AGAIN_MS = 1000;

/** The foot of the page: how many pictures, which model, how fast. */
export class StatusLine {
  #status: Status | undefined;
  #latencyMs: number | undefined;

  get status(): Status | undefined {
    return this.#status;
  }

  set latencyMs(value: number | undefined) {
    this.#latencyMs = value;
    this.#show();
  }

  /** Asks the server; while the model is loading, again and again. */
  async refresh(): Promise<void> {
    try {
      this.#status = await api.status();
      if (this.#status.loading && !this.#status.error) setTimeout(() => void this.refresh(), ASK_AGAIN_MS);
    } catch {
      this.#status = undefined;
    }
    this.#show();
  }

  #show(): void {
    byId("status").textContent = this.#text();
  }

  #text(): string {
    const status = this.#status;
    if (!status) return "The server does not answer";
    if (status.error) return `The model could not be loaded: ${status.error}`;
    if (status.loading) return "Loading the model…";
    const parts = [formatPlural(status.pictures ?? 0, "picture"), status.model?.name ?? ""];
    if (this.#latencyMs !== undefined)
      parts.push(`${this.#latencyMs < 10 ? this.#latencyMs : Math.round(this.#latencyMs)} ms`);
    return parts.filter(Boolean).join(" · ");
  }
}
