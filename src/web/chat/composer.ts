import { byId, h, icon } from "../dom.ts";
import { formatPlural } from "../format.ts";
import { announce } from "../notices.ts";
import { BlobUrls } from "./blob-urls.ts";
import { AttachError } from "./failures.ts";
import type { ChatSettings } from "./settings.ts";
import { shrinkPicture } from "./shrink-picture.ts";
import type { Attachment, Question } from "./turns.ts";
import { sampleVideo } from "./video-frames.ts";

/** Pictures of one question, frames of videos among them: more would not fit into what a model can read. */
const MAX_PICTURES = 64;

export interface ComposerEvents {
  /** `edited`: in place of the last question. */
  readonly onSend: (question: Question, edited: boolean) => void;
  readonly onStop: () => void;
  /** The question that was being edited stays as it was. */
  readonly onLeaveEditing: () => void;
}

/** A picture or video in the making, or made. */
interface Draft {
  readonly item: HTMLLIElement;
  readonly abort: AbortController;
  attachment?: Attachment;
}

/** Where a question is written, with its pictures. */
export class Composer {
  readonly #form = byId<HTMLFormElement>("composer");
  readonly #text = byId<HTMLTextAreaElement>("question");
  readonly #list = byId("attached");
  readonly #file = byId<HTMLInputElement>("attach-file");
  readonly #send = byId<HTMLButtonElement>("send");
  readonly #stop = byId<HTMLButtonElement>("stop");
  readonly #problem = byId("composer-problem");
  readonly #editing = byId("editing");
  readonly #urls = new BlobUrls();
  #drafts: Draft[] = [];
  #busy = false;

