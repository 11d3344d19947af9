import internVit6B224 from "./configs/InternViT-6B-224px.json" with { type: "json" };
import internVit6B448 from "./configs/InternViT-6B-448px-V1-5.json" with { type: "json" };
import internVit300M from "./configs/InternViT-300M-448px.json" with { type: "json" };
import internVL14B from "./configs/InternVL-14B-224px.json" with { type: "json" };
import { InternVisionModel, VisionConfig } from "./intern_vit.ts";
import { InternVLC, InternVLConfig } from "./internvl_c.ts";

/** A published network: its configuration, and the module tree that belongs to it (no data, in microseconds). */
export type PublishedModel =
  | { readonly kind: "internvl_c"; readonly config: InternVLConfig; create(): InternVLC }
  | { readonly kind: "intern_vit"; readonly config: VisionConfig; create(): InternVisionModel };

function internVLC(json: unknown): PublishedModel {
  const config = InternVLConfig.parse(json);
  return { kind: "internvl_c", config, create: () => new InternVLC(config) };
}

function internVit(json: unknown): PublishedModel {
  const config = VisionConfig.parse(json);
  return { kind: "intern_vit", config, create: () => new InternVisionModel(config) };
}

const MODELS: Readonly<Record<string, () => PublishedModel>> = {
  "InternVL-14B-224px": () => internVLC(internVL14B),
  "InternViT-6B-224px": () => internVit(internVit6B224),
  "InternViT-6B-448px-V1-5": () => internVit(internVit6B448),
  "InternViT-300M-448px": () => internVit(internVit300M),
};

/** Names under which models were published, as {@link publishedModel} takes them. */
export const PUBLISHED_NAMES: readonly string[] = Object.keys(MODELS);

/** The published model of that name, its configuration a fresh object; undefined for other names. */
export const publishedModel = (name: string): PublishedModel | undefined =>
  Object.hasOwn(MODELS, name) ? MODELS[name]!() : undefined;
