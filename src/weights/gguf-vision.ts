import { CheckpointError } from "../core/errors.ts";
import type { TensorSource } from "../runtime/runtime.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { checkpointOf, inFile, joinRows, sourceOf } from "./ggml-rows.ts";
import { type GgufFile, type GgufTensor, tensorBytes } from "./gguf.ts";
import { GgufFields } from "./gguf-fields.ts";
import { underPublishedNames } from "./gguf-names.ts";
import { concat, KeyMap } from "./key-map.ts";

/** The vision part of a pair: InternViT and the projector, under the names of the published chat models. */
export interface GgufVision {
  readonly checkpoint: Checkpoint;
  /** Fields of a published `config.json` of InternVL-Chat, without its language model. */
  readonly config: GgufVisionConfig;
}

export interface GgufVisionConfig {
  readonly vision_config: Readonly<Record<string, unknown>>;
  readonly force_image_size: number;
  readonly downsample_ratio: number;
  readonly min_dynamic_patch?: number;
  readonly max_dynamic_patch?: number;
}

const V = "vision_model.embeddings";
const L = "vision_model.encoder.layers.{i}";

/** Names that llama.cpp's converter gives InternVL (gguf-py/gguf/tensor_mapping.py, conversion/) -> published ones. */
const MMPROJ_KEYS = new KeyMap({
  "v.class_embd": `${V}.class_embedding`,
  "v.position_embd.weight": `${V}.position_embedding`,
  "v.patch_embd.{p}": `${V}.patch_embedding.{p}`,
  "v.blk.{i}.attn_{q,k,v}.{p}": concat(`${L}.attn.qkv.{p}`, 0),
  "v.blk.{i}.attn_{q,k}_norm.weight": `${L}.attn.{q,k}_norm.weight`,
  "v.blk.{i}.attn_out.{p}": `${L}.attn.proj.{p}`,
  "v.blk.{i}.ln{n}.{p}": `${L}.norm{n}.{p}`,
  "v.blk.{i}.ls{n}.weight": `${L}.ls{n}`,
  "v.blk.{i}.ffn_{up,down}.{p}": `${L}.mlp.{fc1,fc2}.{p}`,
  "mm.model.mlp.{n}.{p}": "mlp1.{n}.{p}",
});

/**
 * InternViT and the projector of an `mmproj` file that llama.cpp's converter wrote for InternVL. Reads nothing. Throws
 * a CheckpointError for the vision part of another family and for tensors that are unknown or incomplete.
 */
export function ggufVision(file: GgufFile): GgufVision {
  const clip = new GgufFields(file, "clip");
  const kind = clip.text("projector_type") ?? clip.text("vision.projector_type");
  if (file.metadata.get("general.architecture") !== "clip" || kind !== "internvl")
    throw new CheckpointError(
      `${file.name}: expected the vision part (mmproj) of InternVL, found ${JSON.stringify(file.metadata.get("general.architecture"))} with projector ${JSON.stringify(kind ?? "none")}`,
    );
  const config = readConfig(file);
  const { hidden_size: D } = config.vision_config as { hidden_size: number };
  const tensors = new Map<string, TensorSource>();
  for (const [key, parts] of underPublishedNames(file.name, file.tensors, MMPROJ_KEYS)) {
    const stored = parts.map((t) => inFile(file, t, publishedShape(key, t, D)));
    tensors.set(key, sourceOf(stored.length === 1 ? stored[0]! : joinRows(stored)));
  }
  return { checkpoint: checkpointOf(file, tensors), config };
}

/** The class and position embeddings are published with axes of size 1, which converters keep or leave out. */
function publishedShape(key: string, tensor: GgufTensor, D: number): readonly number[] {
  if (!/_embedding$/.test(key)) return tensor.shape;
  return [1, tensor.shape.reduce((n, d) => n * d, 1) / D, D];
}

function readConfig(file: GgufFile): GgufVisionConfig {
  const vision = new GgufFields(file, "clip.vision");
  const has = (name: string) => file.tensors.has(`v.blk.0.${name}`);
  const [hidden_size, num_hidden_layers] = [vision.int("embedding_length"), vision.int("block_count")];
  const classBytes = file.tensors.get("v.class_embd");
  if (classBytes === undefined || tensorBytes(classBytes) !== hidden_size * classBytes.type.bytes)
    throw new CheckpointError(
      `${file.name}: v.class_embd must have ${hidden_size} numbers; the file is damaged`,
    );
  const hasLayer = (i: number) => file.tensors.has(`v.blk.${i}.ln1.weight`);
  if (num_hidden_layers === 0 || !hasLayer(num_hidden_layers - 1) || hasLayer(num_hidden_layers))
    throw new CheckpointError(
      `${file.name}: its metadata says ${num_hidden_layers} layers, its tensors are of others`,
    );
  const image = vision.int("image_size");
  const scale = vision.int("projector.scale_factor");
  if (scale < 1)
    throw new CheckpointError(`${file.name}: clip.vision.projector.scale_factor must be above 0`);
  const [low, high] = [vision.optionalInt("preproc_min_tiles"), vision.optionalInt("preproc_max_tiles")];
  return {
    vision_config: {
      architectures: ["InternVisionModel"],
      model_type: "intern_vit_6b",
      num_channels: 3,
      patch_size: vision.int("patch_size"),
      image_size: image,
      qkv_bias: has("attn_q.bias"),
      hidden_size,
      num_attention_heads: vision.int("attention.head_count"),
      intermediate_size: vision.int("feed_forward_length"),
      qk_normalization: has("attn_q_norm.weight"),
      num_hidden_layers,
      hidden_act: file.metadata.get("clip.use_silu") === true ? "silu" : "gelu",
      norm_type: has("ln1.bias") ? "layer_norm" : "rms_norm",
      layer_norm_eps: vision.float("attention.layer_norm_epsilon"),
    },
    force_image_size: image,
    downsample_ratio: 1 / scale,
    ...(low === undefined ? {} : { min_dynamic_patch: low }),
    ...(high === undefined ? {} : { max_dynamic_patch: high }),
  };
}
