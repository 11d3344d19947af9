import type { Picture } from "./api.ts";
import { byId } from "./dom.ts";

/** The pictures that the user picked out, over several searches, with the bar that says so. */
export class Selection {
  readonly #pictures = new Map<string, Picture>();

  constructor(
    readonly onChange: () => void,
    onClassify: (pictures: readonly Picture[]) => void,
  ) {
    byId("classify-selected").addEventListener("click", () => onClassify([...this.#pictures.values()]));
    byId("clear-selection").addEventListener("click", () => {
      this.#pictures.clear();
      this.#show();
    });
  }

  has(id: string): boolean {
    return this.#pictures.has(id);
  }

  set(picture: Picture, selected: boolean): void {
    if (selected) this.#pictures.set(picture.id, picture);
    else this.#pictures.delete(picture.id);
    this.#show();
  }

  #show(): void {
    byId("selection").hidden = this.#pictures.size === 0;
    byId("selected-count").textContent = `${this.#pictures.size} selected`;
    document.body.classList.toggle("selecting", this.#pictures.size > 0);
    this.onChange();
  }
}
