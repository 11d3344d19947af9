import type { Command } from "commander";
import type { ImageIndex } from "../../search/image-index.ts";
import type { Progress as IndexProgress } from "../../search/progress.ts";
import type { Failure } from "../../search/types.ts";
import type { Unsupported } from "../../search/unsupported.ts";
import { LARGEST_LIMIT, UPDATE_LIMITS, type UpdateResult } from "../../search/update.ts";
import { type Context, note, printJson, progressOf } from "../context.ts";
import {
  examples,
  type IndexOptions,
  indexOption,
  integer,
  type JsonOption,
  jsonOption,
  type ModelOptions,
  modelOption,
  offlineOption,
  openModel,
  precisionOption,
  threadsOption,
} from "../options.ts";
import type { Progress } from "../progress.ts";
import { count, counted } from "../table.ts";
import { visible } from "../terminal.ts";

interface IndexFoldersOptions extends ModelOptions, IndexOptions, JsonOption {
  readonly rebuild?: true;
  readonly retry?: true;
  readonly remove?: true;
  readonly maxPixels: number;
  readonly maxBytes: number;
}

/** Broken files that are printed; all of them are in the JSON. */
const LISTED = 20;
const PAGE = 1000;
const MAX_FAILURES = 100_000;

export function addIndex(program: Command, context: Context): void {
  program
    .command("index")
    .description("Make folders of pictures searchable, or bring the index up to date with them.")
    .argument("[folders...]", "folders, with all below them (default: all that the index knows)")
    .option("--remove", "take the folders out of the index; the files are not touched")
    .option("--rebuild", "begin again, as after a change of the model or precision")
    .option("--retry", "try files again that could not be read before")
    .option(
      "--max-pixels <n>",
      "largest picture in pixels",
      integer(1, LARGEST_LIMIT),
      UPDATE_LIMITS.maxPixels,
    )
    .option("--max-bytes <n>", "largest file in bytes", integer(1, LARGEST_LIMIT), UPDATE_LIMITS.maxBytes)
    .addOption(indexOption(context))
    .addOption(modelOption(context))
    .addOption(offlineOption())
    .addOption(precisionOption())
    .addOption(threadsOption())
    .addOption(jsonOption())
    .addHelpText(
      "after",
      `
Only new and changed pictures are read; pictures that are gone leave the index. It may be stopped
at any time: the next run goes on where it was. Files that cannot be read are listed and do not stop
it; with a higher limit, --retry looks again at those that were too large.
${examples("internvl index ~/Pictures", "internvl index", "internvl index ~/Pictures --remove")}`,
    )
    .action((folders: string[], options: IndexFoldersOptions) => indexFolders(context, folders, options));
}

async function indexFolders(
  context: Context,
  folders: string[],
  options: IndexFoldersOptions,
): Promise<void> {
  const { UsageError } = await import("../../core/errors.ts");
  if (options.remove && folders.length === 0)
    throw new UsageError("index --remove: name the folders that are to leave the index");
  const { ImageIndex } = await import("../../search/image-index.ts");
  const create = folders.length > 0 && !options.remove;
  if (!create) await ImageIndex.check(options.index);
  await using embedder = await openModel(context, options);
  await using index = await ImageIndex.open(options.index, embedder, {
    create,
    rebuild: options.rebuild ?? false,
  });
  if (options.remove) return removeFolders(context, index, folders, options);

  const result = await update(context, index, folders, options);
  const stats = await index.stats();
  const failures = await allFailures(index, options.json ? MAX_FAILURES : LISTED);
  if (options.json) {
    const { images, model } = stats;
    return printJson(context, {
      index: index.dir,
      model,
      images,
      folders: stats.folders,
      ...result,
      failures,
    });
  }
  await context.out.write(summary(result, failures, stats));
}

