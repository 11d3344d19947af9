import type { Command } from "commander";
import { type Context, note, printJson, progressOf } from "../context.ts";
import { examples, type JsonOption, jsonOption, threadsOption } from "../options.ts";
import type { TrainEvent } from "../services.ts";
import { percent } from "../table.ts";

interface TrainOptions extends JsonOption {
  readonly threads?: number;
}

export function addTrain(program: Command, context: Context): void {
  program
    .command("train")
    .description("Train a model as a recipe says, or go on where an earlier run of it stopped.")
    .argument("<recipe>", "recipe as JSON")
    .addOption(threadsOption())
    .addOption(jsonOption())
    .addHelpText(
      "after",
      `
Ctrl-C stops it; the same command goes on from the last checkpoint, to the same weights as a run
that was never stopped. With --json every report is a line of JSON.
${examples("internvl train recipes/nano/nano.json", "internvl train my-recipe.json --json > log.jsonl")}`,
    )
    .action((recipe: string, options: TrainOptions) => train(context, recipe, options));
}

async function train(context: Context, recipe: string, options: TrainOptions): Promise<void> {
  const { signal, services } = context;
  using bar = progressOf(context);
  // Reports come from within a step and cannot wait: they are written in order, and waited for at the end.
  let written = Promise.resolve();
  const onProgress = (event: TrainEvent) => {
    if (options.json) written = written.then(() => context.out.write(`${JSON.stringify(event)}\n`));
    const note = [
      `loss ${event.loss.toFixed(4)}`,
      ...Object.entries(event.recall ?? {}).map(([name, value]) => `${name} ${percent(value)} %`),
    ].join("  ");
    bar.update({
      label: "training: step",
      done: event.step,
      total: event.steps,
      ratePerSecond: undefined,
      etaSeconds: event.etaSeconds,
      note: `${Math.round(event.imagesPerSecond)} images/s  ${note}`,
    });
  };
  const threads = options.threads === undefined ? {} : { threads: options.threads };
  const summary = await services.train(recipe, { signal, onProgress, ...threads });
  bar.clear();
  await written;
  if (options.json) await printJson(context, summary);
  else await note(context, `trained ${summary.steps} steps: ${summary.output}`);
}
