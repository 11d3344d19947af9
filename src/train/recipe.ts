import { z } from "zod";
import { ConfigError } from "../core/errors.ts";
import { PRECISIONS } from "../core/precisions.ts";
import { InternVLConfig } from "../models/internvl_c.ts";
import { STAGE1_ADAMW } from "./adamw.ts";

const positive = z.int().positive();
const share = z.number().min(0).max(1);
const belowOne = z.number().min(0).lt(1);

/** A part of a run: stage 1 drops patches for most of it and sees larger, whole pictures at the end (§4.1). */
const phase = z.strictObject({
  steps: positive,
  /** Share of the patches that the vision tower sees. */
  keep_patches: z.number().positive().max(1).default(1),
  /** Side of the pictures in pixels. Absent: the model's. */
  image_size: positive.optional(),
});

const languageTable = z.record(z.string(), z.number().nonnegative());

const group = z.strictObject({
  name: z.string().regex(/^[\w-]+$/),
  /** Keys of parameters, * for any characters. */
  match: z.array(z.string().min(1)).min(1),
  /** Peak learning rate. */
  lr: z.number().positive(),
});

const fields = z.strictObject({
  stage: z.literal("contrastive"),
  /** Where checkpoints, metrics and the trained model go. */
  output: z.string().min(1),
  seed: z.union([z.int(), z.string()]).default(0),
  /** Architecture, in the published fields; vocab_size becomes the tokenizer's. */
  model: InternVLConfig,
  /** Weights to start from; absent: random. */
  init: z.string().optional(),
  tokenizer: z.union([
    z.strictObject({ folder: z.string().min(1) }),
    z.strictObject({
      train: z.strictObject({
        vocab_size: positive.default(16000),
        character_coverage: share.default(0.9995),
      }),
    }),
  ]),
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
    augmentation: z
      .strictObject({
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
      })
      .prefault({}),
    /** Texts of equal meaning, as JSON lines: pairs of them are drawn beside every batch and add to the loss. */
    text_pairs: z
      .strictObject({
        file: z.string().min(1),
        batch_size: z.int().min(2),
        loss_weight: z.number().positive().default(1),
      })
      .optional(),
    workers: positive.default(1),
    cache_mb: z.int().nonnegative().default(1024),
  }),
  batch_size: z.int().min(2),
  phases: z.array(phase).min(1),
  warmup_steps: z.int().nonnegative(),
  /** Uniform stochastic depth, as in the paper's stage 1. */
  drop_path: belowOne.default(0),
  /** Recompute each layer's values in the backward pass instead of keeping them: less memory, more time. */
  recompute: z.boolean().default(false),
  optimizer: z
    .strictObject({
      betas: z.tuple([belowOne, belowOne]).default([...STAGE1_ADAMW.betas]),
      epsilon: z.number().positive().default(STAGE1_ADAMW.epsilon),
      weight_decay: z.number().nonnegative().default(STAGE1_ADAMW.weightDecay),
      max_grad_norm: z.number().positive().default(STAGE1_ADAMW.maxGradNorm),
      groups: z
        .array(group)
        .min(1)
        .default([
          { name: "image", match: ["vision_model.*", "clip_projector.*", "logit_scale"], lr: 1e-3 },
          { name: "text", match: ["qllama.*", "text_projection"], lr: 1e-4 },
        ]),
    })
    .prefault({}),
  /** Save a checkpoint every so many steps; the newest `keep_checkpoints` stay. */
  checkpoint_every: positive.default(500),
  keep_checkpoints: positive.default(2),
  /** How the trained model is written; checkpoints of the run are always f32. */
  export_precision: z.enum(PRECISIONS).default("f32"),
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

/** A training recipe, as written in JSON. Paths are relative to the recipe's folder. */
export const Recipe = fields.superRefine((recipe, context) => {
  for (const { path, message } of contradictions(recipe)) context.addIssue({ code: "custom", path, message });
});
export type Recipe = z.infer<typeof fields>;

/** Fields that are right alone and wrong together. */
function* contradictions(recipe: Recipe): Generator<{ path: (string | number)[]; message: string }> {
  const { patch_size } = recipe.model.vision_config;
  for (const [i, phase] of recipe.phases.entries())
    if (imageSizeOf(recipe, phase) % patch_size !== 0)
      yield {
        path: ["phases", i, "image_size"],
        message: `expected a multiple of the patch_size ${patch_size}, found ${imageSizeOf(recipe, phase)}`,
      };
  const total = totalSteps(recipe);
  if (recipe.warmup_steps > total)
    yield {
      path: ["warmup_steps"],
      message: `expected at most the ${total} steps of all phases, found ${recipe.warmup_steps}`,
    };
  if (recipe.model.label_smoothing !== 0)
    yield {
      path: ["model", "label_smoothing"],
      message: `expected 0, because this stage does not smooth its labels, found ${recipe.model.label_smoothing}`,
    };
  const names = recipe.optimizer.groups.map((g) => g.name);
  for (const [i, name] of names.entries())
    if (names.indexOf(name) < i)
      yield {
        path: ["optimizer", "groups", i, "name"],
        message: `expected a name of its own, found "${name}" again`,
      };
}

/** Parses a recipe; throws a ConfigError with all problems. */
export function parseRecipe(json: unknown, name: string): Recipe {
  const result = Recipe.safeParse(json);
  if (!result.success)
    throw new ConfigError(`${name}: not a recipe:\n${z.prettifyError(result.error).replace(/^/gm, "  ")}`);
  return result.data;
}

/** Steps of all phases together. */
export const totalSteps = (recipe: Recipe): number => recipe.phases.reduce((n, p) => n + p.steps, 0);

/** Side of the pictures of a phase in pixels. */
export const imageSizeOf = ({ model }: Recipe, phase: Recipe["phases"][number]): number =>
  phase.image_size ?? model.force_image_size ?? model.vision_config.image_size;

/** The architecture at a phase's image size; unchanged where the phase has none of its own. */
export function modelConfigAt(recipe: Recipe, phase: number): InternVLConfig {
  const { image_size } = recipe.phases[phase]!;
  const { model } = recipe;
  if (image_size === undefined) return model;
  return { ...model, force_image_size: null, vision_config: { ...model.vision_config, image_size } };
}

/** The index of the phase that step `step` (from 0) belongs to; −1 after the last. */
export function phaseAt(recipe: Recipe, step: number): number {
  let end = 0;
  return recipe.phases.findIndex((p) => {
    end += p.steps;
    return step < end;
  });
}

/**
 * What must be equal for a checkpoint to be continued: everything that has an influence on the weights. Where results
 * go, how often they are saved or measured and how many threads read pictures have none. Recomputation gives the same
 * values up to rounding: who runs out of memory may switch it on and go on.
 */
export function recipeIdentity(recipe: Recipe): string {
  const {
    output: _o,
    checkpoint_every: _c,
    keep_checkpoints: _k,
    evaluation: _e,
    export_precision: _x,
    recompute: _r,
    data,
    ...rest
  } = recipe;
  const { workers: _w, cache_mb: _m, ...dataRest } = data;
  return JSON.stringify({ ...rest, data: dataRest });
}
