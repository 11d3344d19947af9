import type { Picture } from "./api.ts";
import { checkbox, h, icon } from "./dom.ts";
import { formatScore, spokenName, stemName } from "./format.ts";

export interface CardEvents {
  readonly onOpen: (picture: Picture) => void;
  readonly onLike: (picture: Picture) => void;
  readonly onAsk: (picture: Picture) => void;
  readonly onSelect: (picture: Picture, selected: boolean) => void;
  readonly isSelected: (id: string) => boolean;
}

/** One picture of the grid: a button that opens it, tools, its name and its score. */
export class Card {
  readonly item: HTMLLIElement;
  readonly open: HTMLButtonElement;
  readonly #image = h("img", { alt: "", loading: "lazy", decoding: "async", draggable: "false" });
  readonly #like: HTMLButtonElement;
  readonly #ask: HTMLButtonElement;
  readonly #select: HTMLButtonElement;
  readonly #fill = h("span", { class: "track", "aria-hidden": "true" }, h("span", { class: "fill" }));
  readonly #cosine = h("span");
  readonly #score = h("p", { class: "score" }, this.#fill, this.#cosine);
  #picture: Picture;

  constructor(
    picture: Picture,
    readonly events: CardEvents,
  ) {
    this.#picture = picture;
    const name = spokenName(picture.path);
    this.#image.addEventListener("load", () => this.#image.classList.add("loaded"));
    this.#image.addEventListener("error", () => this.#image.classList.add("lost"));
    this.open = h("button", { type: "button", class: "plate", tabindex: -1 }, this.#image);
    this.open.addEventListener("click", () => events.onOpen(this.#picture));
    this.#like = tool(icon("like"), `More like ${name}`, "More like this", () =>
      events.onLike(this.#picture),
    );
    this.#ask = tool(icon("ask"), `Ask about ${name}`, "Ask about it", () => events.onAsk(this.#picture));
    this.#ask.classList.add("ask");
    this.#select = tool(checkbox(), `Select ${name}`, "Select, to classify it", () =>
      events.onSelect(this.#picture, !events.isSelected(picture.id)),
    );
    this.item = h(
      "li",
      { class: "card" },
      this.open,
      h("div", { class: "tools" }, this.#like, this.#ask, this.#select),
      h("p", { class: "name", title: picture.path, text: stemName(picture.path) }),
      this.#score,
    );
    this.showSelection();
  }

  get picture(): Picture {
    return this.#picture;
  }

  /** Shows a picture of the same id, whose score or contents may have changed; bars compare with the `best` score. */
  show(picture: Picture, best: number | undefined): void {
    this.#picture = picture;
    const { score, thumb } = picture;
    const similarity = score === undefined ? "" : `, similarity ${formatScore(score)}`;
    this.open.setAttribute("aria-label", spokenName(picture.path) + similarity);
    if (this.#image.getAttribute("src") !== thumb) {
      this.#image.classList.remove("lost");
      this.#image.src = thumb;
    }
    this.#score.hidden = score === undefined;
    if (score === undefined) return;
    const share = best && best > 0 ? Math.max(0, score / best) : 0;
    this.#fill.style.setProperty("--share", `${Math.min(1, share) * 100}%`);
    this.#cosine.textContent = formatScore(score);
  }

  showSelection(): void {
    const selected = this.events.isSelected(this.#picture.id);
    this.item.classList.toggle("selected", selected);
    this.#select.setAttribute("aria-pressed", String(selected));
  }

  /** Whether Tab reaches the card's buttons. */
  set reachable(value: boolean) {
    for (const button of [this.open, this.#like, this.#ask, this.#select]) button.tabIndex = value ? 0 : -1;
  }
}

function tool(shape: SVGSVGElement, label: string, title: string, onClick: () => void): HTMLButtonElement {
  const props = { type: "button", class: "tool", tabindex: -1, "aria-label": label, title };
  return h("button", { ...props, on: { click: onClick } }, shape);
}
