import { api, type Job } from "./api.ts";
import { byId } from "./dom.ts";
import { fileName } from "./format.ts";
import { jobText, showProgress } from "./job-text.ts";
import { announce } from "./notices.ts";

/** Results are asked for again at most this often while pictures are being added. */
const REFRESH_EVERY_MS = 3000;

/** The line under the page's head that tells of indexing, whatever else is on the page. */
export class Activity {
  readonly #jobs = new Map<string, Job>();
  #refreshed = 0;

  constructor(
    readonly onJob: (job: Job) => void,
    /** The index has more pictures than a moment ago; `finished` when a folder is complete. */
    readonly onGrown: (finished: boolean) => void,
  ) {
    api.watchJobs((job) => this.#take(job));
  }

  #take(job: Job): void {
    const before = this.#jobs.get(job.folder);
    this.#jobs.set(job.folder, job);
    this.#show();
    this.onJob(job);
    const finished = job.state === "done" && before !== undefined && before.state !== "done";
    if (finished) announce(`${fileName(job.folder)} is indexed`);
    const grown = (job.progress?.done ?? 0) > (before?.progress?.done ?? 0);
    if (!finished && !(grown && Date.now() - this.#refreshed > REFRESH_EVERY_MS)) return;
    this.#refreshed = Date.now();
    this.onGrown(finished);
  }

  #show(): void {
    const job = [...this.#jobs.values()].find((j) => j.state === "indexing");
    byId("activity").hidden = !job;
    if (!job) return;
    byId("activity-text").textContent = `Indexing ${fileName(job.folder)}: ${jobText(job)}`;
    showProgress(byId<HTMLProgressElement>("activity-bar"), job);
  }
}
