import { Command } from "commander";
import { isUserError, UsageError } from "../src/core/errors.ts";
import { createRuntime } from "../src/runtime/ort.node.ts";
import { smollm2Agreement } from "./agreement.ts";
import { internvl1bF32, internvl1bW4, internvl1bW8, internvl1bW8A8 } from "./internvl2-1b.ts";
import { load8b } from "./load-8b.ts";
import type { BenchContext, BenchResult } from "./pair.ts";
import { preprocess } from "./pictures.ts";
import { indexGallery, search } from "./search.ts";
import { serverStreams } from "./server-streams.ts";
import { againstLlamaCpp, againstNodeLlamaCpp } from "./smollm2.ts";
import { tokenize } from "./text.ts";
import { trainStepBf16, trainStepF32 } from "./train-step.ts";
import { vit300mF32, vit300mW8, vit300mW8A8 } from "./vit-300m.ts";

const BENCHES: Readonly<
  Record<string, (context: BenchContext) => Promise<BenchResult | readonly BenchResult[]>>
> = {
  "vit-300m-f32": vit300mF32,
  "vit-300m-w8": vit300mW8,
  "vit-300m-w8a8": vit300mW8A8,
  "train-step-vs-f32": trainStepF32,
  "train-step-vs-bf16": trainStepBf16,
  "preprocess-12mp": preprocess,
  tokenize,
  "index-gallery": indexGallery,
  "search-100k": search,
  "smollm2-llama-cpp": againstLlamaCpp,
  "smollm2-node-llama-cpp": againstNodeLlamaCpp,
  "smollm2-agreement": smollm2Agreement,
  "server-streams": serverStreams,
  "internvl2-1b-f32": internvl1bF32,
  "internvl2-1b-w8": internvl1bW8,
  "internvl2-1b-w4": internvl1bW4,
  "internvl2-1b-w8a8": internvl1bW8A8,
  "load-8b": load8b,
};

const program = new Command("bench")
  .description(
    "Measures ours and a peer in turn and prints the ratio (above 1: ours is better); bench/README.md tells more.",
  )
  .argument("[names...]", `which: ${Object.keys(BENCHES).join(", ")} (default: all)`)
  .option("--json", "one JSON object a line")
  .option("--rounds <n>", "pairs of runs", Number, 7)
  .option("--threads <n>", "threads of each side", Number, 2)
  .addHelpText(
    "after",
    "\nThe peers in Python run in that which PEER_PYTHON names (default python3), with bench/peers/requirements.txt;\nPEER_NODE_MODULES and LLAMA_SERVER name others.",
  )
  .action(async (names: string[], options: { json?: true; rounds: number; threads: number }) => {
    const unknown = names.filter((n) => !(n in BENCHES));
    if (unknown.length > 0)
      throw new UsageError(`bench: no ${unknown.join(", ")}; there are ${Object.keys(BENCHES).join(", ")}`);
    await using runtime = await createRuntime({ threads: options.threads });
    for (const name of names.length > 0 ? names : Object.keys(BENCHES)) {
      const results = await BENCHES[name]!({
        runtime,
        python: process.env.PEER_PYTHON ?? "python3",
        threads: options.threads,
        rounds: options.rounds,
        versions: runtime.description,
      });
      for (const result of [results].flat())
        console.log(options.json ? JSON.stringify(result) : readable(result));
    }
  });

function readable({ name, ours, peer, ratio, spread, unit, note }: BenchResult): string {
  const compared = spread ? `   peer ${peer} ${unit}   ratio ${ratio} (${spread.join("–")})` : "";
  return `${name.padEnd(20)} ours ${ours} ${unit}${compared}${note ? `   ${note}` : ""}`;
}

program.parseAsync().catch((error: unknown) => {
  console.error(isUserError(error) ? error.message : error);
  process.exitCode = isUserError(error) ? 2 : 1;
});