  constructor(
    readonly settings: ChatSettings,
    readonly events: ComposerEvents,
  ) {
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#text.addEventListener("keydown", (event) => {
      // While a word is being composed Enter takes it.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#submit();
    });
    this.#text.addEventListener("input", () => this.#refresh());
    this.#stop.addEventListener("click", () => events.onStop());
    byId("attach").addEventListener("click", () => this.#file.click());
    this.#file.addEventListener("change", () => {
      const files = [...(this.#file.files ?? [])];
      this.#file.value = "";
      this.addFiles(files);
    });
    byId("leave-editing").addEventListener("click", () => {
      this.clear();
      events.onLeaveEditing();
      this.focus();
    });
  }

  /** An answer is being made: the button stops it. */
  set busy(value: boolean) {
    const hadFocus = document.activeElement === this.#stop || document.activeElement === this.#send;
    this.#busy = value;
    this.#refresh();
    // The button that was pressed is gone.
    if (hadFocus) (value ? this.#stop : this.#text).focus();
  }

  get isEditing(): boolean {
    return !this.#editing.hidden;
  }

  get isEmpty(): boolean {
    return this.#text.value.trim() === "" && this.#drafts.length === 0;
  }

  focus(): void {
    this.#text.focus({ preventScroll: true });
  }

  /** Puts words in, and the caret behind them. */
  write(text: string): void {
    this.#text.value = text;
    this.#refresh();
    this.focus();
    this.#text.setSelectionRange(text.length, text.length);
  }

  /** Takes a question back to change it. */
  edit({ text, attachments }: Question): void {
    this.clear();
    for (const attachment of attachments) this.#fill(this.#newDraft(nameOf(attachment)), attachment);
    this.#editing.hidden = false;
    this.write(text);
  }

  clear(): void {
    for (const { abort } of this.#drafts) abort.abort();
    this.#drafts = [];
    this.#list.replaceChildren();
    this.#urls.clear();
    this.#text.value = "";
    this.#problem.textContent = "";
    this.#editing.hidden = true;
    this.#refresh();
  }

  addFiles(files: readonly File[]): void {
    this.#problem.textContent = "";
    for (const file of files) {
      if (file.type.startsWith("video/"))
        this.#add(file.name, async (signal, onStep) => ({
          kind: "video",
          name: file.name,
          frames: await sampleVideo(file, file.name, this.settings.now.frames, signal, onStep),
        }));
      // No type means one that the browser does not know: it looks into the file.
      else if (file.type === "" || file.type.startsWith("image/"))
        this.#add(file.name, async () => ({
          kind: "picture",
          picture: await shrinkPicture(file, file.name),
        }));
      else
        this.#complain(
          `${file.name} is neither a picture nor a video. Choose a JPEG, PNG, WebP, AVIF, GIF, MP4 or WebM file.`,
        );
    }
  }

  /** Attaches the picture that `load` gives. */
  addPicture(name: string, load: (signal: AbortSignal) => Promise<Blob>): void {
    this.#problem.textContent = "";
    this.#add(name, async (signal) => ({
      kind: "picture",
      picture: await shrinkPicture(await load(signal), name),
    }));
  }

  #add(
    name: string,
    make: (signal: AbortSignal, onStep: (done: number, total: number) => void) => Promise<Attachment>,
  ): void {
    if (this.#pictureCount() >= MAX_PICTURES) {
      this.#complain(`${name} is one too many: a question takes ${MAX_PICTURES} pictures at most.`);
      return;
    }
    const draft = this.#newDraft(name);
    const progress = h("span", { class: "muted", text: "…" });
    draft.item.prepend(progress);
    this.#refresh();
    const step = (done: number, total: number) => {
      progress.textContent = `${done} of ${total}`;
    };
    make(draft.abort.signal, step).then(
      (attachment) => {
        if (draft.abort.signal.aborted) return;
        progress.remove();
        this.#fill(draft, attachment);
        if (this.#pictureCount() > MAX_PICTURES) {
          this.#remove(draft);
          this.#complain(`${name} is too much: a question takes ${MAX_PICTURES} pictures at most.`);
        } else announce(`${name} is attached`);
      },
      (error: Error) => {
        if (draft.abort.signal.aborted) return;
        this.#remove(draft);
        this.#complain(
          error instanceof AttachError ? error.message : `${name} could not be read: ${error.message}`,
        );
      },
    );
  }

  #newDraft(name: string): Draft {
    const remove = h(
      "button",
      { type: "button", class: "remove", "aria-label": `Remove ${name}`, title: `Remove ${name}` },
      icon("close"),
    );
    const draft: Draft = { item: h("li", {}, remove), abort: new AbortController() };
    remove.addEventListener("click", () => {
      this.#remove(draft);
      this.focus();
    });
    this.#drafts.push(draft);
    this.#list.append(draft.item);
    return draft;
  }

  #fill(draft: Draft, attachment: Attachment): void {
    draft.attachment = attachment;
    const shown = attachment.kind === "video" ? attachment.frames[0] : attachment.picture;
    if (shown) draft.item.prepend(h("img", { src: this.#urls.of(shown.blob), alt: nameOf(attachment) }));
    if (attachment.kind === "video")
      draft.item.append(
        h("span", { class: "frame-count", text: formatPlural(attachment.frames.length, "frame") }),
      );
    this.#refresh();
  }

  #remove(draft: Draft): void {
    draft.abort.abort();
    draft.item.remove();
    this.#drafts = this.#drafts.filter((d) => d !== draft);
    this.#refresh();
  }

  #complain(text: string): void {
    this.#problem.textContent = text;
  }

  #pictureCount(): number {
    const count = ({ attachment }: Draft) => (attachment?.kind === "video" ? attachment.frames.length : 1);
    return this.#drafts.reduce((sum, draft) => sum + count(draft), 0);
  }

  #submit(): void {
    if (this.#busy || this.#send.disabled) return;
    const attachments = this.#drafts.flatMap(({ attachment }) => (attachment ? [attachment] : []));
    const question = { text: this.#text.value.trim(), attachments };
    const edited = this.isEditing;
    this.clear();
    this.events.onSend(question, edited);
  }

  #refresh(): void {
    const ready = this.#drafts.every(({ attachment }) => attachment !== undefined);
    this.#send.disabled = this.isEmpty || !ready;
    this.#send.hidden = this.#busy;
    this.#stop.hidden = !this.#busy;
    this.#list.hidden = this.#drafts.length === 0;
    // As high as its text, up to what the style allows.
    this.#text.style.height = "auto";
    this.#text.style.height = `${this.#text.scrollHeight}px`;
  }
}

const nameOf = (attachment: Attachment): string =>
  attachment.kind === "video" ? attachment.name : attachment.picture.name;
