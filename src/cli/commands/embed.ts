import { extname } from "node:path";
import { type Command, Option } from "commander";
import { UsageError } from "../../core/errors.ts";
import type { Embedder } from "../../infer/embedder.ts";
import { type Context, note, printJson, progressOf } from "../context.ts";
import {
  collect,
  examples,
  type JsonOption,
  jsonOption,
  type ModelOptions,
  modelOption,
  offlineOption,
  openModel,
  precisionOption,
  threadsOption,
} from "../options.ts";

interface EmbedOptions extends ModelOptions, JsonOption {
  readonly text?: readonly string[];
  readonly output?: string;
  readonly framing: "squash" | "crop";
}

const FORMATS = [".jsonl", ".safetensors", ".npy"];

export function addEmbed(program: Command, context: Context): void {
  program
    .command("embed")
    .description(
      "Print the embeddings of pictures and texts: unit vectors whose product is their similarity.",
    )
    .argument("[files...]", "pictures")
    .option("-t, --text <text>", "a text to embed, after the pictures; repeatable", collect)
    .option("-o, --output <file>", "write to a file by its ending: .jsonl, .safetensors or .npy")
    .addOption(
      new Option("--framing <how>", "how a picture becomes square")
        .choices(["squash", "crop"])
        .default("squash", "squash, as in search; crop as in classify"),
    )
    .addOption(modelOption(context))
    .addOption(offlineOption())
    .addOption(precisionOption())
    .addOption(threadsOption())
    .addOption(jsonOption())
    .addHelpText(
      "after",
      `\nOne JSON object a line: { "path" or "text": …, "embedding": [numbers] }; with --json one object for
all, with the model's name and what failed. The binary formats hold one
matrix in the order of the arguments; .safetensors also holds the names.
${examples(
  "internvl embed photo.jpg",
  "internvl embed *.jpg --output photos.npy",
  'internvl embed --text "a red apple" --text "ein roter Apfel"',
)}`,
    )
    .action((files: string[], options: EmbedOptions) => embed(context, files, options));
}

interface Embedded {
  readonly name: { readonly path: string } | { readonly text: string };
  readonly embedding: Float32Array;
}

const jsonOf = ({ name, embedding }: Embedded) => ({ ...name, embedding: [...embedding] });

async function embed(context: Context, files: string[], options: EmbedOptions): Promise<void> {
  const texts = options.text ?? [];
  const format = options.output === undefined ? ".jsonl" : extname(options.output).toLowerCase();
  if (!FORMATS.includes(format))
    throw new UsageError(
      `--output ${options.output}: expected a name that ends in ${FORMATS.join(", ")}, found "${format}"`,
    );
  if (options.json && options.output !== undefined)
    throw new UsageError(
      "embed: expected --json or --output, found both; --json is for the screen or a pipe",
    );
  if (files.length + texts.length === 0)
    throw new UsageError("embed: nothing to embed; name pictures, or texts with --text");
  const { checkFiles, throwIfBroken } = await import("../pictures.ts");
  await checkFiles(files);
  if (options.output !== undefined) {
    const { checkOutput } = await import("../output-file.ts");
    await checkOutput("--output", options.output);
  }
  await using embedder = await openModel(context, options);
  const failed: { error: string }[] = [];
  const stream = embedAll(context, embedder, files, texts, options.framing, failed);

  if (options.output === undefined && !options.json) {
    for await (const item of stream) await context.out.write(`${JSON.stringify(jsonOf(item))}\n`);
    throwIfBroken(failed, files.length);
    return;
  }
  const all: Embedded[] = [];
  for await (const item of stream) all.push(item);
  if (options.output === undefined) {
    const results = all.map(jsonOf);
    await printJson(context, { model: embedder.id, dimension: embedder.dimension, results, failed });
    throwIfBroken(failed, files.length);
    return;
  }
  // A matrix with rows missing would be taken for one without.
  throwIfBroken(failed, files.length);
  await writeEmbeddings(options.output, format, all, embedder.id);
  await note(context, `${options.output}: ${all.length} embeddings of width ${embedder.dimension}`);
}

async function* embedAll(
  context: Context,
  embedder: Embedder,
  files: readonly string[],
  texts: readonly string[],
  framing: EmbedOptions["framing"],
  failed: { error: string }[],
): AsyncGenerator<Embedded> {
  const { embedFiles } = await import("../pictures.ts");
  // Two writers on one screen would mix: a bar only when the results go elsewhere.
  using progress = context.out.isTTY ? undefined : progressOf(context);
  let done = 0;
  for await (const file of embedFiles(context, embedder, files, framing)) {
    if ("error" in file) failed.push(file);
    else yield { name: { path: file.path }, embedding: file.embedding };
    progress?.update({ label: "embedding", done: ++done, total: files.length });
  }
  const embeddings = texts.length > 0 ? await embedder.embedTexts(texts, { signal: context.signal }) : [];
  for (const [i, embedding] of embeddings.entries()) yield { name: { text: texts[i]! }, embedding };
}

async function writeEmbeddings(
  file: string,
  format: string,
  all: readonly Embedded[],
  model: string,
): Promise<void> {
  const { writeWhole } = await import("../../core/write-whole.node.ts");
  const width = all[0]!.embedding.length;
  const data = new Float32Array(all.length * width);
  for (const [i, { embedding }] of all.entries()) data.set(embedding, i * width);
  if (format === ".jsonl") {
    const lines = all.map((item) => JSON.stringify(jsonOf(item)));
    await writeWhole(file, `${lines.join("\n")}\n`);
  } else if (format === ".npy") {
    const { npyBytes } = await import("../npy.ts");
    await writeWhole(file, npyBytes(all.length, width, data));
  } else {
    const { writeSafetensors } = await import("../../weights/write-safetensors.node.ts");
    const { f32 } = await import("../../core/array.ts");
    const names = JSON.stringify(all.map(({ name }) => ("path" in name ? name.path : name.text)));
    await writeSafetensors(file, [["embeddings", f32([all.length, width], data)]], {
      metadata: { model, names },
    });
  }
}