async function removeFolders(
  context: Context,
  index: ImageIndex,
  folders: readonly string[],
  options: JsonOption,
): Promise<void> {
  for (const folder of folders) await index.remove(folder);
  const { images } = await index.stats();
  if (options.json) await printJson(context, { index: index.dir, images, folders: await index.folders() });
  else await note(context, `${counted(images, "picture")} left in the index`);
}

async function update(
  context: Context,
  index: ImageIndex,
  folders: readonly string[],
  options: IndexFoldersOptions,
): Promise<UpdateResult> {
  using bar = progressOf(context);
  const { signal } = context;
  return index.update(folders.length > 0 ? folders : undefined, {
    signal,
    retryFailed: options.retry ?? false,
    limits: { maxPixels: options.maxPixels, maxBytes: options.maxBytes },
    onProgress: (progress) => showIndexing(bar, progress),
  });
}

const PHASES: Readonly<Record<Exclude<IndexProgress["phase"], "done">, string>> = {
  scan: "looking for pictures",
  embed: "indexing",
  remove: "removing",
  optimize: "tidying",
};

/** Shows how far an update is; the bar goes when it is done. */
export function showIndexing(bar: Progress, progress: IndexProgress): void {
  const { phase, failed, currentPath } = progress;
  if (phase === "done") {
    bar.clear();
    return;
  }
  const notes = [failed > 0 ? `${count(failed)} failed` : "", currentPath ?? ""];
  bar.update({ ...progress, label: PHASES[phase], note: notes.filter(Boolean).join("  ") });
}

async function allFailures(index: ImageIndex, limit: number): Promise<Failure[]> {
  const all: Failure[] = [];
  while (all.length < limit) {
    const last = all.at(-1);
    const page = await index.failures({
      limit: Math.min(PAGE, limit - all.length),
      ...(last ? { after: last.path } : {}),
    });
    all.push(...page);
    if (page.length === 0) break;
  }
  return all;
}

function summary(
  result: UpdateResult,
  failures: readonly Failure[],
  stats: { readonly images: number; readonly failed: number },
): string {
  const { added, changed, reused, removed, unchanged, problems, unsupported } = result;
  const parts = Object.entries({ added, changed, "moved or known": reused, removed, unchanged })
    .filter(([, n]) => n > 0)
    .map(([what, n]) => `${count(n)} ${what}`);
  const lines = [
    `${counted(stats.images, "picture")} in the index${parts.length ? `: ${parts.join(", ")}` : ""}`,
  ];
  const list = (title: string, items: readonly Failure[], total: number) => {
    if (total === 0) return;
    lines.push(
      title,
      ...items.slice(0, LISTED).map(({ path, reason }) => `  ${visible(reasonOf(path, reason))}`),
    );
    if (total > LISTED) lines.push(`  … and ${count(total - LISTED)} more (all with --json)`);
  };
  list(`${counted(stats.failed, "file")} could not be indexed:`, failures, stats.failed);
  list("Not looked at:", problems, problems.length);
  const passedOver = unsupportedLine(unsupported);
  if (passedOver) lines.push(passedOver);
  return `${lines.join("\n")}\n`;
}

/** "500 .heic and 1 .bmp files are not read: …"; undefined where there are none. */
export function unsupportedLine(unsupported: Unsupported): string | undefined {
  const kinds = Object.entries(unsupported).sort(([, a], [, b]) => b - a);
  if (kinds.length === 0) return undefined;
  const texts = kinds.map(([extension, n]) => `${count(n)} ${extension}`);
  const last = texts.pop()!;
  const all = texts.length > 0 ? `${texts.join(", ")} and ${last}` : last;
  const one = kinds.length === 1 && kinds[0]![1] === 1;
  return `${all} ${one ? "file is" : "files are"} not read: convert ${one ? "it" : "them"} to JPEG first`;
}

/** Reasons of the decoder already begin with the file's name. */
const reasonOf = (path: string, reason: string): string =>
  reason.includes(path) ? reason : `${path}: ${reason}`;
