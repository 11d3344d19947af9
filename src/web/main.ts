import { openAbout } from "./about.ts";
import { Activity } from "./activity.ts";
import type { Picture } from "./api.ts";
import { ChatModels } from "./chat/chat-models.ts";
import { ChatView } from "./chat/chat-view.ts";
import { ChatSettings } from "./chat/settings.ts";
import { ClassifySheet } from "./classify-sheet.ts";
import { byId, closeOnBackdrop, h, icon } from "./dom.ts";
import { EXAMPLES } from "./examples.ts";
import { FoldersSheet } from "./folders-sheet.ts";
import { fontCheck } from "./fonts.ts";
import { Grid } from "./grid.ts";
import { type Place, type Query, sameQuery } from "./location.ts";
import { Navigation } from "./navigation.ts";
import { hideNotice, showNotice } from "./notices.ts";
import { OwnPictures } from "./own-pictures.ts";
import { watchPictureInput } from "./picture-input.ts";
import { Results } from "./results.ts";
import { Selection } from "./selection.ts";
import { StatusLine } from "./status-line.ts";
import { Viewer } from "./viewer.ts";

const SEARCH_AFTER_MS = 140;

const input = byId<HTMLInputElement>("q");
const labels = { text: "" };
/** The index has changed while a dialog was open. */
let outdated = false;
const own = new OwnPictures();
const navigation = new Navigation(show);
const statusLine = new StatusLine();
const classifySheet = new ClassifySheet(labels);
const selection = new Selection(
  () => grid.refreshSelection(),
  (pictures) => classifySheet.open(pictures),
);
const grid = new Grid(byId("grid"), {
  onOpen: (picture) => navigation.view(picture.id),
  onLike: (picture) => navigation.go({ kind: "similar", id: picture.id }),
  onAsk: askAbout,
  onSelect: (picture, selected) => selection.set(picture, selected),
  isSelected: (id) => selection.has(id),
});
const results = new Results(grid, own, (latencyMs) => {
  statusLine.latencyMs = latencyMs;
});
const viewer = new Viewer(labels, {
  pictures: () => grid.pictures,
  onMove: (id) => navigation.view(id),
  onClosed: (id) => {
    navigation.closeView();
    if (id) grid.focusPicture(id);
  },
  onLike: (picture) => navigation.go({ kind: "similar", id: picture.id }),
  onAsk: askAbout,
});
const chatSettings = new ChatSettings();
const models = new ChatModels(chatSettings);
const chat = new ChatView(models, chatSettings, {
  onStarted: (id) => {
    navigation.nameChat(id);
    showTitle(navigation.place);
  },
  onOpen: (id) => navigation.chat(id),
  onNew: () => navigation.chat("new"),
});
const folders = new FoldersSheet(
  () => statusLine.status?.folderChanges ?? false,
  () => {
    void statusLine.refresh();
    results.refresh();
  },
);

/** Brings the page to a place; called for every change of the address. */
function show(place: Place, before: Place | undefined): void {
  if (!before || !sameQuery(place.query, before.query)) showQuery(place.query);
  if (place.view) void viewer.open(place.view);
  else viewer.close();
  showPage(place, before);
  showTitle(place);
}

/** Where the results were scrolled to when the chat was opened over them. */
let resultsTop = 0;

/** Shows the search or the chat. */
function showPage({ chat: id }: Place, before: Place | undefined): void {
  const chatting = id !== undefined;
  const changed = chatting !== (before?.chat !== undefined);
  if (chatting && changed) resultsTop = scrollY;
  for (const name of ["main", "search", "foot"]) byId(name).hidden = chatting;
  byId("chat-view").hidden = !chatting;
  document.body.classList.toggle("chatting", chatting);
  byId("tab-search").toggleAttribute("aria-current", false);
  byId("tab-chat").toggleAttribute("aria-current", false);
  byId(chatting ? "tab-chat" : "tab-search").setAttribute("aria-current", "page");
  byId("drop-text").textContent = chatting
    ? "Drop pictures or a video to ask about them"
    : "Drop the picture to find others like it";
  const skip = byId<HTMLAnchorElement>("skip");
  skip.href = chatting ? "#question" : "#grid";
  skip.textContent = chatting ? "Skip to your question" : "Skip to the pictures";
  if (id !== undefined) void chat.open(id).then(() => showTitle(navigation.place));
  else if (changed) scrollTo({ top: resultsTop, behavior: "instant" });
}

