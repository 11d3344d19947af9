import { train } from "../../src/train/train.node.ts";

/** Trains the recipe of the first argument on one thread and prints each step: a process for tests to kill. */
const recipe = process.argv[2];
if (recipe === undefined) throw new Error("train-process: expected the path of a recipe");
await train(recipe, { threads: 1, onProgress: ({ step }) => process.stdout.write(`step ${step}\n`) });
process.exit(0);
