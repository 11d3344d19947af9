import { type Command, Option } from "commander";
import { QUANTIZED_PRECISIONS, type QuantizedPrecision } from "../../core/precisions.ts";
import { type Context, note, printJson, progressOf } from "../context.ts";
import { examples, type JsonOption, jsonOption, offlineOption, threadsOption } from "../options.ts";
import { bytes } from "../table.ts";
import { visible } from "../terminal.ts";

interface QuantizeCommandOptions extends JsonOption {
  readonly precision: QuantizedPrecision;
  readonly threads?: number;
  readonly offline?: true;
}

export function addQuantize(program: Command, context: Context): void {
  program
    .command("quantize")
    .description("Write a model in 8 or 4 bits into a folder, to load it in a fraction of the time.")
    .argument("<model>", "OWNER/NAME of a model on the hub, or its folder")
    .argument("<folder>", "where to; made if it is not there")
    .addOption(
      new Option("--precision <name>", "as chat and the other commands make it when they load a model")
        .choices(QUANTIZED_PRECISIONS)
        .default("w8"),
    )
    .addOption(offlineOption())
    .addOption(threadsOption())
    .addOption(jsonOption())
    .addHelpText(
      "after",
      `
The folder takes the model's place wherever one is named, and answers as the model does with this
--precision. Adapters are merged. GGUF files are used as they are.
${examples(
  "internvl quantize OpenGVLab/InternVL3-1B models/InternVL3-1B-w8",
  "internvl quantize OpenGVLab/InternVL3-8B models/InternVL3-8B-w4 --precision w4",
  'internvl chat models/InternVL3-8B-w4 photo.jpg "What is on the sign?"',
)}`,
    )
    .action((model: string, folder: string, options: QuantizeCommandOptions) =>
      quantize(context, model, folder, options),
    );
}

async function quantize(
  context: Context,
  model: string,
  folder: string,
  { precision, threads, offline, json }: QuantizeCommandOptions,
): Promise<void> {
  const { locateModel } = await import("../locate-model.ts");
  const path = await locateModel(context, model, offline ? { offline } : {});
  const { quantizeModel } = await import("../../infer/quantize-model.node.ts");
  using bar = progressOf(context);
  const summary = await quantizeModel(path, folder, {
    precision,
    signal: context.signal,
    onProgress: (done, total) => bar.update({ label: "quantizing", done, total, unit: "bytes" }),
    ...(threads !== undefined && { threads }),
  });
  bar.clear();
  if (json) return printJson(context, summary);
  const { from, to } = summary;
  await note(context, `${visible(folder)}: ${bytes(to)} as ${precision}, of ${bytes(from)}`);
}
