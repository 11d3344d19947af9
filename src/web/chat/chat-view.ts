import { largeThumb, original, type Picture } from "../api.ts";
import { byId, h } from "../dom.ts";
import { fileName } from "../format.ts";
import { announce } from "../notices.ts";
import { answer } from "./answering.ts";
import { BlobUrls } from "./blob-urls.ts";
import type { ChatModels } from "./chat-models.ts";
import { Composer } from "./composer.ts";
import { ConversationsSheet } from "./conversations-sheet.ts";
import { ExchangeView } from "./exchange-view.ts";
import { AttachError } from "./failures.ts";
import { readGrounded, splitMarks, thingName } from "./grounded-text.ts";
import { ChatHistory } from "./history.ts";
import type { ChatSettings } from "./settings.ts";
import { SettingsSheet } from "./settings-sheet.ts";
import { STARTERS } from "./starters.ts";
import {
  type Answer,
  type Conversation,
  type Exchange,
  type KeptPicture,
  newConversation,
  picturesOf,
  type Question,
  titleOf,
} from "./turns.ts";

/** Answers are the likeliest, as the published evaluations'; who asks again wants another. */
const ANOTHER_TEMPERATURE = 0.7;

/** Files up to this are looked at as they are; of larger ones the server's small copy is enough. */
const ASKED_BYTES = 40_000_000;

/** The page is at its end when no more than this is left below, in pixels. */
const END_PX = 60;

/** Most of an answer that is said at once; the rest is there to be read. */
const SPOKEN_CHARS = 600;

export interface ChatViewEvents {
  /** The conversation on show has this id now, without the user going anywhere. */
  readonly onStarted: (id: string) => void;
  readonly onOpen: (id: string) => void;
  readonly onNew: () => void;
}

/** Questions about pictures and their answers, beside the search. */
export class ChatView {
  readonly #main = byId("chat-view");
  readonly #turns = byId("turns");
  readonly #start = byId("chat-start");
  readonly #title = byId("chat-title");
  readonly #history = new ChatHistory();
  readonly #urls = new BlobUrls();
  readonly #composer: Composer;
  readonly #sheet: ConversationsSheet;
  #conversation = newConversation();
  #views: ExchangeView[] = [];
  #run: Run | undefined;
  /** What is read from the history is shown unless something else was opened meanwhile. */
  #openings = 0;

