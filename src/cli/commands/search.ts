import type { Command } from "commander";
import type { SearchResult } from "../../search/types.ts";
import { type Context, printJson } from "../context.ts";
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

interface SearchOptions extends ModelOptions, IndexOptions, JsonOption {
  readonly image?: string;
  readonly k: number;
  readonly folder?: string;
}

const MAX_K = 10_000;

export function addSearch(program: Command, context: Context): void {
  program
    .command("search")
    .description("Find pictures of the index by words, in the languages of the model, or by a picture.")
    .argument("[text]", "what to look for")
    .option("--image <file>", "look for pictures like this one")
    .option("-k, --k <n>", "number of results", integer(1, MAX_K), 10)
    .option("--folder <dir>", "only pictures below this folder")
    .addOption(indexOption(context))
    .addOption(modelOption(context))
    .addOption(offlineOption())
    .addOption(precisionOption())
    .addOption(threadsOption())
    .addOption(jsonOption())
    .addHelpText(
      "after",
      `
The score is the cosine of the two embeddings: it orders the results of one search, and says little
across searches.
${examples(
  'internvl search "a dog on the beach"',
  'internvl search "ein roter Apfel" -k 3',
  "internvl search --image photo.jpg --json",
)}`,
    )
    .action((text: string | undefined, options: SearchOptions) => search(context, text, options));
}

async function search(context: Context, text: string | undefined, options: SearchOptions): Promise<void> {
  const { UsageError } = await import("../../core/errors.ts");
  const { image, k, folder } = options;
  if ((text === undefined) === (image === undefined))
    throw new UsageError(
      'search: expected words, as in internvl search "a dog", or --image FILE, and not both',
    );
  const { checkFiles } = await import("../pictures.ts");
  if (image !== undefined) await checkFiles([image]);
  const { ImageIndex } = await import("../../search/image-index.ts");
  await ImageIndex.check(options.index);
  await using embedder = await openModel(context, options);
  await using index = await ImageIndex.open(options.index, embedder, { create: false });
  const results = await index.search({
    ...(text === undefined ? {} : { text }),
    ...(image === undefined ? {} : { image }),
    ...(folder === undefined ? {} : { folder }),
    k,
    signal: context.signal,
  });
  if (options.json) await printJson(context, { results });
  else await printTable(context, results);
}

async function printTable(context: Context, results: readonly SearchResult[]): Promise<void> {
  if (results.length === 0) return context.err.write("nothing found: the index holds no pictures here\n");
  const { table } = await import("../table.ts");
  const columns = [
    { title: "#", align: "right" },
    { title: "score", align: "right" },
    { title: "size", align: "right" },
    { title: "picture", flexible: true },
  ] as const;
  const rows = results.map(({ path, score, width, height }, i) => [
    String(i + 1),
    score.toFixed(4),
    `${width}×${height}`,
    path,
  ]);
  await context.out.write(table(context.out, columns, rows));
}
