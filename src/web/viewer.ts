import { api, largeThumb, original, type Picture } from "./api.ts";
import { byId, closeOnBackdrop, fillDialog, h, icon, openModal } from "./dom.ts";
import { fileName, formatBytes, formatScore, spokenName } from "./format.ts";
import { type LabelMemory, labelForm, probabilityBars } from "./label-form.ts";
import { announce } from "./notices.ts";

export interface ViewerEvents {
  /** The pictures that the arrow keys go through. */
  readonly pictures: () => readonly Picture[];
  readonly onMove: (id: string) => void;
  readonly onClosed: (id: string | undefined) => void;
  readonly onLike: (picture: Picture) => void;
  readonly onAsk: (picture: Picture) => void;
}

/** One picture, large, with what is known of it. */
export class Viewer {
  #dialog = byId<HTMLDialogElement>("viewer");
  #id: string | undefined;
  #abort = new AbortController();

  constructor(
    readonly memory: LabelMemory,
    readonly events: ViewerEvents,
  ) {
    closeOnBackdrop(this.#dialog);
    this.#dialog.addEventListener("keydown", (event) => this.#onKey(event));
    this.#dialog.addEventListener("close", () => {
      const id = this.#id;
      this.#id = undefined;
      this.#abort.abort();
      fillDialog(this.#dialog);
      this.events.onClosed(id);
    });
  }

  /** Shows a picture; one that is not among the results (an address was opened) is asked for. */
  async open(id: string): Promise<void> {
    if (this.#id === id) return;
    this.#abort.abort();
    this.#abort = new AbortController();
    const { signal } = this.#abort;
    const moved = this.#id !== undefined;
    this.#id = id;
    const known = this.events.pictures().find((picture) => picture.id === id);
    openModal(this.#dialog);
    try {
      const picture = known ?? (await api.picture(id, signal));
      if (signal.aborted) return;
      this.#show(picture);
      // Opening says the title anyway.
      if (moved) announce(spokenName(picture.path));
    } catch (error) {
      if (!signal.aborted) this.#fail(error as Error);
    }
  }

  close(): void {
    if (this.#dialog.open) this.#dialog.close();
  }

  #show(picture: Picture): void {
    const image = h("img", { alt: spokenName(picture.path), class: "large" });
    image.addEventListener("load", () => image.classList.add("loaded"));
    image.style.setProperty("--natural-width", String(picture.width));
    image.src = largeThumb(picture);
    const keepFocus = this.#dialog.contains(document.activeElement)
      ? document.activeElement?.getAttribute("aria-label")
      : undefined;
    fillDialog(
      this.#dialog,
      h("div", { class: "stage" }, this.#step(-1), image, this.#step(1)),
      this.#panel(picture),
    );
    const same =
      keepFocus && this.#dialog.querySelector<HTMLElement>(`button[aria-label="${keepFocus}"]:enabled`);
    (same || this.#dialog.querySelector<HTMLElement>(".close"))?.focus();
  }

  #panel(picture: Picture): HTMLElement {
    const bars = h("div");
    const like = h("button", { type: "button", class: "strong" }, icon("like"), "More like this");
    like.addEventListener("click", () => this.events.onLike(picture));
    const ask = h("button", { type: "button", class: "plain ask" }, icon("ask"), "Ask about it");
    ask.addEventListener("click", () => this.events.onAsk(picture));
    const close = h("button", { type: "button", class: "quiet close", "aria-label": "Close" }, icon("close"));
    close.addEventListener("click", () => this.close());
    return h(
      "div",
      { class: "panel" },
      h(
        "header",
        { class: "sheet-head" },
        h("h2", { id: "viewer-title", text: fileName(picture.path) }),
        close,
      ),
      ...facts(picture),
      h(
        "div",
        { class: "actions" },
        like,
        ask,
        h(
          "a",
          { class: "plain", href: original(picture), target: "_blank", rel: "noopener" },
          icon("open"),
          "Original",
        ),
      ),
      h("h3", { text: "Which label fits?" }),
      labelForm({
        memory: this.memory,
        pictures: () => [picture],
        show: ([result]) => bars.replaceChildren(...(result ? [probabilityBars(result)] : [])),
      }),
      bars,
    );
  }

  #fail(error: Error): void {
    const close = h("button", {
      type: "button",
      class: "plain",
      text: "Close",
      on: { click: () => this.close() },
    });
    const title = h("h2", { id: "viewer-title", text: "This picture cannot be shown" });
    fillDialog(
      this.#dialog,
      h("div", { class: "panel" }, title, h("p", { text: error.message, role: "alert" }), close),
    );
  }

  #neighbour(step: number): Picture | undefined {
    const pictures = this.events.pictures();
    const at = pictures.findIndex((picture) => picture.id === this.#id);
    return at < 0 ? undefined : pictures[at + step];
  }

  #step(step: 1 | -1): HTMLElement {
    const label = step < 0 ? "Previous picture" : "Next picture";
    const button = h("button", { type: "button", class: "step", "aria-label": label });
    button.append(icon(step < 0 ? "left" : "right"));
    button.disabled = this.#neighbour(step) === undefined;
    button.addEventListener("click", () => this.#move(step));
    return button;
  }

  #move(step: 1 | -1): void {
    const next = this.#neighbour(step);
    if (next) this.events.onMove(next.id);
  }

  #onKey(event: KeyboardEvent): void {
    if (event.target instanceof HTMLInputElement || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "ArrowLeft") this.#move(-1);
    if (event.key === "ArrowRight") this.#move(1);
  }
}

/** What is known of a picture, and room for what copying its path may meet. */
function facts(picture: Picture): HTMLElement[] {
  const problem = h("p", { class: "problem", role: "alert" });
  const copy = h("button", {
    type: "button",
    class: "quiet",
    "aria-label": "Copy the path",
    title: "Copy the path",
  });
  copy.append(icon("copy"));
  copy.addEventListener("click", () => void copyPath(picture.path, copy, problem));
  const list = h(
    "dl",
    { class: "facts" },
    ...(picture.score === undefined ? [] : fact("Similarity", `${formatScore(picture.score)} (cosine)`)),
    ...fact("Size", `${picture.width} × ${picture.height} pixels, ${formatBytes(picture.sizeBytes)}`),
    ...fact("Changed", new Date(picture.modified).toLocaleDateString("en", { dateStyle: "medium" })),
    h("dt", { text: "Path" }),
    h("dd", { class: "path" }, h("span", { text: picture.path }), copy),
  );
  return [list, problem];
}

const fact = (name: string, value: string): Node[] => [h("dt", { text: name }), h("dd", { text: value })];

async function copyPath(path: string, button: HTMLButtonElement, problem: HTMLElement): Promise<void> {
  // Without https the clipboard is only given to localhost.
  const copied = await navigator.clipboard?.writeText(path).then(
    () => true,
    () => false,
  );
  button.replaceChildren(icon(copied ? "check" : "copy"));
  problem.textContent = copied
    ? ""
    : "The browser does not allow copying here; select the path above and copy it yourself.";
  if (copied) announce("Path copied");
}
