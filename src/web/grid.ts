import type { Picture } from "./api.ts";
import { Card, type CardEvents } from "./card.ts";
import { h, placeChildren } from "./dom.ts";

/** The pictures as a grid of buttons with one tab stop: arrows move in it, as in any list of files. */
export class Grid {
  #cards: Card[] = [];
  #current = 0;
  #best: number | undefined;

  constructor(
    readonly list: HTMLElement,
    readonly events: CardEvents,
  ) {
    list.addEventListener("keydown", (event) => this.#onKey(event));
    list.addEventListener("focusin", (event) => this.#onFocus(event));
  }

  get pictures(): readonly Picture[] {
    return this.#cards.map((card) => card.picture);
  }

  /** Replaces what is shown. */
  show(pictures: readonly Picture[]): void {
    this.#settle(pictures);
    this.#cards = [];
    this.list.replaceChildren();
    this.append(pictures);
    this.#setCurrent(0);
  }

  /** Shows the answer of now to the same question: pictures that stay keep their cards, and the focus stays with its own. */
  update(pictures: readonly Picture[]): void {
    this.#settle(pictures);
    const hadFocus = this.list.contains(document.activeElement);
    const current = this.#cards[this.#current];
    const known = new Map(this.#cards.map((card) => [card.picture.id, card]));
    // Requests that answer together may repeat a picture when the index changes between them.
    const distinct = new Map(pictures.map((picture) => [picture.id, picture])).values();
    this.#cards = [...distinct].map((picture) => this.#card(picture, known.get(picture.id)));
    placeChildren(
      this.list,
      this.#cards.map((card) => card.item),
    );
    if (current) current.reachable = false;
    const kept = current ? this.#cards.indexOf(current) : -1;
    // In place of a picture that is gone stands the one that has moved up to where it was.
    this.#setCurrent(kept >= 0 ? kept : Math.max(0, Math.min(this.#current, this.#cards.length - 1)));
    if (hadFocus && !this.list.contains(document.activeElement))
      (this.#cards[this.#current]?.open ?? this.list).focus({ preventScroll: true });
  }

  append(pictures: readonly Picture[]): void {
    const cards = pictures.map((picture) => this.#card(picture, undefined));
    this.#cards.push(...cards);
    this.list.append(...cards.map((card) => card.item));
  }

  /** Says that something else is coming: what is there fades, and where nothing is, placeholders stand in. */
  wait(): void {
    this.list.setAttribute("aria-busy", "true");
    this.list.classList.add("waiting");
    if (this.#cards.length > 0) return;
    const placeholder = () =>
      h("li", { class: "card skeleton", "aria-hidden": "true" }, h("div", { class: "plate" }));
    this.list.replaceChildren(...Array.from({ length: 12 }, placeholder));
  }

  focusFirst(): void {
    this.#focus(0);
  }

  focusPicture(id: string): void {
    const index = this.#cards.findIndex((card) => card.picture.id === id);
    if (index >= 0) this.#focus(index);
  }

  /** Shows again which pictures are selected. */
  refreshSelection(): void {
    for (const card of this.#cards) card.showSelection();
  }

  #settle(pictures: readonly Picture[]): void {
    this.#best = pictures[0]?.score;
    this.list.classList.remove("waiting");
    this.list.removeAttribute("aria-busy");
  }

  #card(picture: Picture, known: Card | undefined): Card {
    const card = known ?? new Card(picture, this.events);
    card.show(picture, this.#best);
    return card;
  }

  #onKey(event: KeyboardEvent): void {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const columns = this.#columns();
    const targets: Readonly<Record<string, number>> = {
      ArrowRight: this.#current + 1,
      ArrowLeft: this.#current - 1,
      ArrowDown: this.#current + columns,
      ArrowUp: this.#current - columns,
      Home: 0,
      End: this.#cards.length - 1,
    };
    const target = targets[event.key];
    if (target === undefined) return;
    event.preventDefault();
    if (target >= 0 && target < this.#cards.length) this.#focus(target);
  }

  #onFocus(event: FocusEvent): void {
    const item = (event.target as Element).closest("li");
    const index = this.#cards.findIndex((card) => card.item === item);
    if (index >= 0) this.#setCurrent(index);
  }

  #focus(index: number): void {
    this.#setCurrent(index);
    this.#cards[index]?.open.focus();
  }

  /** Only the current card's buttons can be reached with Tab. */
  #setCurrent(index: number): void {
    const [before, now] = [this.#cards[this.#current], this.#cards[index]];
    if (before) before.reachable = false;
    if (now) now.reachable = true;
    this.#current = index;
  }

  #columns(): number {
    const top = this.#cards[0]?.item.offsetTop;
    const next = this.#cards.findIndex((card) => card.item.offsetTop !== top);
    return next < 0 ? Math.max(1, this.#cards.length) : next;
  }
}
