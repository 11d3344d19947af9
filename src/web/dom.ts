type Child = Node | string | undefined | false;

interface Props {
  readonly class?: string;
  readonly text?: string;
  readonly on?: { readonly [E in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[E]) => void };
  readonly [attribute: string]: unknown;
}

/** An element with attributes, listeners and children; text is never parsed as HTML. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  props: Props = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  const { text, on, ...attributes } = props;
  if (text !== undefined) element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const [event, listener] of Object.entries(on ?? {}))
    element.addEventListener(event, listener as EventListener);
  element.append(...children.filter((c): c is Node | string => c !== undefined && c !== false));
  return element;
}

/** Makes these the children of an element. Those that are there in this order already are not moved: moving takes the focus. */
export function placeChildren(parent: Element, children: readonly Element[]): void {
  const wanted = new Set(children);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  let at = parent.firstElementChild;
  for (const child of children) {
    if (child === at) at = at.nextElementSibling;
    else parent.insertBefore(child, at);
  }
}

/** The element of index.html with this id. */
export function byId<E extends HTMLElement = HTMLElement>(id: string): E {
  const element = document.getElementById(id);
  if (!element) throw new Error(`index.html has no element with id ${id}`);
  return element as E;
}

const SVG = "http://www.w3.org/2000/svg";

const SHAPES = {
  box: "M7 4.5h10A2.5 2.5 0 0 1 19.5 7v10a2.5 2.5 0 0 1-2.5 2.5H7A2.5 2.5 0 0 1 4.5 17V7A2.5 2.5 0 0 1 7 4.5z",
  close: "M6 6l12 12M18 6L6 18",
  left: "M14.5 5.5L8 12l6.5 6.5",
  right: "M9.5 5.5L16 12l-6.5 6.5",
  like: "M5.5 5.5h5v5h-5zM13.5 5.5h5v5h-5zM5.5 13.5h5v5h-5zM16 13v6M13 16h6",
  copy: "M9 9h10v10H9zM15 9V5H5v10h4",
  open: "M13 5h6v6M19 5l-8.5 8.5M17 14v5H5V7h5",
  ask: "M5 5.5h14v10h-7.5L7.5 19v-3.5H5z",
  edit: "M5 19l1-4L15.5 5.5l3 3L9 18zM13.5 7.5l3 3",
  again: "M18.5 12a6.5 6.5 0 1 1-2-4.7M18.5 4.5v3.5H15",
  remove: "M5.5 7.5h13M9.5 7.5v-2h5v2M7.5 7.5l.7 11h7.6l.7-11",
  check: "M5.5 12.5l4.5 4.5 8.5-9.5",
} as const;

/** A box that holds a tick while it is on. */
export function checkbox(): SVGSVGElement {
  const svg = icon("box");
  const tick = shape("M8.5 12.2l2.5 2.6 4.7-5.3");
  tick.setAttribute("class", "tick");
  svg.append(tick);
  return svg;
}

function shape(d: string): SVGPathElement {
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", d);
  return path;
}

/** A line icon; it is decoration, so the control around it needs a name. */
export function icon(name: keyof typeof SHAPES): SVGSVGElement {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  svg.append(shape(SHAPES[name]));
  return svg;
}

/** Opens a modal dialog whose backdrop closes it too. */
export function openModal(dialog: HTMLDialogElement): void {
  if (dialog.open) return;
  dialog.showModal();
}

/** Replaces what a dialog shows. Its live region stays, emptied: screen readers only follow one that they know. */
export function fillDialog(dialog: HTMLDialogElement, ...children: readonly Node[]): void {
  for (const child of [...dialog.children]) {
    if (child.classList.contains("live")) child.textContent = "";
    else child.remove();
  }
  dialog.prepend(...children);
}

/** Clicks on the backdrop count as clicks on the dialog itself, not on what is in it. */
export function closeOnBackdrop(dialog: HTMLDialogElement): void {
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
}

/** The head of a sheet: its title and the button that closes it. */
export function sheetHead(dialog: HTMLDialogElement, id: string, title: string): HTMLElement {
  const close = h("button", {
    type: "button",
    class: "quiet",
    "aria-label": "Close",
    on: { click: () => dialog.close() },
  });
  close.append(icon("close"));
  return h("header", { class: "sheet-head" }, h("h2", { id, text: title }), close);
}
