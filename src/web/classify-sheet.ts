import type { Classified, Picture } from "./api.ts";
import { byId, closeOnBackdrop, fillDialog, h, openModal, sheetHead } from "./dom.ts";
import { fileName, formatPlural } from "./format.ts";
import { type LabelMemory, labelForm, probabilityBars } from "./label-form.ts";

/** Sorts the selected pictures into the user's own labels. */
export class ClassifySheet {
  #dialog = byId<HTMLDialogElement>("classify");

  constructor(readonly memory: LabelMemory) {
    closeOnBackdrop(this.#dialog);
  }

  open(pictures: readonly Picture[]): void {
    const results = h("ul", { class: "classified" });
    const show = (all: readonly Classified[]) =>
      results.replaceChildren(...all.map((one, i) => classifiedPicture(one, pictures[i]!)));
    fillDialog(
      this.#dialog,
      sheetHead(this.#dialog, "classify-title", `Classify ${formatPlural(pictures.length, "picture")}`),
      h("p", {
        class: "muted",
        text: "Type the labels to choose from. The model compares each picture with each label; the probabilities say how the labels rank against each other, not whether any of them is right.",
      }),
      labelForm({ memory: this.memory, pictures: () => pictures, show }),
      results,
    );
    openModal(this.#dialog);
    this.#dialog.querySelector("input")?.focus();
  }
}

function classifiedPicture(result: Classified, picture: Picture): HTMLElement {
  const image = h("img", { src: picture.thumb, alt: "", class: "small-plate" });
  const name = h("p", { class: "name", text: fileName(picture.path) });
  return h("li", {}, image, h("div", {}, name, probabilityBars(result)));
}
