import { type HostTensor, i64 } from "../../src/core/array.ts";
import { Rng } from "../../src/core/rng.ts";
import { input } from "../../src/graph/tensor.ts";
import { InternVLC, InternVLConfig } from "../../src/models/internvl_c.ts";
import { parameters } from "../../src/nn/module.ts";
import { normals, randomWeights } from "../evaluate.ts";

/** Four layers a tower, wide enough for blocks of 128 weights. */
export const TINY_CONFIG = InternVLConfig.parse({
  clip_embed_dim: 32,
  attn_pool_num_heads: 4,
  vision_config: {
    patch_size: 7,
    image_size: 28,
    hidden_size: 128,
    num_attention_heads: 4,
    intermediate_size: 256,
    num_hidden_layers: 4,
  },
  qllama_config: {
    hidden_size: 128,
    intermediate_size: 256,
    num_attention_heads: 4,
    num_hidden_layers: 4,
    vocab_size: 64,
  },
});

export const tinyModel = (): InternVLC => new InternVLC(TINY_CONFIG);

export const tinyWeights = (): Map<string, HostTensor> =>
  randomWeights(parameters(tinyModel()), new Rng("tiny weights"));

/** Three pictures and three texts of different lengths. */
export const TINY_FEEDS: Readonly<Record<string, HostTensor>> = {
  pixels: normals("pixels", [3, 3, 28, 28]),
  ids: i64([3, 6], [1, 9, 33, 4, 7, 2, 1, 63, 2, 0, 0, 0, 1, 12, 12, 5, 2, 0]),
  eos: i64([3], [5, 2, 4]),
};

/** Both encoders over open batch sizes and lengths. */
export const encoders = (model: InternVLC) => ({
  image: model.encodeImage(input("pixels", "f32", ["B", 3, 28, 28])),
  text: model.encodeText(input("ids", "i64", ["B", "L"]), input("eos", "i64", ["B"])),
});

/** The smallest cosine between rows of two matrices. */
export function worstCosine(a: HostTensor<"f32">, b: HostTensor<"f32">): number {
  const width = a.shape[1]!;
  let worst = 1;
  for (let at = 0; at < a.data.length; at += width) {
    let [dot, aa, bb] = [0, 0, 0];
    for (let i = at; i < at + width; i++) {
      dot += a.data[i]! * b.data[i]!;
      aa += a.data[i]! ** 2;
      bb += b.data[i]! ** 2;
    }
    worst = Math.min(worst, dot / Math.sqrt(aa * bb));
  }
  return worst;
}
