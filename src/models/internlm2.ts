import { z } from "zod";
import type { Tensor } from "../graph/tensor.ts";
import type { CausalLanguageModel, DecoderContext, HeadLayout, LanguageModelShape } from "../nn/decoder.ts";
import { project } from "../nn/joined.ts";
import { Embedding, Linear, RMSNorm } from "../nn/layers.ts";
import { Module, ModuleList } from "../nn/module.ts";
import { add, mul, rearrange, silu, slice } from "../ops/index.ts";
import { LANGUAGE_FIELDS, layoutOf, shapeOf } from "./language-config.ts";

/**
 * InternLM2 (arXiv:2403.17297; internvl_chat/internvl/model/internlm2/modeling_internlm2.py): LLaMA with its keys and
 * values interleaved in one projection, and names of its own. InternVL3-9B's InternLM3 was published in this layout.
 */
export const InternLM2Config = z.strictObject({ ...LANGUAGE_FIELDS, bias: z.boolean().default(false) });
export type InternLM2Config = z.infer<typeof InternLM2Config>;

/** Rows of `wqkv` come in groups: the query heads that share a key head, then that key head, then its value head. */
class InternLM2Attention extends Module {
  readonly wqkv: Linear;
  readonly wo: Linear;

  constructor(
    { hidden_size: D, bias, initializer_range: std }: InternLM2Config,
    readonly layout: HeadLayout,
  ) {
    super();
    const { heads, groups, width } = layout;
    this.wqkv = new Linear(D, (heads + 2 * groups) * width, { bias, std });
    this.wo = new Linear(heads * width, D, { bias, std });
  }

  /** [B, L, D] -> [B, L, D] */
  forward(x: Tensor, layer: number, context: DecoderContext): Tensor {
    const { heads, groups: G, width: d } = this.layout;
    const times = heads / G;
    const rows = rearrange(this.wqkv.forward(x), "B L (G m d) -> B L G m d", { G, d });
    const part = (start: number, end: number) =>
      rearrange(slice(rows, { axis: 3, start, end }), "B L G m d -> B L (G m d)");
    const [q, k, v] = [part(0, times), part(times, times + 1), part(times + 1, times + 2)];
    return this.wo.forward(context.attend(layer, q, k, v, this.layout));
  }
}

class InternLM2MLP extends Module {
  readonly w1: Linear;
  readonly w3: Linear;
  readonly w2: Linear;

  constructor({ hidden_size: D, intermediate_size: M, initializer_range: std }: InternLM2Config) {
    super();
    this.w1 = new Linear(D, M, { bias: false, std });
    this.w3 = new Linear(D, M, { bias: false, std });
    this.w2 = new Linear(M, D, { bias: false, std });
  }

  /** [B, L, D] -> [B, L, D] */
  forward(x: Tensor): Tensor {
    const [gate, up] = project(x, this.w1, this.w3);
    return this.w2.forward(mul(silu(gate), up));
  }
}

class InternLM2DecoderLayer extends Module {
  readonly attention: InternLM2Attention;
  readonly feed_forward: InternLM2MLP;
  readonly attention_norm: RMSNorm;
  readonly ffn_norm: RMSNorm;

  constructor(cfg: InternLM2Config, layout: HeadLayout) {
    super();
    this.attention = new InternLM2Attention(cfg, layout);
    this.feed_forward = new InternLM2MLP(cfg);
    this.attention_norm = new RMSNorm(cfg.hidden_size, cfg.rms_norm_eps);
    this.ffn_norm = new RMSNorm(cfg.hidden_size, cfg.rms_norm_eps);
  }

  forward(x: Tensor, layer: number, context: DecoderContext): Tensor {
    const h = add(x, this.attention.forward(this.attention_norm.forward(x), layer, context));
    return add(h, this.feed_forward.forward(this.ffn_norm.forward(h)));
  }
}

class InternLM2Model extends Module {
  readonly tok_embeddings: Embedding;
  readonly layers: ModuleList<InternLM2DecoderLayer>;
  readonly norm: RMSNorm;

  constructor(cfg: InternLM2Config, layout: HeadLayout) {
    super();
    this.tok_embeddings = new Embedding(cfg.vocab_size, cfg.hidden_size);
    this.layers = new ModuleList(
      Array.from({ length: cfg.num_hidden_layers }, () => new InternLM2DecoderLayer(cfg, layout)),
    );
    this.norm = new RMSNorm(cfg.hidden_size, cfg.rms_norm_eps);
  }
}

export class InternLM2ForCausalLM extends Module implements CausalLanguageModel {
  readonly model: InternLM2Model;
  readonly output: Linear;
  readonly shape: LanguageModelShape;

  constructor(cfg: InternLM2Config) {
    super();
    this.shape = shapeOf(cfg);
    this.model = new InternLM2Model(cfg, layoutOf(cfg));
    this.output = new Linear(cfg.hidden_size, cfg.vocab_size, {
      bias: false,
      ...(cfg.tie_word_embeddings && { weight: this.model.tok_embeddings.weight }),
    });
  }

  embed(ids: Tensor): Tensor {
    return this.model.tok_embeddings.forward(ids);
  }

  decode(x: Tensor, context: DecoderContext): Tensor {
    const layers = this.model.layers.items;
    return this.model.norm.forward(layers.reduce((h, layer, i) => layer.forward(h, i, context), x));
  }

  logits(hidden: Tensor): Tensor {
    return this.output.forward(hidden);
  }
}
