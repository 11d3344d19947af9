import { api } from "../api.ts";
import { byId, h } from "../dom.ts";
import { listModels } from "./chat-api.ts";
import { ChatError, problemText } from "./chat-error.ts";

import { keyForm } from "./key-form.ts";
import type { ChatSettings } from "./settings.ts";

const ASK_AGAIN_MS = 1500;

/** The chat models of the server. Without one the page offers no questions, and says how to get one. */
export class ChatModels {
  readonly #choice = byId<HTMLSelectElement>("chat-model");
  readonly #note = byId("chat-note");
  #names: readonly string[] = [];
  #asking = false;

  constructor(readonly settings: ChatSettings) {}

  /** The model that is asked. */
  get selected(): string {
    return this.#choice.value;
  }

  /** Asks the server, unless a model is known; while one is being loaded, again and again. */
  refresh(): void {
    if (this.#names.length > 0 || this.#asking) return;
    this.#asking = true;
    chatModels(this.settings.now.key).then(
      (names) => {
        this.#asking = false;
        this.#names = names;
        this.#show(
          names.length > 0 ? undefined : [h("h2", { text: "No chat model here" }), ...withoutModel()],
        );
      },
      (error: unknown) => {
        this.#asking = false;
        if (error instanceof ChatError && error.status === 401) return this.#show(this.#askForKey());
        const loading = error instanceof ChatError && error.status === 503;
        this.#show(loading ? [h("p", { text: "Loading the chat model…" })] : [this.#failure(error)]);
        if (loading) setTimeout(() => this.refresh(), ASK_AGAIN_MS);
      },
    );
  }

  /** Shows the models, or why there is none. */
  #show(note: readonly Node[] | undefined): void {
    const hadFocus = this.#note.contains(document.activeElement);
    document.body.classList.toggle("can-chat", note === undefined);
    this.#note.hidden = note === undefined;
    this.#note.replaceChildren(...(note ?? []));
    byId("composer").hidden = note !== undefined;
    byId("chat-welcome").hidden = note !== undefined;
    this.#choice.replaceChildren(...this.#names.map((name) => h("option", { value: name, text: name })));
    this.#choice.disabled = this.#names.length < 2;
    this.#choice.hidden = this.#names.length === 0;
    // What was pressed or filled in is gone.
    if (hadFocus) (this.#note.querySelector("input") ?? byId("question")).focus();
  }

  #askForKey(): Node[] {
    const { settings } = this;
    const wrong = settings.now.key !== "";
    const text = wrong
      ? "This server does not know the key that was entered. Enter another one."
      : "This server answers questions of those who have its key. Who runs it knows it.";
    return [
      h("h2", { text: "A key is needed" }),
      h("p", { role: wrong ? "alert" : undefined, text }),
      keyForm(settings, "key-of-chat", () => this.refresh()),
    ];
  }

  #failure(error: unknown): HTMLElement {
    const text = problemText(error instanceof ChatError ? error : new ChatError(0, String(error)));
    const again = h("button", { type: "button", class: "plain", text: "Try again" });
    again.addEventListener("click", () => this.refresh());
    return h("div", { role: "alert" }, h("p", { text }), again);
  }
}

const withoutModel = (): HTMLElement[] => [
  h("p", {
    text: "This server searches pictures, and has no model that answers questions about them. Start it with the folder of an InternVL-Chat model beside the search.",
  }),
  h("p", {}, h("code", { text: "internvl serve --chat FOLDER" })),
];

/** The listed models without that of the search, which answers no questions. */
async function chatModels(key: string): Promise<string[]> {
  const names = await listModels(key);
  // Asked for second: a model of the search that is listed by then is loaded, and its name known.
  const { model } = await api.status();
  return names.filter((name) => name !== model?.name);
}
