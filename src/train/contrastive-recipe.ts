import { z } from "zod";
import { InternVLConfig } from "../models/internvl_c.ts";
import { STAGE1_ADAMW } from "./adamw.ts";
import {
  augmentation,
  belowOne,
  type Contradiction,
  optimizer,
  positive,
  READING,
  RUN,
  runContradictions,
  share,
  trainedTokenizer,
} from "./recipe-fields.ts";

/** A part of a run: stage 1 drops patches for most of it and sees larger, whole pictures at the end (§4.1). */
const phase = z.strictObject({
  steps: positive,
  /** Share of the patches that the vision tower sees. */
  keep_patches: z.number().positive().max(1).default(1),
  /** Side of the pictures in pixels. Absent: the model's. */
  image_size: positive.optional(),
});

const languageTable = z.record(z.string(), z.number().nonnegative());

const fields = z.strictObject({
  stage: z.literal("contrastive"),
  ...RUN,
  /** Architecture, in the published fields; vocab_size becomes the tokenizer's. */
  model: InternVLConfig,
  /** Weights to start from; absent: random. */
  init: z.string().optional(),
  tokenizer: z.union([z.strictObject({ folder: z.string().min(1) }), trainedTokenizer]),
  max_text_tokens: z.int().min(3).max(80).default(80),
  data: z.strictObject({
    manifest: z.string().min(1),
    /**
     * How often captions of each language are drawn; "*" stands for the rest. Absent: all alike. A list of tables
     * draws a caption of each picture by each table, and the loss is their mean.
     */
    languages: z
      .union([languageTable, z.array(languageTable).min(1)], {
        error: 'expected a table such as { "en": 2, "*": 1 } with numbers from 0, or a list of such tables',
      })
      .optional(),
    /** Probability of a language's first caption, which names the thing; the others share the rest. */
    first_caption_share: share.default(0),
    augmentation: augmentation.prefault({}),
    /** Texts of equal meaning, as JSON lines: pairs of them are drawn beside every batch and add to the loss. */
    text_pairs: z
      .strictObject({
        file: z.string().min(1),
        batch_size: z.int().min(2),
        loss_weight: z.number().positive().default(1),
      })
      .optional(),
    ...READING,
  }),
  batch_size: z.int().min(2),
  phases: z.array(phase).min(1),
  /** Uniform stochastic depth, as in the paper's stage 1. */
  drop_path: belowOne.default(0),
  /** Recompute each layer's values in the backward pass instead of keeping them: less memory, more time. */
  recompute: z.boolean().default(false),
  optimizer: optimizer({
    ...STAGE1_ADAMW,
    groups: [
      { name: "image", match: ["vision_model.*", "clip_projector.*", "logit_scale"], lr: 1e-3 },
      { name: "text", match: ["qllama.*", "text_projection"], lr: 1e-4 },
    ],
  }),
  /** Recall on held-out pictures while training. */
  evaluation: z
    .strictObject({
      every: positive,
      splits: z.array(z.string()).min(1),
      languages: z.array(z.string()).min(1),
      max_pictures: positive.optional(),
    })
    .optional(),
});

/** A recipe of contrastive training (stage 1). Paths are relative to the recipe's folder. */
export const ContrastiveRecipe = fields.superRefine((recipe, context) => {
  for (const { path, message } of contradictions(recipe)) context.addIssue({ code: "custom", path, message });
});
export type ContrastiveRecipe = z.infer<typeof fields>;

/** Fields that are right alone and wrong together. */
function* contradictions(recipe: ContrastiveRecipe): Generator<Contradiction> {
  const { patch_size } = recipe.model.vision_config;
  for (const [i, phase] of recipe.phases.entries())
    if (imageSizeOf(recipe, phase) % patch_size !== 0)
      yield {
        path: ["phases", i, "image_size"],
        message: `expected a multiple of the patch_size ${patch_size}, found ${imageSizeOf(recipe, phase)}`,
      };
  yield* runContradictions(recipe, totalSteps(recipe));
  if (recipe.model.label_smoothing !== 0)
    yield {
      path: ["model", "label_smoothing"],
      message: `expected 0, because this stage does not smooth its labels, found ${recipe.model.label_smoothing}`,
    };
}

/** Steps of all phases together. */
export const totalSteps = (recipe: ContrastiveRecipe): number =>
  recipe.phases.reduce((n, p) => n + p.steps, 0);

/** Side of the pictures of a phase in pixels. */
export const imageSizeOf = (
  { model }: ContrastiveRecipe,
  phase: ContrastiveRecipe["phases"][number],
): number => phase.image_size ?? model.force_image_size ?? model.vision_config.image_size;

/** The architecture at a phase's image size; unchanged where the phase has none of its own. */
export function modelConfigAt(recipe: ContrastiveRecipe, phase: number): InternVLConfig {
  const { image_size } = recipe.phases[phase]!;
  const { model } = recipe;
  if (image_size === undefined) return model;
  return { ...model, force_image_size: null, vision_config: { ...model.vision_config, image_size } };
}
