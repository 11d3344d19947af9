import { z } from "zod";
import { PRECISIONS } from "../core/precisions.ts";

export const positive = z.int().positive();
export const share = z.number().min(0).max(1);
export const belowOne = z.number().min(0).lt(1);

const group = z.strictObject({
  name: z.string().regex(/^[\w-]+$/),
  /** Keys of parameters, * for any characters. */
  match: z.array(z.string().min(1)).min(1),
  /** Peak learning rate. */
  lr: z.number().positive(),
});

type Group = z.infer<typeof group>;

/** AdamW, with what a stage's published training had where a recipe says nothing. */
export const optimizer = (defaults: {
  readonly betas: readonly [number, number];
  readonly epsilon: number;
  readonly weightDecay: number;
  readonly maxGradNorm: number;
  readonly groups: Group[];
}) =>
  z
    .strictObject({
      betas: z.tuple([belowOne, belowOne]).default([...defaults.betas]),
      epsilon: z.number().positive().default(defaults.epsilon),
      weight_decay: z.number().nonnegative().default(defaults.weightDecay),
      max_grad_norm: z.number().positive().default(defaults.maxGradNorm),
      groups: z.array(group).min(1).default(defaults.groups),
    })
    .prefault({});

/** Random crops, mirror images and colours of training pictures. */
export const augmentation = z.strictObject({
  scale: z.tuple([share, share]).default([0.5, 1]),
  ratio: z.tuple([z.number().positive(), z.number().positive()]).default([3 / 4, 4 / 3]),
  flip: share.default(0),
  color: z
    .strictObject({
      brightness: share.default(0),
      contrast: share.default(0),
      saturation: share.default(0),
      grayscale: share.default(0),
    })
    .optional(),
});

/** Training a tokenizer on the texts of the training data. */
export const trainedTokenizer = z.strictObject({
  train: z.strictObject({
    vocab_size: positive.default(16000),
    character_coverage: share.default(0.9995),
  }),
});

/** How the data is read; without influence on the result. */
export const READING = {
  workers: positive.default(1),
  cache_mb: z.int().nonnegative().default(1024),
} as const;

/** What the recipes of all stages say about the run itself. */
export const RUN = {
  /** Where checkpoints, metrics and the trained model go. */
  output: z.string().min(1),
  seed: z.union([z.int(), z.string()]).default(0),
  warmup_steps: z.int().nonnegative(),
  /** Save a checkpoint every so many steps; the newest `keep_checkpoints` stay. */
  checkpoint_every: positive.default(500),
  keep_checkpoints: positive.default(2),
  /** How the trained model is written; checkpoints of the run are always f32. */
  export_precision: z.enum(PRECISIONS).default("f32"),
} as const;

/** A mistake in a recipe. */
export interface Contradiction {
  readonly path: (string | number)[];
  readonly message: string;
}

/** What is right alone and wrong together in the recipe of any stage. */
export function* runContradictions(
  {
    warmup_steps,
    optimizer,
  }: { readonly warmup_steps: number; readonly optimizer: { readonly groups: readonly Group[] } },
  total: number,
): Generator<Contradiction> {
  if (warmup_steps > total)
    yield {
      path: ["warmup_steps"],
      message: `expected at most the ${total} steps of all phases, found ${warmup_steps}`,
    };
  const names = optimizer.groups.map((g) => g.name);
  for (const [i, name] of names.entries())
    if (names.indexOf(name) < i)
      yield {
        path: ["optimizer", "groups", i, "name"],
        message: `expected a name of its own, found "${name}" again`,
      };
}