  constructor(
    readonly models: ChatModels,
    readonly settings: ChatSettings,
    readonly events: ChatViewEvents,
  ) {
    this.#composer = new Composer(settings, {
      onSend: (question, edited) => {
        const { exchanges } = this.#conversation;
        void this.#ask(edited ? exchanges.slice(0, -1) : exchanges, question);
      },
      onStop: () => this.stop(),
      onLeaveEditing: () => announce("The question stays as it was"),
    });
    this.#sheet = new ConversationsSheet(this.#history, {
      current: () => this.#conversation.id,
      onOpen: (id) => events.onOpen(id),
      onRenamed: ({ id, title }) => {
        if (id !== this.#conversation.id) return;
        this.#conversation = { ...this.#conversation, title };
        this.#title.textContent = title;
      },
      onDeleted: (id) => {
        if (id !== this.#conversation.id) return;
        if (this.#run) this.#run.dropped = true;
        this.#show(newConversation());
        events.onStarted("new");
      },
    });
    byId("new-chat").addEventListener("click", () => {
      events.onNew();
      this.#composer.focus();
    });
    byId("open-conversations").addEventListener("click", () => void this.#sheet.open());
    const sheet = new SettingsSheet(settings, () => models.refresh());
    byId("open-chat-settings").addEventListener("click", () => sheet.open());
    document.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || event.defaultPrevented || !this.#run) return;
      if (!this.#main.hidden && !document.querySelector("dialog[open]")) this.stop();
    });
    this.#watchComposer();
    this.#showStart();
    this.#show(this.#conversation);
  }

  get title(): string {
    return this.#conversation.exchanges.length > 0 ? this.#conversation.title : "Chat";
  }

  /** The address of what is on show. */
  get place(): string {
    return this.#conversation.exchanges.length > 0 ? this.#conversation.id : "new";
  }

  /** Shows a conversation: "new", or the id of one that this browser keeps. */
  async open(id: string): Promise<void> {
    this.models.refresh();
    this.#openings++;
    if (id === this.#conversation.id) return;
    if (id === "new") {
      if (this.#conversation.exchanges.length > 0) this.#show(newConversation());
      return;
    }
    const opening = this.#openings;
    const kept = await this.#history.get(id);
    if (opening !== this.#openings) return;
    this.#show(kept ?? newConversation());
    if (kept) return this.#scrollToEnd();
    this.events.onStarted("new");
    announce("This browser no longer has that conversation.");
  }

  focus(): void {
    this.#composer.focus();
  }

  takeFiles(files: readonly File[]): void {
    this.#composer.addFiles(files);
    this.#composer.focus();
  }

  /** Attaches a picture of the index to the next question. */
  askAbout(picture: Picture): void {
    const small = picture.sizeBytes <= ASKED_BYTES && picture.width * picture.height <= ASKED_BYTES;
    this.#composer.addPicture(fileName(picture.path), async (signal) => {
      const response = await fetch(small ? original(picture) : largeThumb(picture), { signal });
      if (!response.ok) throw new AttachError(`${fileName(picture.path)} can no longer be read.`);
      const file = await response.blob();
      // Some formats are read by the server only.
      if (/^image\/(jpeg|png|webp|gif|avif|svg\+xml)$/.test(file.type)) return file;
      return (await fetch(largeThumb(picture), { signal })).blob();
    });
    this.#composer.focus();
  }

  /** Ends the answer that is being made; what there is of it stays. */
  stop(): void {
    this.#run?.abort.abort();
  }

  /** Where the end of the conversation was in view it stays so when the box below it grows. */
  #watchComposer(): void {
    const composer = byId("composer");
    let height = 0;
    new ResizeObserver(() => {
      const grown = composer.offsetHeight - height;
      height = composer.offsetHeight;
      if (grown > 0 && this.#below() - grown <= END_PX && !this.#main.hidden) this.#scrollToEnd();
    }).observe(composer);
  }

  /** Pixels of the page below what is in view. */
  #below(): number {
    return document.documentElement.scrollHeight - scrollY - innerHeight;
  }

  #showStart(): void {
    const chips = STARTERS.map(({ text, ask }) => {
      const button = h("button", { type: "button", class: "chip", text });
      button.addEventListener("click", () => this.#composer.write(ask));
      return h("li", {}, button);
    });
    byId("starters").replaceChildren(...chips);
  }

  /** Another conversation: the answer that is being made in this one is stopped. */
  #show(conversation: Conversation): void {
    this.stop();
    this.#run = undefined;
    this.#composer.busy = false;
    if (this.#composer.isEditing) this.#composer.clear();
    this.#conversation = conversation;
    this.#urls.clear();
    this.#views = [];
    this.#turns.replaceChildren();
    for (const [i, { answer }] of conversation.exchanges.entries()) this.#addView(i).finish(answer);
    this.#refresh();
  }

  #addView(index: number): ExchangeView {
    const { exchanges } = this.#conversation;
    const { question } = exchanges[index]!;
    const view = new ExchangeView(question, pointedAt(exchanges, index), this.#urls, {
      onEdit: () => {
        this.stop();
        this.#composer.edit(question);
      },
      onAgain: () => void this.#ask(exchanges.slice(0, index), question, ANOTHER_TEMPERATURE),
    });
    this.#views.push(view);
    this.#turns.append(view.element);
    return view;
  }

  #refresh(): void {
    const { exchanges, title } = this.#conversation;
    for (const [i, view] of this.#views.entries()) view.isLast = i === this.#views.length - 1;
    this.#start.hidden = exchanges.length > 0;
    this.#title.textContent = exchanges.length > 0 ? title : "New conversation";
  }

  /** Asks a question after these exchanges, which stay; what came after them goes. */
  async #ask(before: readonly Exchange[], question: Question, temperature = 0): Promise<void> {
    if (this.#run) this.#run.dropped = true;
    this.stop();
    const run: Run = { abort: new AbortController(), dropped: false };
    this.#run = run;
    const conversation: Conversation = {
      ...this.#conversation,
      title: this.#titleFor(before, question),
      changedMs: Date.now(),
      exchanges: [...before, { question }],
    };
    this.#conversation = conversation;
    for (const { element } of this.#views.splice(before.length)) element.remove();
    const view = this.#addView(before.length);
    this.#refresh();
    view.wait(waitingFor(question));
    this.#composer.busy = true;
    this.#scrollToEnd();
    announce("Asked; the answer is on its way");
    void this.#history.put(conversation);
    this.events.onStarted(conversation.id);

    const drawing = new Drawing((text, thinking) => this.#following(() => view.grow(text, thinking)));
    const given = await answer(
      this.models.selected,
      conversation,
      { ...this.settings.now, temperature },
      run.abort.signal,
      {
        onWaiting: (text) => view.wait(text),
        onWords: (text, thinking) => drawing.next(text, thinking),
      },
    );
    drawing.end();
    if (run.dropped) return;
    this.#following(() => view.finish(given));
    const exchanges = [...before, { question, answer: given }];
    if (this.#run === run) {
      this.#run = undefined;
      this.#composer.busy = false;
      this.#conversation = { ...this.#conversation, changedMs: Date.now(), exchanges };
      await this.#history.put(this.#conversation);
      announce(spoken(given));
    } else await this.#history.put({ ...conversation, exchanges });
  }

  /** The first question names the conversation, unless the user has. */
  #titleFor(before: readonly Exchange[], question: Question): string {
    const { title, exchanges } = this.#conversation;
    const first = exchanges[0];
    const ownName = first !== undefined && title !== titleOf(first.question);
    return before.length > 0 || ownName ? title : titleOf(question);
  }

  /** Changes the page; it stays at its end if that is where the user is, and where it is otherwise. */
  #following(change: () => void): void {
    const atEnd = this.#below() <= END_PX;
    change();
    if (atEnd && !this.#main.hidden) this.#scrollToEnd();
  }

  #scrollToEnd(): void {
    scrollTo({ top: document.documentElement.scrollHeight, behavior: "instant" });
  }
}

