import { type Place, type Query, readPlace, sameQuery, writePlace } from "./location.ts";

/** A pause in typing after which the words count as a step of their own in the history. */
const SETTLED_AFTER_MS = 1500;

interface Entry {
  /** Made while typing: the next letters replace it. */
  readonly typing?: boolean;
  /** Made by opening the large view: closing it goes back. */
  readonly opened?: boolean;
}

/** Keeps the page's address in step with what it shows, so that back, forward, reload and links work. */
export class Navigation {
  #place: Place = readPlace(location.search);
  #settle: ReturnType<typeof setTimeout> | undefined;

  constructor(readonly onChange: (place: Place, before: Place | undefined) => void) {
    addEventListener("popstate", () => this.#arrive(readPlace(location.search)));
  }

  get place(): Place {
    return this.#place;
  }

  /** Shows the place that the page was opened at. */
  start(): void {
    this.onChange(this.#place, undefined);
  }

  /** A new query: a new step in the history, unless the page is there already. */
  go(query: Query): void {
    this.settle();
    if (sameQuery(query, this.#place.query) && !this.#place.view && !this.#place.chat) return;
    // From the large view the step that opened it is reused: back then leads to the results it was opened from.
    this.#record({ query }, {}, this.#place.view ? "replace" : "push");
  }

  /** A query that is still being typed: many letters, one step in the history. */
  type(query: Query): void {
    if (sameQuery(query, this.#place.query)) return;
    this.#record({ query }, { typing: true }, this.#entry.typing ? "replace" : "push");
    clearTimeout(this.#settle);
    this.#settle = setTimeout(() => this.settle(), SETTLED_AFTER_MS);
  }

  /** What was typed so far is kept as a step. */
  settle(): void {
    clearTimeout(this.#settle);
    if (this.#entry.typing) history.replaceState({}, "", location.href);
  }

  /** Opens the large view, or moves it to another picture. */
  view(id: string): void {
    this.settle();
    const { query, view } = this.#place;
    if (view) this.#record({ query, view: id }, this.#entry, "replace");
    else this.#record({ query, view: id }, { opened: true }, "push");
  }

  /** Leaves the large view. */
  closeView(): void {
    if (!this.#place.view) return;
    if (this.#entry.opened) history.back();
    else this.#record({ query: this.#place.query }, {}, "replace");
  }

  /** Goes to a conversation, or to a new one; the query stays for the way back. */
  chat(id: string): void {
    this.settle();
    if (id !== this.#place.chat) this.#record({ query: this.#place.query, chat: id }, {}, "push");
  }

  /** The conversation on show has this id from now on: no step of its own. */
  nameChat(id: string): void {
    const { query, chat } = this.#place;
    if (chat && chat !== id) this.#record({ query, chat: id }, {}, "replace");
  }

  /** From a conversation to the results that lie behind it. */
  search(): void {
    if (this.#place.chat) this.#record({ query: this.#place.query }, {}, "push");
  }

  get #entry(): Entry {
    return (history.state as Entry | null) ?? {};
  }

  #record(place: Place, entry: Entry, how: "push" | "replace"): void {
    const url = writePlace(place);
    if (how === "push") history.pushState(entry, "", url);
    else history.replaceState(entry, "", url);
    this.#arrive(place);
  }

  #arrive(place: Place): void {
    const before = this.#place;
    this.#place = place;
    this.onChange(place, before);
  }
}
