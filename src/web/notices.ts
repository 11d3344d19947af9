import { h, icon } from "./dom.ts";

/** The open dialog that the user is in; what lies beneath it is inert: neither heard nor clicked. */
function topDialog(): HTMLDialogElement | undefined {
  const focused = document.activeElement?.closest<HTMLDialogElement>("dialog[open]");
  return focused ?? [...document.querySelectorAll<HTMLDialogElement>("dialog[open]")].at(-1);
}

/** Says something to screen readers without moving the focus. */
export function announce(text: string): void {
  const live = (topDialog() ?? document.body).querySelector(":scope > .live");
  if (!live) throw new Error("index.html: expected an element of class live in the body and in each dialog");
  live.textContent = text;
}

/** Shows and says a problem that belongs to no place of the page, until it is closed or another one comes. */
export function showNotice(text: string): void {
  hideNotice();
  const close = h(
    "button",
    { type: "button", class: "quiet", "aria-label": "Dismiss this message", on: { click: hideNotice } },
    icon("close"),
  );
  const notice = h("div", { id: "notice", class: "notice", role: "alert" }, h("p", { text }), close);
  (topDialog() ?? document.body).append(notice);
}

export function hideNotice(): void {
  document.getElementById("notice")?.remove();
}
