import { z } from "zod";
import { f32 } from "../core/array.ts";
import { ConfigError } from "../core/errors.ts";
import { constant, type Tensor } from "../graph/tensor.ts";
import { Embedding, Linear, RMSNorm } from "../nn/layers.ts";
import { Module, ModuleList } from "../nn/module.ts";
import { add, attention, causalMask, dims, mul, rearrange, rotary, silu, slice } from "../ops/index.ts";
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

/** cos and sin of the rotary angles for positions 0 … length − 1: [length, d/2] each. */
export function rotaryTable(length: number, headWidth: number): { cos: Tensor; sin: Tensor } {
  const half = headWidth / 2;
  const angle = (i: number) => {
    const [position, j] = [Math.floor(i / half), i % half];
    // The reference computes the inverse frequencies in f32.
    return position * Math.fround(ROPE_THETA ** -(j / half));
  };
  const table = (f: (x: number) => number) =>
    constant(
      f32(
        [length, half],
        Float32Array.from({ length: length * half }, (_, i) => f(angle(i))),
      ),
    );
  return { cos: table(Math.cos), sin: table(Math.sin) };
}

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
    const q = rotary(heads(this.q_proj.forward(x)), cos, sin);
    const k = rotary(heads(this.k_proj.forward(x)), cos, sin);
    const y = attention(q, k, heads(this.v_proj.forward(x)), { mask });
    return this.o_proj.forward(rearrange(y, "B H L d -> B L (H d)"));
  }
}

/** Gated MLP: down(SiLU(gate(x)) ⊙ up(x)). */
export class LlamaMLP extends Module {
  readonly gate_proj: Linear;
  readonly down_proj: Linear;
  readonly up_proj: Linear;

  constructor(cfg: QLlamaConfig) {
    super();
    const { hidden_size: D, intermediate_size: M, initializer_range: std } = cfg;
    this.gate_proj = new Linear(D, M, { bias: false, std });
    this.down_proj = new Linear(M, D, { bias: false, std });
    this.up_proj = new Linear(D, M, { bias: false, std });
  }

  /** [B, L, D] -> [B, L, D] */
  forward(x: Tensor): Tensor {
    return this.down_proj.forward(mul(silu(this.gate_proj.forward(x)), this.up_proj.forward(x)));
  }
}

export class LlamaDecoderLayer extends Module {
  readonly self_attn: LlamaAttention;
  readonly mlp: LlamaMLP;
  readonly input_layernorm: RMSNorm;
  readonly post_attention_layernorm: RMSNorm;

  constructor(cfg: QLlamaConfig) {
    super();
    this.self_attn = new LlamaAttention(cfg);
    this.mlp = new LlamaMLP(cfg);
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
    const table = rotaryTable(typeof L === "number" ? L : maxLength, hidden_size / num_attention_heads);
    const cos = slice(table.cos, { axis: 0, start: 0, end: L });
    const sin = slice(table.sin, { axis: 0, start: 0, end: L });
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
