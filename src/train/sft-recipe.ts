import { z } from "zod";
import {
  augmentation,
  type Contradiction,
  optimizer,
  positive,
  READING,
  RUN,
  runContradictions,
  trainedTokenizer,
} from "./recipe-fields.ts";

/** What published fine-tuning had (OpenGVLab/InternVL, shell scripts of InternVL 2.5's stage 2). */
const SFT_ADAMW = { betas: [0.9, 0.999], epsilon: 1e-8, maxGradNorm: 1, weightDecay: 0.05 } as const;

/** A configuration is checked by whoever builds the model: its fields depend on the language model's class. */
const config = z.looseObject({ llm_config: z.looseObject({}) });

const fields = z.strictObject({
  stage: z.literal("sft"),
  ...RUN,
  model: z.union([
    /** A whole chat model: its configuration, weights and tokenizer. */
    z.strictObject({ checkpoint: z.string().min(1) }),
    z.strictObject({
      /** config.json in the GitHub format; llm_config.vocab_size becomes the tokenizer's. */
      config,
      tokenizer: z.union([z.strictObject({ folder: z.string().min(1) }), trainedTokenizer]),
      /** Checkpoints whose vision tower and language model are taken; what is not named begins at random. */
      vision_model: z.string().min(1).optional(),
      language_model: z.string().min(1).optional(),
    }),
  ]),
  /** Rows that take more, image tokens included, are left out. */
  max_tokens: z.int().min(2).max(32768).default(4096),
  /** Weight of a trained token in a row with n of them: 1, 1/n or 1/√n. */
  loss_reduction: z.enum(["token", "sample", "square"]).default("token"),
  data: z.strictObject({
    /** Conversations as JSON lines. */
    annotation: z.string().min(1),
    /** Folder of the pictures; absent: that of the annotation. */
    root: z.string().min(1).optional(),
    /** Absent: pictures are seen as in use, whole and unchanged. */
    augmentation: augmentation.optional(),
    ...READING,
  }),
  batch_size: positive,
  steps: positive,
  optimizer: optimizer({ ...SFT_ADAMW, groups: [{ name: "all", match: ["*"], lr: 4e-5 }] }),
  /** Loss on other conversations while training. */
  evaluation: z
    .strictObject({ every: positive, annotation: z.string().min(1), max_rows: positive.optional() })
    .optional(),
});

/** A recipe of supervised fine-tuning of a chat model (stages 1.5 to 3). Paths are relative to the recipe's folder. */
export const SftRecipe = fields.superRefine((recipe, context) => {
  for (const { path, message } of contradictions(recipe)) context.addIssue({ code: "custom", path, message });
});
export type SftRecipe = z.infer<typeof fields>;

const contradictions = (recipe: SftRecipe): Iterable<Contradiction> =>
  runContradictions(recipe, recipe.steps);
