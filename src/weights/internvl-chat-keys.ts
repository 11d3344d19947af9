import { concat, drop, KeyMap } from "./key-map.ts";

const OURS = "vision_model.encoder.layers.{i}";

/** The GitHub format of InternVL-Chat: our names are its names. */
export const CHAT_KEYS = new KeyMap({
  "{vision_model,mlp1,language_model}.{rest*}": "{vision_model,mlp1,language_model}.{rest*}",
});

/** Tensors of older files that no model has. */
export const COMPUTED_TABLES = ["inv_freq", "cos_cached", "sin_cached"].flatMap((table) =>
  ["language_model.model", "model"].map((model) =>
    drop(`${model}.layers.{i}.{p}.rotary_emb.${table}`, "a table that is computed from the configuration"),
  ),
);

/** The transformers-native format: what holds the towers, the text model and the head differs between two forms. */
function nativeKeys(root: "" | "model.", text: string, head: string): KeyMap {
  const vision = `${root}vision_tower`;
  const layer = `${vision}.encoder.layer.{i}`;
  return new KeyMap({
    [`${vision}.embeddings.cls_token`]: "vision_model.embeddings.class_embedding",
    [`${vision}.embeddings.position_embeddings`]: "vision_model.embeddings.position_embedding",
    [`${vision}.embeddings.patch_embeddings.projection.{p}`]: "vision_model.embeddings.patch_embedding.{p}",
    [`${layer}.attention.{q,k,v}_proj.{p}`]: concat(`${OURS}.attn.qkv.{p}`, 0),
    [`${layer}.attention.projection_layer.{p}`]: `${OURS}.attn.proj.{p}`,
    [`${layer}.attention.{q,k}_norm.weight`]: `${OURS}.attn.{q,k}_norm.weight`,
    [`${layer}.layernorm_{before,after}.{p}`]: `${OURS}.{norm1,norm2}.{p}`,
    [`${layer}.lambda_{n}`]: `${OURS}.ls{n}`,
    [`${layer}.mlp.{rest*}`]: `${OURS}.mlp.{rest*}`,
    [`${root}multi_modal_projector.{layer_norm,linear_1,linear_2}.{p}`]: "mlp1.{0,1,3}.{p}",
    [`${text}.{rest*}`]: "language_model.model.{rest*}",
    [head]: "language_model.lm_head.weight",
  });
}

/** As transformers 5 writes it. */
export const NATIVE_CHAT_KEYS = nativeKeys("", "language_model.model", "language_model.lm_head.weight");

/** As earlier uploads have it. */
export const PREFIXED_CHAT_KEYS = nativeKeys("model.", "model.language_model", "lm_head.weight");
