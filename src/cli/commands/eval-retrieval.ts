import { type Command, Option } from "commander";
import type { RetrievalResult } from "../../eval/retrieval.ts";
import { type Context, printJson } from "../context.ts";
import { evalOptionsOf, evalProgress } from "../eval-run.ts";
import {
  commaList,
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

interface RetrievalOptions extends ModelOptions, JsonOption {
  readonly languages?: readonly string[];
  readonly split?: string;
  readonly protocol: "published" | "concepts";
  readonly cleanCaptions?: true;
  readonly absolutePaths?: true;
  readonly batch: number;
  readonly cache: boolean;
}

export function addEvalRetrieval(parent: Command, context: Context): void {
  parent
    .command("retrieval")
    .description("Recall@1, 5 and 10 of text→image and image→text search among the pictures of a manifest.")
    .argument("<manifest>", 'JSON lines of { "image": path, "captions": [texts] }, or captions by language')
    .option("--languages <a,b>", "languages to measure (default: all in the manifest)", commaList)
    .option("--split <name>", "only the lines of this split, such as heldout-concepts")
    .addOption(
      new Option("--protocol <name>", "what is asked and what counts as found, see below")
        .choices(["published", "concepts"])
        .default("published"),
    )
    .option("--clean-captions", "clean captions as for the published Flickr30K and COCO figures")
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
Protocols:
  published  every caption is a query; a hit is its own picture (COCO, Flickr30K, XTD)
  concepts   each picture's first caption is a query; a hit is any picture of the same group
             or with the same query text (the figures of the nano model)
${examples(
  "internvl eval retrieval coco/test.jsonl --clean-captions",
  "internvl eval retrieval data/manifest.jsonl --split heldout-concepts --protocol concepts",
  "internvl eval retrieval xtd.jsonl --languages en,ja --json",
)}`,
    )
    .action((manifest: string, options: RetrievalOptions) => retrieval(context, manifest, options));
}

async function retrieval(context: Context, manifest: string, options: RetrievalOptions): Promise<void> {
  const { readManifest } = await import("../../data/manifest.node.ts");
  const { CONCEPT_PROTOCOL, evaluateRetrieval, PUBLISHED_PROTOCOL } = await import("../../eval/retrieval.ts");
  const { cleanCaption } = await import("../../text/clean-caption.ts");
  const items = await readManifest(manifest, {
    absolutePaths: options.absolutePaths ?? false,
    ...(options.split === undefined ? {} : { split: options.split }),
  });
  await using embedder = await openModel(context, options);
  const protocol = options.protocol === "concepts" ? CONCEPT_PROTOCOL : PUBLISHED_PROTOCOL;
  using progress = evalProgress(context);
  const result = await evaluateRetrieval(embedder, items, {
    ...(await evalOptionsOf(context, embedder, "squash", options)),
    onProgress: progress.report,
    protocol: options.cleanCaptions ? { ...protocol, cleanCaption } : protocol,
    ...(options.languages ? { languages: options.languages } : {}),
  });
  progress[Symbol.dispose]();
  if (options.json) await printJson(context, { manifest, protocol: options.protocol, ...result });
  else await printTable(context, result);
}

async function printTable(context: Context, { model, languages }: RetrievalResult): Promise<void> {
  const { count, percent, table } = await import("../table.ts");
  const right = (title: string) => ({ title, align: "right" }) as const;
  const columns = [
    { title: "language" },
    ...["text→image R@1", "R@5", "R@10", "image→text R@1", "R@5", "R@10", "mean", "pictures", "texts"].map(
      right,
    ),
  ];
  const rows = Object.entries(languages).map(([language, s]) => [
    language,
    ...[
      s["image_retrieval_recall@1"],
      s["image_retrieval_recall@5"],
      s["image_retrieval_recall@10"],
      s["text_retrieval_recall@1"],
      s["text_retrieval_recall@5"],
      s["text_retrieval_recall@10"],
      s.mean_recall,
    ].map(percent),
    count(s.images),
    count(s.texts),
  ]);
  await context.out.write(`${model}\n${table(context.out, columns, rows)}`);
}