function showTitle({ query, chat: id }: Place): void {
  const text = query.kind === "text" ? query.text : "";
  if (id !== undefined) document.title = `${chat.title} · internvl`;
  else document.title = text ? `${text} · internvl` : "internvl: search pictures by what they show";
}

function askAbout(picture: Picture): void {
  navigation.chat("new");
  chat.askAbout(picture);
}

function showQuery(query: Query): void {
  const text = query.kind === "text" ? query.text : "";
  // While typing the box may hold a space more than the query: leave the caret alone.
  if (input.value.trim() !== text) input.value = text;
  byId("intro").hidden = query.kind !== "browse";
  hideNotice();
  void showQueryPicture(query);
  void results.show(query);
  if (scrollY > 0) scrollTo({ top: 0 });
}

/** The picture that is searched by, with a way out. */
async function showQueryPicture(query: Query): Promise<void> {
  const box = byId("query-picture");
  const url =
    query.kind === "similar"
      ? `/api/thumb?id=${encodeURIComponent(query.id)}`
      : query.kind === "picture"
        ? await own.url(query.key)
        : undefined;
  if (!sameQuery(query, navigation.place.query)) return;
  box.hidden = url === undefined;
  if (url === undefined) return;
  const clear = h(
    "button",
    { type: "button", class: "quiet", "aria-label": "Clear this search" },
    icon("close"),
  );
  clear.addEventListener("click", () => {
    navigation.go({ kind: "browse" });
    input.focus();
  });
  box.replaceChildren(h("img", { src: url, alt: "The picture that is searched by" }), clear);
}

function watchSearchBox(): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const query = (): Query => {
    const text = input.value.trim();
    return text ? { kind: "text", text } : { kind: "browse" };
  };
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => navigation.type(query()), SEARCH_AFTER_MS);
  });
  byId("search-form").addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(timer);
    navigation.type(query());
    navigation.settle();
  });
  input.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown" || grid.pictures.length === 0) return;
    event.preventDefault();
    grid.focusFirst();
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLTextAreaElement;
    if (
      event.key !== "/" ||
      typing ||
      event.ctrlKey ||
      event.metaKey ||
      document.querySelector("dialog[open]")
    )
      return;
    event.preventDefault();
    if (navigation.place.chat !== undefined) return chat.focus();
    input.select();
    input.focus();
  });
}

function showExamples(): void {
  const canDraw = fontCheck();
  const chips = EXAMPLES.filter(({ text }) => canDraw(text)).map(({ text, lang, hint }) => {
    const button = h("button", { type: "button", class: "chip", lang, text, title: hint });
    button.addEventListener("click", () => navigation.go({ kind: "text", text }));
    return h("li", {}, button);
  });
  byId("examples").replaceChildren(...chips);
}

function watchIndexing(): void {
  new Activity(
    (job) => folders.update(job),
    (finished) => {
      void statusLine.refresh();
      // Results that someone is looking at stay still until the folder is complete.
      const waiting = results.query.kind === "browse" || grid.pictures.length === 0;
      if (finished || waiting) refreshResults();
    },
  );
  // Closing does not bubble; the way down passes here.
  document.addEventListener("close", () => outdated && refreshResults(), { capture: true });
}

/** Brings the results up to date: now, or when the dialog that is open, and may be about one of them, is closed. */
function refreshResults(): void {
  outdated = document.querySelector("dialog[open]") !== null;
  if (!outdated) results.refresh();
}

/** The tabs are links, so that they open in a page of their own too. */
function watchTabs(): void {
  const follow = (id: string, go: () => void) =>
    byId(id).addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      go();
    });
  follow("tab-search", () => navigation.search());
  follow("tab-chat", () => {
    navigation.chat(navigation.place.chat ?? chat.place);
    chat.focus();
  });
}

watchSearchBox();
watchTabs();
watchPictureInput({
  onPicture: (picture) => navigation.go({ kind: "picture", key: own.add(picture) }),
  takes: (files) => {
    const chatting = navigation.place.chat !== undefined;
    if (chatting) chat.takeFiles(files);
    return chatting;
  },
  onProblem: showNotice,
  maxBytes: () => statusLine.status?.limits.uploadBytes,
});
showExamples();
byId("open-folders").addEventListener("click", () => void folders.open());
byId("activity-text").addEventListener("click", () => void folders.open());
closeOnBackdrop(byId<HTMLDialogElement>("about"));
byId("open-about").addEventListener("click", () => openAbout(statusLine.status?.model));
void statusLine.refresh();
models.refresh();
watchIndexing();
navigation.start();
