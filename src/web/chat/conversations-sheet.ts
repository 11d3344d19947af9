import { byId, closeOnBackdrop, fillDialog, h, icon, openModal, sheetHead } from "../dom.ts";
import { announce } from "../notices.ts";
import { type ChatHistory, MAX_CONVERSATIONS } from "./history.ts";
import type { Conversation } from "./turns.ts";

export interface ConversationsEvents {
  readonly current: () => string;
  readonly onOpen: (id: string) => void;
  readonly onRenamed: (conversation: Conversation) => void;
  readonly onDeleted: (id: string) => void;
}

/** The conversations that this browser keeps: to open, rename and delete. */
export class ConversationsSheet {
  readonly #dialog = byId<HTMLDialogElement>("conversations");
  readonly #list = h("ul", { class: "conversations" });
  readonly #all = this.#deleteAllButton();

  constructor(
    readonly history: ChatHistory,
    readonly events: ConversationsEvents,
  ) {
    closeOnBackdrop(this.#dialog);
  }

  async open(): Promise<void> {
    const note = h("p", { class: "muted", text: this.#note() });
    fillDialog(
      this.#dialog,
      sheetHead(this.#dialog, "conversations-title", "Conversations"),
      note,
      this.#list,
      this.#all,
    );
    await this.#refresh();
    note.textContent = this.#note();
    openModal(this.#dialog);
  }

  #note(): string {
    return this.history.isKept
      ? `Kept in this browser and nowhere else: the latest ${MAX_CONVERSATIONS}.`
      : "This browser keeps nothing for this page: conversations last until it is closed.";
  }

  async #refresh(): Promise<void> {
    const conversations = await this.history.list();
    this.#all.hidden = conversations.length < 2;
    const none = h("li", { class: "muted", text: "None yet." });
    this.#list.replaceChildren(
      ...(conversations.length > 0 ? conversations.map((c) => this.#row(c)) : [none]),
    );
  }

  #row(conversation: Conversation): HTMLElement {
    const { id, title, changedMs } = conversation;
    const current = id === this.events.current();
    const open = h(
      "button",
      { type: "button", class: "conversation", "aria-current": current ? "true" : undefined },
      h("span", { class: "name", text: title }),
      h("span", { class: "muted", text: dateText(changedMs) }),
    );
    open.addEventListener("click", () => {
      this.#dialog.close();
      this.events.onOpen(id);
    });
    const item = h("li", {}, open);
    item.append(
      tool("edit", `Rename ${title}`, () => this.#rename(item, conversation)),
      tool("remove", `Delete ${title}`, () => void this.#delete(item, conversation)),
    );
    return item;
  }

  #rename(item: HTMLElement, conversation: Conversation): void {
    const { title } = conversation;
    const input = h("input", { type: "text", value: title, maxlength: 200, "aria-label": "New name" });
    const form = h("form", { class: "label-form" }, input, h("button", { class: "plain", text: "Rename" }));
    const leave = async () => {
      const at = [...this.#list.children].indexOf(item);
      await this.#refresh();
      this.#list.children[at]?.querySelector<HTMLElement>("button")?.focus();
    };
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const wanted = input.value.trim();
      if (wanted && wanted !== title) {
        // An answer may have come meanwhile.
        const renamed = { ...((await this.history.get(conversation.id)) ?? conversation), title: wanted };
        await this.history.put(renamed);
        this.events.onRenamed(renamed);
      }
      await leave();
    });
    form.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.preventDefault();
      void leave();
    });
    item.replaceChildren(form);
    input.select();
  }

  /** Its place offers it back until the sheet is opened again. */
  async #delete(item: HTMLElement, listed: Conversation): Promise<void> {
    const conversation = (await this.history.get(listed.id)) ?? listed;
    await this.history.delete(conversation.id);
    this.events.onDeleted(conversation.id);
    const undo = h("button", { type: "button", class: "plain", text: "Undo" });
    undo.addEventListener("click", async () => {
      await this.history.put(conversation);
      await this.#refresh();
      this.#dialog.querySelector<HTMLElement>(".sheet-head button")?.focus();
    });
    item.replaceChildren(h("p", { class: "muted", text: `${conversation.title} is deleted` }), undo);
    announce(`${conversation.title} is deleted`);
    undo.focus();
  }

  async #deleteAll(): Promise<void> {
    for (const { id } of await this.history.list()) {
      await this.history.delete(id);
      this.events.onDeleted(id);
    }
    await this.#refresh();
    announce("All conversations are deleted");
    this.#dialog.querySelector<HTMLElement>(".sheet-head button")?.focus();
  }

  /** Asks once more before it does so. */
  #deleteAllButton(): HTMLButtonElement {
    const button = h("button", { type: "button", class: "plain delete-all", text: "Delete all" });
    button.addEventListener("click", () => {
      if (button.classList.contains("sure")) return void this.#deleteAll();
      button.classList.add("sure");
      button.textContent = "Delete all for good?";
    });
    button.addEventListener("blur", () => {
      button.classList.remove("sure");
      button.textContent = "Delete all";
    });
    return button;
  }
}

const dateText = (ms: number): string =>
  new Date(ms).toLocaleString("en", { dateStyle: "medium", timeStyle: "short" });

function tool(name: "edit" | "remove", label: string, onClick: () => void): HTMLButtonElement {
  const props = { type: "button", class: "quiet", "aria-label": label, title: label };
  return h("button", { ...props, on: { click: onClick } }, icon(name));
}
