import { api, type Folder, type Job } from "./api.ts";
import { byId, closeOnBackdrop, fillDialog, h, openModal, placeChildren, sheetHead } from "./dom.ts";
import { FolderEntry } from "./folder-entry.ts";
import { fileName } from "./format.ts";
import { announce } from "./notices.ts";

/** The indexed folders: add one, watch it being indexed, take one out. */
export class FoldersSheet {
  #dialog = byId<HTMLDialogElement>("folders");
  #list = h("ul", { class: "folders" });
  #problem = h("p", { class: "problem", role: "alert" });
  #jobs = new Map<string, Job>();
  /** By path. */
  #entries = new Map<string, FolderEntry>();
  #outdated = false;
  #reloading = false;

  constructor(
    /** Whether this page may change folders; unknown until the server has said so. */
    readonly mayChange: () => boolean,
    readonly onRemoved: () => void,
  ) {
    closeOnBackdrop(this.#dialog);
  }

  async open(): Promise<void> {
    // Only those made now know whether folders may be changed.
    this.#entries.clear();
    fillDialog(
      this.#dialog,
      sheetHead(this.#dialog, "folders-title", "Folders"),
      this.mayChange() ? this.#addForm() : fixedNote(),
      this.#problem,
      this.#list,
    );
    openModal(this.#dialog);
    await this.#reload();
  }

  /** Takes in what the server says about a folder's indexing. */
  update(job: Job): void {
    const before = this.#jobs.get(job.folder);
    this.#jobs.set(job.folder, job);
    if (!this.#dialog.open) return;
    const entry = this.#entries.get(job.folder);
    entry?.showJob(job);
    const settled = before?.state !== job.state && job.state !== "indexing";
    if (!entry || settled) void this.#reload();
  }

  /** Asks for the folders; asked to while an answer is on its way, once more after it. */
  async #reload(): Promise<void> {
    this.#outdated = true;
    if (this.#reloading) return;
    this.#reloading = true;
    while (this.#outdated) {
      this.#outdated = false;
      try {
        const { folders } = await api.folders();
        this.#problem.textContent = "";
        this.#show(folders);
      } catch (error) {
        this.#problem.textContent = (error as Error).message;
      }
    }
    this.#reloading = false;
  }

  /** Adds, changes and takes out entries; those that stay are not touched more than they have to be. */
  #show(folders: readonly Folder[]): void {
    const hadFocus = this.#list.contains(document.activeElement);
    const before = this.#entries;
    this.#entries = new Map(
      folders.map((folder) => [folder.path, before.get(folder.path) ?? this.#entry(folder.path)]),
    );
    for (const folder of folders)
      this.#entries.get(folder.path)?.show(folder, this.#jobs.get(folder.path) ?? folder.job);
    const items = [...this.#entries.values()].map((entry) => entry.element);
    placeChildren(
      this.#list,
      items.length > 0 ? items : [h("li", { class: "muted", text: "No folder yet." })],
    );
    if (hadFocus && !this.#list.contains(document.activeElement))
      (this.#dialog.querySelector("input") ?? this.#dialog.querySelector("button"))?.focus();
  }

  #entry(path: string): FolderEntry {
    return new FolderEntry(path, this.mayChange() ? () => this.#remove(path) : undefined);
  }

  async #remove(path: string): Promise<void> {
    try {
      await api.removeFolder(path);
    } catch (error) {
      void this.#reload();
      throw error;
    }
    this.#jobs.delete(path);
    this.onRemoved();
    await this.#reload();
    announce(`${fileName(path)} was removed from the index`);
  }

  #addForm(): HTMLElement {
    const problem = h("p", { class: "problem", role: "alert" });
    const input = h("input", {
      type: "text",
      id: "folder-path",
      placeholder: "~/Pictures",
      autocomplete: "off",
      autocapitalize: "off",
      spellcheck: "false",
      maxlength: 4096,
    });
    const form = h(
      "form",
      { class: "label-form" },
      input,
      h("button", { type: "submit", class: "strong", text: "Add folder" }),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#add(input, problem);
    });
    return h(
      "div",
      { class: "add" },
      h("label", { for: "folder-path", text: "A folder on the machine where internvl runs" }),
      form,
      problem,
      h("p", {
        class: "muted",
        text: "Its pictures, those in its subfolders too, are read and compared on that machine. They stay where they are, and nothing is sent anywhere else.",
      }),
    );
  }

  async #add(input: HTMLInputElement, problem: HTMLElement): Promise<void> {
    problem.textContent = "";
    const path = input.value.trim();
    if (!path) {
      problem.textContent = "Type the full path of a folder, such as /home/you/Pictures.";
      return;
    }
    const before = new Map(this.#jobs);
    try {
      const { job } = await api.addFolder(path);
      input.value = "";
      announce(`${job.folder} is being indexed`);
      // A small folder may be done, and the events have said so, before this answer of its beginning arrives.
      if (this.#jobs.get(job.folder) === before.get(job.folder)) this.update(job);
    } catch (error) {
      problem.textContent = (error as Error).message;
    }
  }
}

function fixedNote(): HTMLElement {
  return h("p", {
    class: "muted",
    text: "This server can be reached from other machines, so its folders can only be chosen where it is started.",
  });
}