/** An answer that is being made. */
interface Run {
  readonly abort: AbortController;
  /** Nobody wants it any more: it was asked for again, or its conversation is deleted. */
  dropped: boolean;
}

/** Draws what there is of an answer, at most once a frame. */
class Drawing {
  #frame = 0;
  #words: readonly [text: string, thinking: string] = ["", ""];

  constructor(readonly draw: (text: string, thinking: string) => void) {}

  next(text: string, thinking: string): void {
    this.#words = [text, thinking];
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.draw(...this.#words);
    });
  }

  end(): void {
    cancelAnimationFrame(this.#frame);
  }
}

/** The pictures of a question, or of the last one before it that had some. */
function pointedAt(exchanges: readonly Exchange[], index: number): readonly KeptPicture[] {
  const asked = exchanges.slice(0, index + 1).map(({ question }) => picturesOf(question));
  return asked.findLast((pictures) => pictures.length > 0) ?? [];
}

function waitingFor(question: Question): string {
  const count = picturesOf(question).length;
  if (count === 0) return "Reading the question…";
  return count === 1 ? "Looking at the picture…" : `Looking at ${count} pictures…`;
}

/** What is said when an answer is there; alerts say failures themselves. */
function spoken({ text, ending }: Answer): string {
  if (ending === "failed") return "";
  const { markdown, things } = readGrounded(text, true);
  const named = splitMarks(markdown).map((part, i) =>
    i % 2 === 0 ? part : thingName(things[Number(part)]!),
  );
  const words = named.join("").replace(/[*`#>|]+/g, "");
  const start = words.length > SPOKEN_CHARS ? `${words.slice(0, SPOKEN_CHARS)}…` : words;
  return `${ending === "stopped" ? "Stopped" : "Answer"}: ${start}`;
}
