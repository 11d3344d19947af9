import { stat } from "node:fs/promises";
import { type Command, Option } from "commander";
import { ConfigError } from "../../core/errors.ts";
import type { ClassNames } from "../../eval/class-names.ts";
import type { ClassificationItem, ClassificationResult } from "../../eval/classification.ts";
import { type Context, note, printJson } from "../context.ts";
import { evalOptionsOf, evalProgress } from "../eval-run.ts";
import {
  collect,
  examples,
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

interface ClassifyOptions extends ModelOptions, JsonOption {
  readonly classnames?: string;
  readonly templates?: readonly string[];
  readonly split?: string;
  readonly absolutePaths?: true;
  readonly batch: number;
  readonly cache: boolean;
}

export function addEvalClassify(parent: Command, context: Context): void {
  parent
    .command("classify")
    .description("Zero-shot accuracy over a folder per class, or over the groups of a manifest.")
    .argument("<data>", "folder with a folder of pictures per class, or a manifest whose lines have a group")
    .option(
      "--classnames <names>",
      "imagenet:en (cn, jp, ar, it), or a file: a name a line by sorted folder, or JSON from folder to name",
    )
    .option(
      "--templates <template>",
      "a phrase with {c} for the name; or imagenet:en, the name of a data set, @FILE; repeatable (default: ImageNet's)",
      collect,
    )
    .option("--split <name>", "only the manifest's lines of this split")
    .option("--absolute-paths", "let the manifest name pictures outside its folder")
    .addOption(new Option("--batch <n>", "pictures per computation").argParser(integer(1, 4096)).default(16))
    .option("--no-cache", "do not keep embeddings for the next run")
    .addOption(modelOption(context))
    .addOption(offlineOption())
    .addOption(precisionOption())
    .addOption(threadsOption())
    .addOption(jsonOption())
    .addHelpText(
      "after",
      `
Without --classnames the folders' names are the class names. Folders named by WordNet id (n01440764)
take their own names of ImageNet's 1000.
${examples(
  "internvl eval classify imagenet/val --classnames imagenet:en",
  "internvl eval classify imagenet-a --classnames imagenet:it --templates imagenet:it",
  'internvl eval classify pets --templates pets --templates "a {c}" --json',
)}`,
    )
    .action((data: string, options: ClassifyOptions) => classify(context, data, options));
}

async function classify(context: Context, data: string, options: ClassifyOptions): Promise<void> {
  const { evaluateClassification } = await import("../../eval/classification.ts");
  const { imagenetLanguage, readTemplates } = await import("../prompts.ts");
  const language = options.classnames === undefined ? undefined : imagenetLanguage(options.classnames);
  const templates = await readTemplates(options.templates ?? [`imagenet:${language ?? "en"}`]);
  const { items, names } = await readClasses(context, data, options);
  await using embedder = await openModel(context, options);
  using progress = evalProgress(context);
  const result = await evaluateClassification(embedder, items, {
    ...(await evalOptionsOf(context, embedder, "crop", options)),
    onProgress: progress.report,
    classNames: names,
    templates,
  });
  progress[Symbol.dispose]();
  if (options.json) await printJson(context, { data, ...result });
  else await printTable(context, result);
}

interface Classes {
  readonly items: readonly ClassificationItem[];
  readonly names: readonly string[];
}

async function readClasses(context: Context, data: string, options: ClassifyOptions): Promise<Classes> {
  const { assignClasses } = await import("../../eval/class-names.ts");
  const pictures = (await stat(data)).isDirectory()
    ? await readFolders(context, data)
    : await readGroups(data, options);
  const keys = [...new Set(pictures.map(({ key }) => key))];
  const { names, labelOf } = assignClasses(data, keys, await namesFor(keys, options.classnames));
  return { names, items: pictures.map(({ path, key }) => ({ path, label: labelOf.get(key)! })) };
}

interface KeyedPicture {
  readonly path: string;
  readonly key: string;
}

async function readFolders(context: Context, folder: string): Promise<KeyedPicture[]> {
  const { readClassFolder } = await import("../../data/class-folder.node.ts");
  const { classes, items, skipped } = await readClassFolder(folder);
  if (skipped.length > 0)
    await note(context, `${skipped.length} files are no pictures (first: ${skipped[0]})`);
  return items.map(({ path, label }) => ({ path, key: classes[label]! }));
}

async function readGroups(manifest: string, options: ClassifyOptions): Promise<KeyedPicture[]> {
  const { readManifest } = await import("../../data/manifest.node.ts");
  const items = await readManifest(manifest, {
    absolutePaths: options.absolutePaths ?? false,
    ...(options.split === undefined ? {} : { split: options.split }),
  });
  const without = items.filter((item) => item.group === undefined);
  if (without.length > 0)
    throw new ConfigError(
      `${manifest}: the group of a line is its class, ${without.length} of ${items.length} have none (first: ${without[0]!.image})`,
    );
  return items.map(({ path, group }) => ({ path, key: group! }));
}

async function namesFor(keys: readonly string[], spec: string | undefined): Promise<ClassNames | undefined> {
  if (spec === undefined) return undefined;
  const { imagenetLanguage, readClassNames } = await import("../prompts.ts");
  const names = await readClassNames(spec);
  if (!imagenetLanguage(spec)) return names;
  const { imagenetNames } = await import("../../eval/class-names.ts");
  const { imagenetWnids } = await import("../../eval/imagenet.node.ts");
  return imagenetNames(keys, { names: names as readonly string[], wnids: await imagenetWnids() });
}

async function printTable(context: Context, result: ClassificationResult): Promise<void> {
  const { count, percent, table } = await import("../table.ts");
  const columns = ["acc@1", "acc@5", "mean per class", "pictures", "classes", "templates"].map(
    (title) => ({ title, align: "right" }) as const,
  );
  const row = [
    ...[result.acc1, result.acc5, result.mean_per_class_recall].map(percent),
    ...[result.images, result.classes, result.templates].map(count),
  ];
  await context.out.write(`${result.model}\n${table(context.out, columns, [row])}`);
}
