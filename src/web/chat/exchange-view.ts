import { h, icon } from "../dom.ts";
import { formatPlural } from "../format.ts";
import { announce } from "../notices.ts";
import type { BlobUrls } from "./blob-urls.ts";
import { readGrounded } from "./grounded-text.ts";
import { MarkdownView } from "./markdown.ts";
import { PointedFigure } from "./pointed-figure.ts";
import type { Answer, Attachment, KeptPicture, Question } from "./turns.ts";

export interface ExchangeEvents {
  readonly onEdit: () => void;
  readonly onAgain: () => void;
}

/** A question and its answer. */
export class ExchangeView {
  readonly element = h("article", { class: "exchange" });
  readonly #thought = h("p", { class: "thought" });
  readonly #thinkingTitle = h("summary", { text: "Thinking…" });
  readonly #thinking = h("details", { class: "thinking", hidden: true }, this.#thinkingTitle, this.#thought);
  readonly #waiting = h("p", { class: "waiting-text" });
  readonly #text = h("div", { class: "prose" });
  readonly #problem = h("p", { class: "problem", role: "alert" });
  readonly #facts = h("span", { class: "answer-facts" });
  readonly #copy: HTMLButtonElement;
  readonly #again: HTMLButtonElement;
  readonly #edit: HTMLButtonElement;
  readonly #markdown: MarkdownView;
  readonly #figure: PointedFigure;
  readonly #answer: HTMLElement;
  #said = "";

  constructor(
    readonly question: Question,
    /** The pictures that the answer may point at: those of this question, or of the latest that had some. */
    pictures: readonly KeptPicture[],
    urls: BlobUrls,
    events: ExchangeEvents,
  ) {
    this.#figure = new PointedFigure(pictures, urls);
    this.#markdown = new MarkdownView(this.#text, {
      thing: (index) => this.#figure.chip(index),
      onCopy: (code, button) => void copyText(code, button, this.#problem),
    });
    this.#edit = tool("edit", "Edit the question", events.onEdit);
    this.#again = tool("again", "Answer again", events.onAgain);
    this.#copy = tool("copy", "Copy the answer", () => void copyText(this.#said, this.#copy, this.#problem));
    this.#answer = h(
      "div",
      { class: "answer" },
      h("h3", { class: "hidden", text: "Answer" }),
      this.#thinking,
      this.#waiting,
      this.#text,
      this.#figure.element,
      this.#problem,
      h("div", { class: "answer-foot" }, this.#copy, this.#again, this.#facts),
    );
    this.element.append(
      h(
        "div",
        { class: "question" },
        h("h3", { class: "hidden", text: "You" }),
        attachmentList(question.attachments, urls),
        question.text !== "" && h("p", { class: "question-text", text: question.text }),
        h("div", { class: "question-foot" }, this.#edit),
      ),
      this.#answer,
    );
    this.isLast = false;
  }

  /** Only the last question can be edited, and only its answer asked for again. */
  set isLast(value: boolean) {
    this.#edit.hidden = !value;
    this.#again.hidden = !value;
  }

  /** Says that the answer is awaited. */
  wait(text: string): void {
    this.#answer.setAttribute("aria-busy", "true");
    this.#answer.classList.add("growing");
    this.#show("", "", false);
    this.#problem.textContent = "";
    this.#facts.textContent = "";
    this.#waiting.hidden = false;
    this.#waiting.textContent = text;
  }

  /** Shows as much of the answer as there is. */
  grow(text: string, thinking: string): void {
    this.#waiting.hidden = text !== "" || thinking !== "";
    this.#show(text, thinking, false);
  }

  /** Shows the answer as it is kept; none for a question that got none. */
  finish(answer: Answer | undefined): void {
    this.#answer.removeAttribute("aria-busy");
    this.#answer.classList.remove("growing");
    this.#waiting.hidden = true;
    this.#show(answer?.text ?? "", answer?.thinking ?? "", true);
    const label = answer?.ending === "failed" ? "Try again" : "Answer again";
    this.#again.setAttribute("aria-label", label);
    this.#again.title = label;
    this.#again.className = answer?.ending === "failed" ? "plain" : "quiet";
    this.#again.replaceChildren(icon("again"), answer?.ending === "failed" ? label : "");
    this.#facts.textContent = answer ? factsOf(answer) : "No answer yet";
    // An alert that is there already is not said again.
    const problem = answer?.problem ?? "";
    if (this.#problem.textContent !== problem) this.#problem.textContent = problem;
  }

  #show(text: string, thinking: string, complete: boolean): void {
    this.#said = text;
    const { markdown, things } = readGrounded(text, complete);
    this.#figure.show(things);
    this.#markdown.show(markdown);
    this.#copy.hidden = text === "" || !complete;
    this.#thinking.hidden = thinking === "";
    this.#thought.textContent = thinking;
    this.#thinkingTitle.textContent = text === "" && !complete ? "Thinking…" : "What it thought";
  }
}

/** "Stopped · 128 tokens · 9.4 tokens per second" */
export function factsOf({ ending, tokens, tokensPerSecond }: Answer): string {
  const ends: Partial<Record<typeof ending, string>> = {
    stopped: "Stopped",
    length: "Cut off at the limit of tokens",
  };
  return [
    ends[ending],
    tokens === undefined ? undefined : formatPlural(tokens, "token"),
    tokensPerSecond === undefined
      ? undefined
      : `${tokensPerSecond < 10 ? tokensPerSecond.toFixed(1) : Math.round(tokensPerSecond)} tokens per second`,
  ]
    .filter((part) => part !== undefined)
    .join(" · ");
}

function attachmentList(attachments: readonly Attachment[], urls: BlobUrls): HTMLElement | undefined {
  if (attachments.length === 0) return undefined;
  const picture = ({ name, blob, width, height }: KeptPicture) =>
    h("img", { src: urls.of(blob), width, height, alt: name });
  return h(
    "ul",
    { class: "sent" },
    ...attachments.map((a) =>
      a.kind === "picture"
        ? h("li", {}, picture(a.picture))
        : h("li", { class: "frames" }, ...a.frames.map(picture), h("span", { class: "muted", text: a.name })),
    ),
  );
}

function tool(name: "edit" | "again" | "copy", label: string, onClick: () => void): HTMLButtonElement {
  const props = { type: "button", class: "quiet", "aria-label": label, title: label };
  return h("button", { ...props, on: { click: onClick } }, icon(name));
}

async function copyText(text: string, button: HTMLButtonElement, problem: HTMLElement): Promise<void> {
  // Without https the clipboard is only given to localhost.
  const copied = await navigator.clipboard?.writeText(text).then(
    () => true,
    () => false,
  );
  if (!copied) {
    problem.textContent = "The browser does not allow copying here; select the text and copy it yourself.";
    return;
  }
  button.replaceChildren(icon("check"));
  announce("Copied");
  setTimeout(() => button.replaceChildren(icon("copy")), 1500);
}
