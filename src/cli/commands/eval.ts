import type { Command } from "commander";
import type { Context } from "../context.ts";
import { examples } from "../options.ts";
import { addEvalClassify } from "./eval-classify.ts";
import { addEvalRetrieval } from "./eval-retrieval.ts";

export function addEval(program: Command, context: Context): void {
  const command = program
    .command("eval")
    .description("Measure a model by the protocols of the published figures.")
    .addHelpText(
      "after",
      examples(
        "internvl eval retrieval flickr30k/test.jsonl --clean-captions",
        "internvl eval classify imagenet/val --classnames imagenet:en",
      ),
    );
  addEvalRetrieval(command, context);
  addEvalClassify(command, context);
}
