import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { addChat } from "./commands/chat.ts";
import { addClassify } from "./commands/classify.ts";
import { addEmbed } from "./commands/embed.ts";
import { addEval } from "./commands/eval.ts";
import { addIndex } from "./commands/index-folders.ts";
import { addParity } from "./commands/parity.ts";
import { addQuantize } from "./commands/quantize.ts";
import { addSearch } from "./commands/search.ts";
import { addServe } from "./commands/serve.ts";
import { addTrain } from "./commands/train.ts";
import type { Context } from "./context.ts";
import { examples } from "./options.ts";
import { defaultIndex } from "./paths.ts";

const HELP_COLUMNS = 100;

const ENVIRONMENT = (context: Context) => `
Environment:
  INTERNVL_MODEL  the model that is used without --model
  INTERNVL_INDEX  the index that is used without --index
                  (now ${defaultIndex(context.env)})
  HF_TOKEN, HF_HUB_CACHE, HF_HOME, HF_ENDPOINT, HF_HUB_OFFLINE, HTTPS_PROXY
                  as the hub's own tools take them, for models by their names
  PORT            the port of serve without --port
  INTERNVL_API_KEY
                  the key that serve asks for under /v1 without --api-key
  NO_COLOR        no colours
  INTERNVL_DEBUG  print stacks of users' errors too

Exit codes:
  0 done, 1 a check found differences, 2 wrong input, 70 a defect of this program, 130 interrupted
`;

/** Gives the program its commands, and sends what it prints and how it ends through the context. */
export function addCommands(program: Command, context: Context): void {
  program
    .description("Chat, search, classify and measure with the InternVL family of vision-language models.")
    .version(version(), "-V, --version", "print the version")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void context.out.write(text),
      writeErr: (text) => void context.err.write(text),
      getOutHelpWidth: () => helpColumns(context.out),
      getErrHelpWidth: () => helpColumns(context.err),
      getOutHasColors: () => context.out.colour,
      getErrHasColors: () => context.err.colour,
    })
    .configureHelp({ showGlobalOptions: false })
    .showSuggestionAfterError()
    .addHelpText(
      "after",
      examples(
        "internvl index ~/Pictures",
        'internvl search "a dog on the beach"',
        'internvl chat OpenGVLab/InternVL3-1B photo.jpg "What is on the sign?"',
        "internvl serve --gallery",
      ) + ENVIRONMENT(context),
    );
  const commands = [
    ...[addChat, addIndex, addSearch, addClassify, addEmbed, addServe],
    ...[addTrain, addQuantize, addEval, addParity],
  ];
  for (const add of commands) add(program, context);
}

/** Of the package that this file is in. */
function version(): string {
  const manifest = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
  return manifest.version;
}

const helpColumns = (terminal: Context["out"]): number =>
  terminal.isTTY ? Math.min(terminal.columns, HELP_COLUMNS) : HELP_COLUMNS;
