import type { Picture } from "./api.ts";
import { checkbox, h, icon } from "./dom.ts";
import { formatScore, spokenName, stemName } from "./format.ts";

export interface GridEvents {
  readonly onOpen: (picture: Picture) => void;
  readonly onLike: (picture: Picture) => void;
  readonly onSelect: (picture: Picture, selected: boolean) => void;
  readonly isSelected: (id: string) => boolean;
}

interface Card {
  readonly picture: Picture;
  readonly item: HTMLLIElement;
  readonly open: HTMLButtonElement;
  readonly tools: readonly HTMLButtonElement[];
}

/** The pictures as a grid of buttons with one tab stop: arrows move in it, as in any list of files. */
export class Grid {
  #cards: Card[] = [];
  #current = 0;
  #best: number | undefined;

  constructor(
    readonly list: HTMLElement,
    readonly events: GridEvents,
  ) {
    list.addEventListener("keydown", (event) => this.#onKey(event));
    list.addEventListener("focusin", (event) => this.#onFocus(event));
  }

  get pictures(): readonly Picture[] {
    return this.#cards.map((card) => card.picture);
  }

  /** Replaces what is shown. */
  show(pictures: readonly Picture[]): void {
    this.#cards = [];
    this.#best = pictures[0]?.score;
    this.list.replaceChildren();
    this.list.classList.remove("waiting");
    this.list.removeAttribute("aria-busy");
    this.append(pictures);
    this.#setCurrent(0);
  }

  append(pictures: readonly Picture[]): void {
    const cards = pictures.map((picture) => this.#card(picture));
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
    for (const { picture, item, tools } of this.#cards) {
      const selected = this.events.isSelected(picture.id);
      item.classList.toggle("selected", selected);
      tools[1]?.setAttribute("aria-pressed", String(selected));
    }
  }

  #card(picture: Picture): Card {
    const name = spokenName(picture.path);
    const similarity = picture.score === undefined ? "" : `, similarity ${formatScore(picture.score)}`;
    const image = h("img", { alt: "", loading: "lazy", decoding: "async", draggable: "false" });
    image.addEventListener("load", () => image.classList.add("loaded"));
    image.addEventListener("error", () => image.classList.add("lost"));
    image.src = picture.thumb;
    const open = h(
      "button",
      { type: "button", class: "plate", tabindex: -1, "aria-label": name + similarity },
      image,
    );
    open.addEventListener("click", () => this.events.onOpen(picture));
    const tools = [
      tool(icon("like"), `More like ${name}`, "More like this", () => this.events.onLike(picture)),
      tool(checkbox(), `Select ${name}`, "Select, to classify it", () =>
        this.events.onSelect(picture, !this.events.isSelected(picture.id)),
      ),
    ];
    const selected = this.events.isSelected(picture.id);
    tools[1]?.setAttribute("aria-pressed", String(selected));
    const item = h(
      "li",
      { class: selected ? "card selected" : "card" },
      open,
      h("div", { class: "tools" }, ...tools),
      h("p", { class: "name", title: picture.path, text: stemName(picture.path) }),
      picture.score !== undefined && this.#score(picture.score),
    );
    return { picture, item, open, tools };
  }

  #score(score: number): HTMLElement {
    const bar = h("span", { class: "track", "aria-hidden": "true" }, h("span", { class: "fill" }));
    const share = this.#best && this.#best > 0 ? Math.max(0, score / this.#best) : 0;
    bar.style.setProperty("--share", `${Math.min(1, share) * 100}%`);
    return h("p", { class: "score" }, bar, h("span", { text: formatScore(score) }));
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
    for (const [i, tabindex] of [
      [this.#current, -1],
      [index, 0],
    ] as const) {
      const card = this.#cards[i];
      for (const button of card ? [card.open, ...card.tools] : []) button.tabIndex = tabindex;
    }
    this.#current = index;
  }

  #columns(): number {
    const top = this.#cards[0]?.item.offsetTop;
    const next = this.#cards.findIndex((card) => card.item.offsetTop !== top);
    return next < 0 ? Math.max(1, this.#cards.length) : next;
  }
}

function tool(shape: SVGSVGElement, label: string, title: string, onClick: () => void): HTMLButtonElement {
  const props = { type: "button", class: "tool", tabindex: -1, "aria-label": label, title };
  return h("button", { ...props, on: { click: onClick } }, shape);
}
