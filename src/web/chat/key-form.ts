import { h } from "../dom.ts";
import type { ChatSettings } from "./settings.ts";

/** Where the key of a server is entered that asks for one. `onUse` is called when it is kept. */
export function keyForm(settings: ChatSettings, id: string, onUse: () => void): HTMLFormElement {
  const input = h("input", {
    type: "password",
    id,
    value: settings.now.key,
    maxlength: 1000,
    autocomplete: "off",
    spellcheck: "false",
    "aria-describedby": `${id}-note`,
  });
  const form = h(
    "form",
    { class: "key-form" },
    h("label", { for: id, text: "API key" }),
    h("div", { class: "label-form" }, input, h("button", { class: "plain", text: "Use it" })),
    h("p", {
      class: "muted",
      id: `${id}-note`,
      text: "Kept in this browser, and sent to this server only.",
    }),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    settings.change({ key: input.value.trim() });
    onUse();
  });
  return form;
}
