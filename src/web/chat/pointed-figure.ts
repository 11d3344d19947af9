import { h } from "../dom.ts";
import type { BlobUrls } from "./blob-urls.ts";
import { type Pointed, thingName } from "./grounded-text.ts";
import type { KeptPicture } from "./turns.ts";

const SVG = "http://www.w3.org/2000/svg";

/** Colours in styles/chat.css. */
const COLOURS = 8;

/** The pictures of a question with what the answer points at drawn over one of them, and a legend. */
export class PointedFigure {
  readonly element = h("figure", { class: "pointed", hidden: true });
  readonly #picture = h("div", { class: "pointed-picture" });
  readonly #choice = h("div", { class: "pointed-choice", role: "group", "aria-label": "Drawn over" });
  readonly #legend = h("ul", { class: "chips" });
  #things: readonly Pointed[] = [];
  #shown = 0;

  constructor(
    readonly pictures: readonly KeptPicture[],
    readonly urls: BlobUrls,
  ) {
    this.element.append(this.#picture, this.#choice, h("figcaption", {}, this.#legend));
  }

  /** Shows these things; those that were there stay as they are. */
  show(things: readonly Pointed[]): void {
    const changed = things.length !== this.#things.length;
    this.#things = things;
    this.element.hidden = things.length === 0 || this.pictures.length === 0;
    if (!changed || this.element.hidden) return;
    this.#legend.replaceChildren(...things.map((_, i) => h("li", {}, this.chip(i))));
    this.#draw();
  }

  /** Stands for a thing in the text and in the legend; pointing at it shows it among the others. */
  chip(index: number): HTMLElement {
    const thing = this.#things[index];
    const name = thing ? thingName(thing) : "";
    const children = [h("span", { class: "thing-number", text: String(index + 1) }), " ", name];
    const look = `thing thing-${index % COLOURS}`;
    if (this.pictures.length === 0) return h("span", { class: look }, ...children);
    const light = (lit: boolean) => () => this.#light(lit ? index : undefined);
    return h(
      "button",
      {
        type: "button",
        class: look,
        "aria-label": `${index + 1} ${name}, drawn in the picture`,
        on: { mouseenter: light(true), mouseleave: light(false), focus: light(true), blur: light(false) },
      },
      ...children,
    );
  }

  #light(index: number | undefined): void {
    this.#picture.classList.toggle("lit", index !== undefined);
    for (const part of this.#picture.querySelectorAll("[data-thing]"))
      part.classList.toggle("on", part.getAttribute("data-thing") === String(index));
  }

  #draw(): void {
    const picture = this.pictures[this.#shown];
    if (!picture) return;
    const { width, height } = picture;
    const count = this.#things.map((t, i) => `${i + 1} ${thingName(t)}`).join(", ");
    const image = h("img", {
      src: this.urls.of(picture.blob),
      width,
      height,
      alt: `${picture.name}: ${count}`,
    });
    this.#picture.style.setProperty("--ratio", String(width / height));
    this.#picture.style.setProperty("--natural-width", String(width));
    const overlay = document.createElementNS(SVG, "svg");
    // Thousandths of the picture, whatever size it is shown at.
    overlay.setAttribute("viewBox", "0 0 1000 1000");
    overlay.setAttribute("preserveAspectRatio", "none");
    overlay.setAttribute("aria-hidden", "true");
    overlay.append(...this.#things.flatMap((thing, i) => outlines(thing, i)));
    this.#picture.replaceChildren(image, overlay, ...this.#things.flatMap((thing, i) => tags(thing, i)));
    this.#choice.hidden = this.pictures.length < 2;
    this.#choice.replaceChildren(...this.pictures.map((_, i) => this.#choose(i)));
  }

  /** An answer does not say which of several pictures it points at. */
  #choose(index: number): HTMLElement {
    const pressed = index === this.#shown;
    const button = h("button", {
      type: "button",
      class: "chip",
      "aria-pressed": String(pressed),
      text: `Picture ${index + 1}`,
    });
    button.addEventListener("click", () => {
      this.#shown = index;
      this.#draw();
      this.#choice.querySelectorAll("button")[index]?.focus();
    });
    return button;
  }
}

type Corner = readonly [x: number, y: number];

/** The outlines of a thing as lists of corners, in thousandths. */
function shapes(thing: Pointed): Corner[][] {
  if (thing.type === "polygons") return thing.polygons.map((points) => points.map(({ x, y }) => [x, y]));
  return thing.boxes.map(({ x1, y1, x2, y2 }) => [
    [x1, y1],
    [x2, y1],
    [x2, y2],
    [x1, y2],
  ]);
}

/** A line in the thing's colour over a light one, so that it is seen on any ground. */
const outlines = (thing: Pointed, index: number): SVGElement[] =>
  shapes(thing).flatMap((corners) =>
    ["halo", "line"].map((name) => {
      const polygon = document.createElementNS(SVG, "polygon");
      polygon.setAttribute("points", corners.map((corner) => corner.join(",")).join(" "));
      polygon.setAttribute("class", `${name} thing-${index % COLOURS}`);
      polygon.setAttribute("data-thing", String(index));
      return polygon;
    }),
  );

/** The numbers that the legend explains, each at the first corner of its outline. */
const tags = (thing: Pointed, index: number): HTMLElement[] =>
  shapes(thing).map((corners) => {
    const [x, y] = corners[0] ?? [0, 0];
    const tag = h("span", {
      class: `tag thing-${index % COLOURS}`,
      "data-thing": index,
      "aria-hidden": "true",
      text: String(index + 1),
    });
    tag.style.setProperty("left", `${Math.min(x, 960) / 10}%`);
    tag.style.setProperty("top", `${Math.min(y, 960) / 10}%`);
    return tag;
  });
