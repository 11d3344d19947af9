import { drop, KeyMap } from "./key-map.ts";

const VISION = "vision_model";
const LAYER = `${VISION}.encoder.layers.{i}`;
const TEXT = "qllama.model";

/**
 * Key names of the stand-alone C files (`internvl_c_13b_224px.pth`; its vision subset with clip_projector is
 * `intern_vit_6b_224px.pth`) -> ours, which are those of InternVL-14B-224px. Source: OpenGVLab/InternVL,
 * clip_benchmark/…/internvl_c_pytorch and classification/hf2pytorch.py.
 */
export const C_KEYS = new KeyMap(
  {
    cls_token: `${VISION}.embeddings.class_embedding`,
    pos_embed: `${VISION}.embeddings.position_embedding`,
    "patch_embed.proj.{p}": `${VISION}.embeddings.patch_embedding.{p}`,
    "blocks.{i}.ls{n}.gamma": `${LAYER}.ls{n}`,
    "blocks.{i}.norm{n}.{p}": `${LAYER}.norm{n}.{p}`,
    "blocks.{i}.attn.{rest*}": `${LAYER}.attn.{rest*}`,
    "blocks.{i}.mlp.{rest*}": `${LAYER}.mlp.{rest*}`,
    "transformer.{embed_tokens,norm}.weight": `${TEXT}.{embed_tokens,norm}.weight`,
    "transformer.layers.{i}.self_attn.{p}_proj.weight": `${TEXT}.layers.{i}.self_attn.{p}_proj.weight`,
    "transformer.layers.{i}.mlp.{p}_proj.weight": `${TEXT}.layers.{i}.mlp.{p}_proj.weight`,
    "transformer.layers.{i}.{p}_layernorm.weight": `${TEXT}.layers.{i}.{p}_layernorm.weight`,
    "clip_projector.{rest*}": "clip_projector.{rest*}",
    "{text_projection,logit_scale}": "{text_projection,logit_scale}",
  },
  [
    drop(
      "transformer.layers.{i}.self_attn.rotary_emb.inv_freq",
      "a table that is computed from the configuration",
    ),
  ],
);

/** Stand-alone InternViT repositories (`OpenGVLab/InternViT-…`) -> ours: the same names without their prefix. */
export const VISION_KEYS = new KeyMap({
  "embeddings.{rest*}": `${VISION}.embeddings.{rest*}`,
  "encoder.layers.{i}.{rest*}": `${LAYER}.{rest*}`,
});

/** The 14B format: our names are its names. Files of the first LLaMA releases carry rotary tables. */
export const NATIVE_KEYS = new KeyMap(
  {
    [`{${VISION},clip_projector,clip_projector2,itm_head,mlp1,language_model}.{rest*}`]: `{${VISION},clip_projector,clip_projector2,itm_head,mlp1,language_model}.{rest*}`,
    "qllama.lm_head.weight": "qllama.lm_head.weight",
    [`${TEXT}.{embed_tokens,norm}.weight`]: `${TEXT}.{embed_tokens,norm}.weight`,
    [`${TEXT}.layers.{i}.{self_attn,cross_attn,mlp}.{p}.weight`]: `${TEXT}.layers.{i}.{self_attn,cross_attn,mlp}.{p}.weight`,
    // Our own quantised checkpoints: a weight is stored as its codes and scales.
    [`${TEXT}.layers.{i}.{self_attn,mlp}.{p}.weight.{codes,scales}`]: `${TEXT}.layers.{i}.{self_attn,mlp}.{p}.weight.{codes,scales}`,
    [`${TEXT}.layers.{i}.{p}_layernorm.weight`]: `${TEXT}.layers.{i}.{p}_layernorm.weight`,
    "{query_tokens,text_projection,logit_scale}": "{query_tokens,text_projection,logit_scale}",
  },
  [
    drop(
      `${TEXT}.layers.{i}.self_attn.rotary_emb.inv_freq`,
      "a table that is computed from the configuration",
    ),
  ],
);

/** What InternVL-C leaves in a 14B file (names as ours): the parts that only InternVL-G and captioning use. */
export const WITHOUT_QLLAMA = [
  drop("qllama.lm_head.weight", "text generation is not part of InternVL-C"),
  drop("qllama.model.layers.{i}.cross_attn.{rest*}", "QLLaMA's queries are not part of InternVL-C"),
  drop("query_tokens", "QLLaMA's queries are not part of InternVL-C"),
  drop("clip_projector2.{rest*}", "it pools QLLaMA's queries, which are not part of InternVL-C"),
  drop("itm_head.{rest*}", "image-text matching is not part of InternVL-C"),
] as const;

/** What a vision tower alone leaves in larger files (names as ours). */
export const VISION_ONLY = [
  drop("qllama.{rest*}", "the text encoder is not part of InternViT"),
  drop("query_tokens", "QLLaMA is not part of InternViT"),
  drop("clip_projector.{rest*}", "the contrastive head is not part of InternViT"),
  drop("clip_projector2.{rest*}", "the contrastive head is not part of InternViT"),
  drop("itm_head.{rest*}", "the matching head is not part of InternViT"),
  drop("text_projection", "the text encoder is not part of InternViT"),
  drop("logit_scale", "the contrastive loss is not part of InternViT"),
  drop("mlp1.{rest*}", "the chat model's projector is not part of InternViT"),
  drop("language_model.{rest*}", "the language model is not part of InternViT"),
] as const;
