import type { Command } from "commander";
import { ConfigError } from "../../core/errors.ts";
import type { ParityOutput } from "../../eval/parity.node.ts";
import type { ParityProgress } from "../../eval/parity-case.ts";
import { type Context, note, printJson, progressOf } from "../context.ts";
import { examples, type JsonOption, jsonOption, threadsOption } from "../options.ts";
import { style, type Terminal, visible } from "../terminal.ts";

interface ParityOptions extends JsonOption {
  readonly threads?: number;
}

export function addParity(program: Command, context: Context): void {
  program
    .command("parity")
    .description("Does this machine reproduce the reference? Compares a model's outputs with expected ones.")
    .argument("<dir>", "folder with a checkpoint and a case.safetensors of inputs and expected outputs")
    .addOption(threadsOption())
    .addOption(jsonOption())
    .addHelpText(
      "after",
      `
Prints a line per output as soon as it is there: its name, the worst absolute and relative
difference, and whether that is within tolerance. What cannot be computed yet is "unsupported" and
comes last. Exit code 1: out of tolerance.
${examples("internvl parity cases/internvl-cg", "internvl parity cases/internvl-cg --json")}`,
    )
    .action((dir: string, options: ParityOptions) => parity(context, dir, options));
}

async function parity(context: Context, dir: string, options: ParityOptions): Promise<void> {
  const outputs: ParityOutput[] = [];
  const { signal, services } = context;
  const threads = options.threads === undefined ? {} : { threads: options.threads };
  using bar = progressOf(context);
  const onProgress = ({ phase, ...progress }: ParityProgress) =>
    bar.update({ label: PHASES[phase], ...progress });
  for await (const output of services.parity(dir, { signal, onProgress, ...threads })) {
    outputs.push(output);
    bar.clear();
    if (!options.json) await context.out.write(`${parityLine(context.out, output)}\n`);
  }
  bar.clear();
  if (outputs.length === 0)
    throw new ConfigError(`${dir}: expected outputs to compare in case.safetensors, found none`);
  const having = (status: ParityOutput["status"]) => outputs.filter((o) => o.status === status).length;
  const [ok, fail, unsupported] = [having("ok"), having("fail"), having("unsupported")];
  if (options.json) await printJson(context, { dir, ok, fail, unsupported, outputs });
  else
    await note(
      context,
      `${ok} within tolerance, ${fail} out of tolerance, ${unsupported} unsupported by this build`,
    );
  if (fail > 0) context.exitCode = 1;
}

const PHASES: Readonly<Record<ParityProgress["phase"], string>> = {
  loading: "loading weights",
  computing: "computing outputs",
  training: "training steps",
};

const NAME_CELLS = 64;

function parityLine(terminal: Terminal, { name, status, maxAbs, maxRel }: ParityOutput): string {
  const label = visible(name).padEnd(NAME_CELLS);
  if (status === "unsupported") return `${label}  ${style(terminal, "yellow", status)}`;
  const numbers = `abs ${maxAbs.toExponential(2).padEnd(9)} rel ${maxRel.toExponential(2).padEnd(9)}`;
  return `${label}  ${numbers} ${style(terminal, status === "ok" ? "green" : "red", status)}`;
}
