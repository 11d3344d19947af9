import { ConfigError } from "../core/errors.ts";
import { type Embedder, parseId } from "../infer/embedder.ts";
import { type Manifest, rebuildCommand } from "./manifest.ts";

/**
 * Throws a ConfigError when the embeddings of the index in `dir` cannot be compared with the embedder's. What the
 * model's folder was called does not matter.
 */
export function checkModel(dir: string, { model, dimension }: Manifest, embedder: Embedder): void {
  const [made, given] = [parseId(model), parseId(embedder.id)];
  if (made.fingerprint === given.fingerprint && dimension === embedder.dimension) return;
  const samePrecision = made.precision === given.precision;
  const [difference, remedy] =
    samePrecision || made.name !== given.name
      ? ["the weights or their precision differ", "use that model with its precision"]
      : [
          "the precision differs",
          made.precision === undefined ? "leave --precision out" : `use --precision ${made.precision}`,
        ];
  throw new ConfigError(
    `${dir}: expected an index made with ${embedder.id} (${embedder.dimension} numbers a picture), found one made with ${model} (${dimension}): ${difference}, and such embeddings cannot be compared; ${remedy}, or begin again with this model: ${rebuildCommand(dir)}`,
  );
}
