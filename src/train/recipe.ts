import { z } from "zod";
import { ConfigError } from "../core/errors.ts";
import { ContrastiveRecipe } from "./contrastive-recipe.ts";
import { SftRecipe } from "./sft-recipe.ts";

/** A training recipe, as written in JSON. Paths are relative to the recipe's folder. */
export const Recipe = z.discriminatedUnion("stage", [ContrastiveRecipe, SftRecipe]);
export type Recipe = z.infer<typeof Recipe>;

/** Parses a recipe; throws a ConfigError with all problems. */
export function parseRecipe(json: unknown, name: string): Recipe {
  const result = Recipe.safeParse(json);
  if (!result.success)
    throw new ConfigError(`${name}: not a recipe:\n${z.prettifyError(result.error).replace(/^/gm, "  ")}`);
  return result.data;
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
    data,
    ...rest
  } = recipe;
  const { recompute: _r, ...others } = rest as typeof rest & { readonly recompute?: boolean };
  const { workers: _w, cache_mb: _m, ...dataRest } = data;
  return JSON.stringify({ ...others, data: dataRest });
}
