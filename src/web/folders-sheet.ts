import { api, type Folder, type Job } from "./api.ts";
import { announce, byId, closeOnBackdrop, h, icon, openModal, sheetHead } from "./dom.ts";
import { fileName, formatPlural } from "./format.ts";
import { jobText } from "./job-text.ts";

/** The indexed folders: add one, watch it being indexed, take one out. */
export class FoldersSheet {
  #dialog = byId<HTMLDialogElement>("folders");
  #list = h("ul", { class: "folders" });
  #jobs = new Map<string, Job>();
  #shown = new Map<string, HTMLElement>();

  constructor(
    /** Whether this page may change folders; unknown until the server has said so. */
    readonly mayChange: () => boolean,
    readonly onRemoved: () => void,
  ) {
    closeOnBackdrop(this.#dialog);
  }

  async open(): Promise<void> {
    this.#dialog.replaceChildren(
      sheetHead(this.#dialog, "folders-title", "Folders"),
      this.mayChange() ? this.#addForm() : fixedNote(),
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
    const element = this.#shown.get(job.folder);
    const settled = before?.state !== job.state && job.state !== "indexing";
    if (!element || settled) void this.#reload();
    else element.querySelector(".job")?.replaceWith(jobView(job));
  }

  async #reload(): Promise<void> {
    try {
      const { folders } = await api.folders();
      this.#shown = new Map(folders.map((folder) => [folder.path, this.#folder(folder)]));
      this.#list.replaceChildren(...this.#shown.values());
      if (folders.length === 0) this.#list.append(h("li", { class: "muted", text: "No folder yet." }));
    } catch (error) {
      this.#list.replaceChildren(h("li", { class: "problem", text: (error as Error).message }));
    }
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
    try {
      const { job } = await api.addFolder(path);
      input.value = "";
      announce(`${job.folder} is being indexed`);
      this.update(job);
    } catch (error) {
      problem.textContent = (error as Error).message;
    }
  }

  #folder(folder: Folder): HTMLElement {
    const job = this.#jobs.get(folder.path) ?? folder.job;
    return h(
      "li",
      {},
      h(
        "div",
        { class: "folder-head" },
        h(
          "div",
          {},
          h("p", { class: "name", text: fileName(folder.path) }),
          h("p", { class: "muted path", text: folder.path }),
          h("p", { class: "muted", text: formatPlural(folder.pictures, "picture") }),
        ),
        this.mayChange() && this.#removeButton(folder),
      ),
      job ? jobView(job) : h("div", { class: "job" }),
    );
  }

  #removeButton(folder: Folder): HTMLElement {
    const button = h("button", {
      type: "button",
      class: "quiet",
      title: "Take it out of the index; the files stay",
    });
    button.setAttribute("aria-label", `Remove ${fileName(folder.path)} from the index`);
    button.append(icon("close"));
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        await api.removeFolder(folder.path);
        this.#jobs.delete(folder.path);
        this.onRemoved();
        announce(`${fileName(folder.path)} was removed from the index`);
      } catch (error) {
        announce((error as Error).message);
      }
      await this.#reload();
    });
    return button;
  }
}

function fixedNote(): HTMLElement {
  return h("p", {
    class: "muted",
    text: "This server can be reached from other machines, so its folders can only be chosen where it is started.",
  });
}

/** How far a folder is, with its broken files. */
function jobView(job: Job): HTMLElement {
  const { progress } = job;
  const bar = h("progress", { "aria-label": `Indexing ${fileName(job.folder)}` });
  if (progress?.phase === "embed" && progress.total) {
    bar.max = progress.total;
    bar.value = progress.done;
  }
  return h(
    "div",
    { class: "job" },
    job.state === "indexing" && bar,
    h("p", { class: job.state === "failed" ? "problem" : "muted", text: jobText(job) }),
    job.broken.length > 0 && brokenFiles(job),
  );
}

function brokenFiles(job: Job): HTMLElement {
  const count = Math.max(job.progress?.failed ?? 0, job.broken.length);
  const items = job.broken.map(({ path, reason }) =>
    h("li", {}, h("span", { class: "path", text: path }), h("span", { class: "muted", text: reason })),
  );
  return h(
    "details",
    {},
    h("summary", { text: `${formatPlural(count, "file")} could not be read` }),
    h("ul", { class: "broken" }, ...items),
  );
}
