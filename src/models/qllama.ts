import { z } from "zod";
import { ConfigError } from "../core/errors.ts";
import { constant, type Tensor } from "../graph/tensor.ts";
import { GatedMLP } from "../nn/decoder.ts";
import { project } from "../nn/joined.ts";
import { Embedding, Linear, RMSNorm } from "../nn/layers.ts";
import { Module, ModuleList } from "../nn/module.ts";
import { rotaryTable } from "../nn/rope.ts";
import { add, attention, causalMask, dims, rearrange, rotary, slice } from "../ops/index.ts";
import { runLayer } from "./run-layer.ts";

/**
 * The language side of InternVL: LLaMA-7B with a multilingual vocabulary (internvl_stage2/modeling_qllama.py). Here
 * as the text encoder of InternVL-C: causal, without queries and cross attention.
 */
export const QLlamaConfig = z.strictObject({
  hidden_size: z.int().positive().default(4096),
  intermediate_size: z.int().positive().default(11008),
  num_attention_heads: z.int().positive().default(32),
  num_hidden_layers: z.int().positive().default(32),
  max_position_embeddings: z.int().positive().default(2048),
  rms_norm_eps: z.number().positive().default(1e-6),
  hidden_act: z.literal("silu").default("silu"),
  vocab_size: z.int().positive().default(49954),
  bos_token_id: z.int().default(1),
  eos_token_id: z.int().default(2),
  pad_token_id: z.int().default(0),
  tie_word_embeddings: z.literal(false).default(false),
  initializer_range: z.number().positive().default(0.02),
});
export type QLlamaConfig = z.infer<typeof QLlamaConfig>;

const ROPE_THETA = 10000;

/** What all layers share. */
interface LayerContext {
  /** [L, d/2] each. */
  readonly cos: Tensor;
  readonly sin: Tensor;
  /** Additive, broadcasts to [B, H, L, L]. */
  readonly mask: Tensor;
}

export class LlamaAttention extends Module {
  readonly q_proj: Linear;
  readonly k_proj: Linear;
  readonly v_proj: Linear;
  readonly o_proj: Linear;

  constructor(readonly cfg: QLlamaConfig) {
    super();
    const { hidden_size: D, initializer_range: std } = cfg;
    const square = () => new Linear(D, D, { bias: false, std });
    this.q_proj = square();
    this.k_proj = square();
    this.v_proj = square();
    this.o_proj = square();
  }

  /** [B, L, D] -> [B, L, D] */
  forward(x: Tensor, { cos, sin, mask }: LayerContext): Tensor {
    const heads = (t: Tensor) => rearrange(t, "B L (H d) -> B H L d", { H: this.cfg.num_attention_heads });
    const [q, k, v] = project(x, this.q_proj, this.k_proj, this.v_proj);
    const y = attention(rotary(heads(q), cos, sin), rotary(heads(k), cos, sin), heads(v), { mask });
    return this.o_proj.forward(rearrange(y, "B H L d -> B L (H d)"));
  }
}

export class LlamaDecoderLayer extends Module {
  readonly self_attn: LlamaAttention;
  readonly mlp: GatedMLP;
  readonly input_layernorm: RMSNorm;
  readonly post_attention_layernorm: RMSNorm;

  constructor(cfg: QLlamaConfig) {
    super();
    this.self_attn = new LlamaAttention(cfg);
    this.mlp = new GatedMLP(cfg.hidden_size, cfg.intermediate_size, { std: cfg.initializer_range });
    this.input_layernorm = new RMSNorm(cfg.hidden_size, cfg.rms_norm_eps);
    this.post_attention_layernorm = new RMSNorm(cfg.hidden_size, cfg.rms_norm_eps);
  }

  /** [B, L, D] -> [B, L, D] */
  forward(x: Tensor, context: LayerContext): Tensor {
    const h = add(x, this.self_attn.forward(this.input_layernorm.forward(x), context));
    return add(h, this.mlp.forward(this.post_attention_layernorm.forward(h)));
  }
}

/** Embeddings, layers and final norm: `qllama.model` of the checkpoints. */
export class LlamaModel extends Module {
  readonly embed_tokens: Embedding;
  readonly layers: ModuleList<LlamaDecoderLayer>;
  readonly norm: RMSNorm;

  constructor(readonly cfg: QLlamaConfig) {
    super();
    // Rotary angles belong to pairs of channels of a head.
    if (cfg.hidden_size % (2 * cfg.num_attention_heads) !== 0)
      throw new ConfigError(
        `LLaMA: hidden_size ${cfg.hidden_size} is not a multiple of twice num_attention_heads ${cfg.num_attention_heads}`,
      );
    this.embed_tokens = new Embedding(cfg.vocab_size, cfg.hidden_size);
    this.layers = new ModuleList(
      Array.from({ length: cfg.num_hidden_layers }, () => new LlamaDecoderLayer(cfg)),
    );
    this.norm = new RMSNorm(cfg.hidden_size, cfg.rms_norm_eps);
  }

  /**
   * Causal encoding of right-padded ids i64 [B, L] -> the final norm's output [B, L, D]. Padding needs no mask: no
   * earlier position sees it. `maxLength` bounds L where it is symbolic.
   */
  encodeText(ids: Tensor, maxLength: number, run = runLayer): Tensor {
    const { L } = dims(ids, "B L");
    const { hidden_size, num_attention_heads } = this.cfg;
    const { max_position_embeddings } = this.cfg;
    const head_dim = hidden_size / num_attention_heads;
    const rope = { rope_theta: ROPE_THETA, head_dim, max_position_embeddings };
    const table = rotaryTable(rope, typeof L === "number" ? L : maxLength);
    const cos = slice(constant(table.cos), { axis: 0, start: 0, end: L });
    const sin = slice(constant(table.sin), { axis: 0, start: 0, end: L });
    const mask = causalMask({ rows: L, columns: L });
    let x = this.embed_tokens.forward(ids);
    this.layers.items.forEach((layer, i) => {
      const forward = (x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) =>
        layer.forward(x, { cos, sin, mask });
      x = run(`qllama.model.layers.${i}`, forward, x, cos, sin, mask);
    });
    return this.norm.forward(x);
  }
}
