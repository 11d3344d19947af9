import { byId, closeOnBackdrop, fillDialog, h, openModal, sheetHead } from "../dom.ts";
import { announce } from "../notices.ts";
import { keyForm } from "./key-form.ts";
import { CHOICES, type ChatSettings } from "./settings.ts";

/** What is chosen for all conversations: how much of videos and pictures the model is shown, and the server's key. */
export class SettingsSheet {
  readonly #dialog = byId<HTMLDialogElement>("chat-settings");

  constructor(
    readonly settings: ChatSettings,
    readonly onKey: () => void,
  ) {
    closeOnBackdrop(this.#dialog);
  }

  open(): void {
    const { settings } = this;
    const frames = choice(
      "frames-of-video",
      "Frames of a video",
      "Of videos that you attach from now on. More show more, and take longer.",
      CHOICES.frames.map((n) => [String(n), String(n)] as const),
      String(settings.now.frames),
      (value) => settings.change({ frames: Number(value) }),
    );
    const tiles = choice(
      "tiles-of-picture",
      "Detail of a picture",
      "The model looks at a picture in tiles. Small print needs many; one is quickest.",
      CHOICES.tiles.map((n) => [String(n ?? ""), tilesText(n)] as const),
      String(settings.now.tiles ?? ""),
      (value) => settings.change({ tiles: value === "" ? undefined : Number(value) }),
    );
    const key = keyForm(settings, "key-of-server", () => {
      announce(settings.now.key === "" ? "The key is forgotten" : "The key is kept");
      this.onKey();
    });
    fillDialog(
      this.#dialog,
      sheetHead(this.#dialog, "chat-settings-title", "Settings"),
      h("div", { class: "settings" }, frames, tiles, key),
    );
    openModal(this.#dialog);
  }
}

function tilesText(tiles: number | undefined): string {
  if (tiles === undefined) return "As the model takes it";
  return tiles === 1 ? "1 tile" : `Up to ${tiles} tiles`;
}

function choice(
  id: string,
  label: string,
  note: string,
  options: readonly (readonly [value: string, text: string])[],
  chosen: string,
  onChoose: (value: string) => void,
): HTMLElement {
  const select = h(
    "select",
    { id, "aria-describedby": `${id}-note` },
    ...options.map(([value, text]) => h("option", { value, text, selected: value === chosen })),
  );
  select.addEventListener("change", () => onChoose(select.value));
  return h(
    "div",
    { class: "setting" },
    h("label", { for: id, text: label }),
    select,
    h("p", { class: "muted", id: `${id}-note`, text: note }),
  );
}
