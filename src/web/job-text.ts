import type { Job } from "./api.ts";
import { formatCount, formatRemaining } from "./format.ts";

/** One line about a job, for the sheet and the top of the page. */
export function jobText({ state, progress, error }: Job): string {
  switch (state) {
    case "queued":
      // Without a reason it is other folders that come first.
      return error === undefined ? "Waiting for its turn" : `Waiting for its turn: ${error}`;
    case "failed":
      return `Not indexed: ${error ?? "unknown reason"}`;
    case "done":
      return "Up to date";
    case "indexing":
      break;
  }
  if (progress?.phase === "optimize") return "Tidying the index…";
  if (progress?.phase !== "embed" || !progress.total) return "Looking for pictures…";
  const parts = [`${formatCount(progress.done)} of ${formatCount(progress.total)}`];
  if (progress.ratePerSecond > 0) parts.push(`${formatRate(progress.ratePerSecond)} pictures/s`);
  if (progress.etaSeconds !== undefined) parts.push(formatRemaining(progress.etaSeconds));
  return parts.join(" · ");
}

/** Fills the bar as far as the pictures are embedded; before and after that it tells of work without an end in sight. */
export function showProgress(bar: HTMLProgressElement, { progress }: Job): void {
  if (progress?.phase === "embed" && progress.total) {
    bar.max = progress.total;
    bar.value = progress.done;
  } else bar.removeAttribute("value");
}

const formatRate = (rate: number): string => (rate >= 10 ? formatCount(Math.round(rate)) : rate.toFixed(1));
