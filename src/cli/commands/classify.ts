import { type Command, Option } from "commander";
import { type Context, printJson, progressOf } from "../context.ts";
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
  readonly labels: string;
  readonly templates?: readonly string[];
  readonly top: number;
}

export function addClassify(program: Command, context: Context): void {
  program
    .command("classify")
    .description("Say which of your own labels fits each picture best, without any training.")
    .argument("<files...>", "pictures")
    .addOption(
      new Option("-l, --labels <a,b,c>", "the labels, or @FILE with one a line").makeOptionMandatory(),
    )
    .option(
      "-t, --templates <template>",
      "a phrase with {c} for the label; or imagenet:en (cn, jp, ar, it), the name of a data set, @FILE; repeatable",
      collect,
    )
    .addOption(new Option("--top <n>", "labels to print per picture").argParser(integer(1)).default(3))
    .addOption(modelOption(context))
    .addOption(offlineOption())
    .addOption(precisionOption())
    .addOption(threadsOption())
    .addOption(jsonOption())
    .addHelpText(
      "after",
      examples(
        'internvl classify photo.jpg --labels "cat,dog,a red car"',
        'internvl classify *.png --labels fruit,animal,flag --templates "a drawing of a {c}"',
        "internvl classify *.jpg --labels @labels.txt --json",
      ),
    )
    .action((files: string[], options: ClassifyOptions) => classify(context, files, options));
}

interface Classified {
  readonly path: string;
  /** Best first. */
  readonly labels: readonly { readonly label: string; readonly probability: number }[];
}

async function classify(context: Context, files: string[], options: ClassifyOptions): Promise<void> {
  const { ZeroShotClassifier } = await import("../../eval/zero-shot-classifier.ts");
  const { readLabels, readTemplates } = await import("../prompts.ts");
  const { checkFiles, embedFiles, throwIfBroken } = await import("../pictures.ts");
  const { signal } = context;
  const labels = await readLabels(options.labels);
  const templates = options.templates ? await readTemplates(options.templates) : undefined;
  await checkFiles(files);
  await using embedder = await openModel(context, options);
  const classifier = await ZeroShotClassifier.build(embedder, labels, templates, { signal });

  const results: Classified[] = [];
  const failed: { path: string; error: string }[] = [];
  {
    using progress = progressOf(context);
    for await (const file of embedFiles(context, embedder, files, "crop")) {
      if ("error" in file) failed.push(file);
      else
        results.push({ path: file.path, labels: ranked(labels, classifier.probabilities(file.embedding)) });
      progress.update({ label: "classifying", done: results.length + failed.length, total: files.length });
    }
  }
  if (options.json) await printJson(context, { model: embedder.id, results, failed });
  else await printTable(context, results, options.top);
  throwIfBroken(failed, files.length);
}

const ranked = (labels: readonly string[], probabilities: Float32Array): Classified["labels"] =>
  labels
    .map((label, i) => ({ label, probability: probabilities[i]! }))
    .sort((a, b) => b.probability - a.probability);

async function printTable(context: Context, results: readonly Classified[], top: number): Promise<void> {
  if (results.length === 0) return;
  const { percent, table } = await import("../table.ts");
  const columns = [
    { title: "%", align: "right" },
    { title: "label" },
    { title: "picture", flexible: true },
  ] as const;
  const rows = results.flatMap(({ path, labels }) =>
    labels
      .slice(0, top)
      .map(({ label, probability }, i) => [percent(probability), label, i === 0 ? path : ""]),
  );
  await context.out.write(table(context.out, columns, rows));
}
