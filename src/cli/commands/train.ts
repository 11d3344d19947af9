import type { Command } from "commander";
import type { TrainEvent } from "../../train/train.node.ts";
import { type Context, note, progressOf } from "../context.ts";
import { examples, type JsonOption, jsonOption, threadsOption } from "../options.ts";
import type { Progress } from "../progress.ts";
import { count, counted, percent } from "../table.ts";
import { type Terminal, visible } from "../terminal.ts";

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
  const write = (terminal: Terminal, text: string) => {
    written = written.then(() => {
      bar.clear();
      return terminal.write(text);
    });
  };
  const summary = await services.train(recipe, {
    signal,
    onProgress(event) {
      if (options.json) write(context.out, `${JSON.stringify(event)}\n`);
      else if (event.recall || event.heldOutLoss !== undefined)
        write(context.out, `${measuredLine(event)}\n`);
      showStep(bar, event);
    },
    onBroken: (path, reason) => write(context.err, `not used: ${visible(`${path}: ${reason}`)}\n`),
    ...(options.threads === undefined ? {} : { threads: options.threads }),
  });
  await written;
  bar.clear();
  if (options.json) await context.out.write(`${JSON.stringify(summary)}\n`);
  else await note(context, `trained ${counted(summary.steps, "step")}: ${summary.output}`);
}

function showStep(bar: Progress, { step, steps, loss, imagesPerSecond, etaSeconds }: TrainEvent): void {
  const note = `loss ${loss.toFixed(4)}  ${count(Math.round(imagesPerSecond))} images/s`;
  bar.update({ label: "training", done: step, total: steps, etaSeconds, note });
}

/** What was measured on held-out data, when it was. */
function measuredLine({ step, loss, recall = {}, heldOutLoss }: TrainEvent): string {
  const recalls = Object.entries(recall).map(([name, value]) => `${name} ${percent(value)}`);
  const heldOut = heldOutLoss === undefined ? [] : [`held-out loss ${heldOutLoss.toFixed(4)}`];
  return [`step ${step}`, `loss ${loss.toFixed(4)}`, ...heldOut, ...recalls].join("  ");
}
