import type { Folder, Job } from "./api.ts";
import { h, icon } from "./dom.ts";
import { fileName, formatPlural } from "./format.ts";
import { jobText, showProgress } from "./job-text.ts";

/** One folder of the sheet. News changes it in place: what is open stays open, and the focus where it is. */
export class FolderEntry {
  readonly element: HTMLLIElement;
  readonly #pictures = h("p", { class: "muted" });
  readonly #problem = h("p", { class: "problem", role: "alert" });
  readonly #job = new JobView();

  constructor(
    readonly path: string,
    /** Takes the folder out of the index; undefined where this page may not. Rejects with the reason why it is not done. */
    onRemove: (() => Promise<void>) | undefined,
  ) {
    const names = h(
      "div",
      {},
      h("p", { class: "name", text: fileName(path) }),
      h("p", { class: "muted path", text: path }),
      this.#pictures,
    );
    this.element = h(
      "li",
      {},
      h("div", { class: "folder-head" }, names, onRemove && this.#removeButton(onRemove)),
      this.#problem,
      this.#job.element,
    );
  }

  show(folder: Folder, job: Job | undefined): void {
    this.#pictures.textContent = formatPlural(folder.pictures, "picture");
    if (job) this.showJob(job);
  }

  showJob(job: Job): void {
    this.#job.show(job);
  }

  #removeButton(onRemove: () => Promise<void>): HTMLElement {
    const button = h("button", {
      type: "button",
      class: "quiet",
      title: "Take it out of the index; the files stay",
      "aria-label": `Remove ${fileName(this.path)} from the index`,
    });
    button.append(icon("close"));
    button.addEventListener("click", async () => {
      // Not disabled: that would take the focus from the button.
      if (button.ariaBusy === "true") return;
      button.ariaBusy = "true";
      this.#problem.textContent = "";
      try {
        await onRemove();
      } catch (error) {
        this.#problem.textContent = `Not removed: ${(error as Error).message}`;
      } finally {
        button.ariaBusy = null;
      }
    });
    return button;
  }
}

/** How far a folder is, with its broken files. */
class JobView {
  readonly #bar = h("progress", { hidden: true });
  readonly #text = h("p");
  readonly #summary = h("summary");
  readonly #broken = h("ul", { class: "broken" });
  readonly #details = h("details", { hidden: true }, this.#summary, this.#broken);
  readonly element = h("div", { class: "job" }, this.#bar, this.#text, this.#details);
  #listed = "";

  show(job: Job): void {
    const { state } = job;
    this.#bar.hidden = state !== "indexing";
    this.#bar.setAttribute("aria-label", `Indexing ${fileName(job.folder)}`);
    showProgress(this.#bar, job);
    this.#text.className = state === "failed" ? "problem" : "muted";
    this.#text.textContent = jobText(job);
    // A folder that is looked at again begins with an empty list: until it is through, that of the last time stands.
    if (job.broken.length > 0 || state === "done" || state === "failed") this.#listBroken(job);
  }

  #listBroken({ broken, progress }: Job): void {
    const count = Math.max(progress?.failed ?? 0, broken.length);
    this.#details.hidden = broken.length === 0;
    this.#summary.textContent = `${formatPlural(count, "file")} could not be read`;
    // The same list again would lose its place and what is selected in it.
    const list = JSON.stringify(broken);
    if (list === this.#listed) return;
    this.#listed = list;
    const items = broken.map(({ path, reason }) =>
      h("li", {}, h("span", { class: "path", text: path }), h("span", { class: "muted", text: reason })),
    );
    this.#broken.replaceChildren(...items);
  }
}
