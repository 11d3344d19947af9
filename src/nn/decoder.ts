import { type Dim, dimSub } from "../core/shape.ts";
import { constant, type Tensor } from "../graph/tensor.ts";
import {
  add,
  attention,
  cachedAttention,
  cachedWidth,
  cast,
  dimValue,
  gather,
  mul,
  pad,
  ROTATED_WIDTH,
  range,
  rearrange,
  reshape,
  rotary,
  silu,
  slice,
  sub,
  windowMask,
} from "../ops/index.ts";
import { project } from "./joined.ts";
import { Embedding, Linear, type Norm, RMSNorm } from "./layers.ts";
import { Module, ModuleList } from "./module.ts";
import { type RopeConfig, rotaryTable } from "./rope.ts";

/** Heads of a self-attention; `groups` of keys and values, each for heads / groups query heads in a row. */
export interface HeadLayout {
  readonly heads: number;
  readonly groups: number;
  /** Channels of a head, d. */
  readonly width: number;
  /** How many positions each one sees, itself included; all before it where it is left out. */
  readonly window?: number;
  /** A logit of each head [H] without a value. */
  readonly sinks?: Tensor;
}

/** How the layers of a decoder attend: over a whole sequence, or over a cache that they extend. */
export interface DecoderContext {
  /** Rotates q and k by position and attends causally: q [B, L, H·d], k and v [B, L, G·d] -> [B, L, H·d]. */
  attend(layer: number, q: Tensor, k: Tensor, v: Tensor, layout: HeadLayout): Tensor;
}

/** All L positions at once, in plain ops with gradients; `maxLength` bounds L where it is symbolic. */
export function wholeSequence(rope: RopeConfig, L: Dim, maxLength: number): DecoderContext {
  const table = rotaryTable(rope, typeof L === "number" ? L : maxLength);
  const part = (t: typeof table.cos) => slice(constant(t), { axis: 0, start: 0, end: L });
  const [cos, sin] = [part(table.cos), part(table.sin)];
  const masks = new Map<number | undefined, Tensor>();
  const mask = (window?: number) => {
    const known = masks.get(window) ?? windowMask(L, window);
    masks.set(window, known);
    return known;
  };
  return {
    attend(_layer, q, k, v, { heads, groups, window, sinks }) {
      const split = (t: Tensor, H: number) => rearrange(t, "B L (H d) -> B H L d", { H });
      const y = attention(
        rotary(split(q, heads), cos, sin),
        rotary(split(k, groups), cos, sin),
        split(v, groups),
        { mask: mask(window), ...(sinks && { sinks }) },
      );
      return rearrange(y, "B H L d -> B L (H d)");
    },
  };
}

/** Keys and values of the positions so far, a pair a layer: [B, G, S, {@link cachedWidth} of d] each. */
export interface LayerCache {
  readonly keys: Tensor;
  readonly values: Tensor;
}

export interface CachedPositions {
  readonly cache: readonly LayerCache[];
  /** i32 [B]: index of each row's last position, the new ones included. */
  readonly last: Tensor;
  /** i32 []: the largest of `last`, plus one. */
  readonly total: Tensor;
  /** [S, d/2] each, for positions from 0 on, times d^(-1/4): rotated queries and keys give scaled scores. */
  readonly cos: Tensor;
  readonly sin: Tensor;
}

/** New positions after those in a cache; `extended` fills with the cache of each layer that has attended. */
export function overCache({ cache, last, total, cos, sin }: CachedPositions): DecoderContext & {
  readonly extended: readonly LayerCache[];
} {
  const extended: LayerCache[] = [];
  return {
    extended,
    attend(layer, q, k, v, { heads, groups, width, window, sinks }) {
      const { keys, values } = cache[layer]!;
      const isRotated = width % ROTATED_WIDTH !== 0;
      const turn = (t: Tensor, H: number) => (isRotated ? rotateRows(t, H, { last, cos, sin }) : t);
      const attrs = {
        heads,
        groups,
        // Rotation has scaled both sides: the runtime's product for single rows knows no other scale.
        scale: 1,
        isRotated,
        ...(window !== undefined && { window }),
      };
      const more = cachedWidth(width) - width;
      const widen = (t: Tensor, H: number) =>
        more === 0 ? t : byHead(t, H, (x) => pad(x, { axis: 3, before: 0, after: more }));
      const rows = [widen(turn(q, heads), heads), widen(turn(k, groups), groups), widen(v, groups)];
      const inputs = [...rows, keys, values, last, total, cos, sin, ...(sinks ? [sinks] : [])];
      const [y, newKeys, newValues] = cachedAttention.outputs(...inputs, attrs);
      extended[layer] = { keys: newKeys!, values: newValues! };
      return more === 0 ? y! : byHead(y!, heads, (x) => slice(x, { axis: 3, start: 0, end: width }));
    },
  };
}

/** Does something to heads side by side [B, L, H·d] as [B, L, H, d]. */
export const byHead = (t: Tensor, H: number, change: (x: Tensor) => Tensor): Tensor =>
  rearrange(change(rearrange(t, "B L (H d) -> B L H d", { H })), "B L H d -> B L (H d)");

/** Rotates heads side by side [B, L, H·d] by their positions, the last of which are `last` [B]. */
function rotateRows(
  t: Tensor,
  H: number,
  { last, cos, sin }: Pick<CachedPositions, "last" | "cos" | "sin">,
): Tensor {
  const [B, L] = t.shape as [Dim, Dim];
  const back = sub(range({ n: L }), dimValue({ dim: dimSub(L, 1) }));
  const positions = add(reshape(cast(last, "i64"), [B, 1]), reshape(back, [1, L]));
  const of = (table: Tensor) => reshape(gather(table, positions), [B, L, 1, table.shape[1]!]);
  return byHead(t, H, (x) => rotary(x, of(cos), of(sin)));
}

/** Gated MLP: down(SiLU(gate(x)) ⊙ up(x)). */
export class GatedMLP extends Module {
  readonly gate_proj: Linear;
  readonly down_proj: Linear;
  readonly up_proj: Linear;

  constructor(
    width: number,
    hidden: number,
    options: { readonly std?: number; readonly bias?: boolean } = {},
  ) {
    super();
    const { std = 0.02, bias = false } = options;
    this.gate_proj = new Linear(width, hidden, { bias, std });
    this.down_proj = new Linear(hidden, width, { bias, std });
    this.up_proj = new Linear(width, hidden, { bias, std });
  }

  /** [.., D] -> [.., D] */
  forward(x: Tensor): Tensor {
    const [gate, up] = project(x, this.gate_proj, this.up_proj);
    return this.down_proj.forward(mul(silu(gate), up));
  }
}

/** A layer's self-attention: [B, L, D] -> [B, L, D], attending as the context says. */
export interface SelfAttention extends Module {
  forward(x: Tensor, layer: number, context: DecoderContext): Tensor;
}

/** [B, L, D] -> [B, L, D], each position for itself. */
export interface FeedForward extends Module {
  forward(x: Tensor): Tensor;
}

/** A pre-norm decoder layer, in the names that most families share. */
export class DecoderLayer extends Module {
  readonly input_layernorm: Norm;
  readonly post_attention_layernorm: Norm;

  constructor(
    readonly self_attn: SelfAttention,
    readonly mlp: FeedForward,
    width: number,
    epsilon: number,
  ) {
    super();
    this.input_layernorm = new RMSNorm(width, epsilon);
    this.post_attention_layernorm = new RMSNorm(width, epsilon);
  }

  forward(x: Tensor, layer: number, context: DecoderContext): Tensor {
    const h = add(x, this.self_attn.forward(this.input_layernorm.forward(x), layer, context));
    return add(h, this.mlp.forward(this.post_attention_layernorm.forward(h)));
  }
}

/** The sizes by which a language model is run. */
export interface LanguageModelShape {
  readonly vocab_size: number;
  readonly hidden_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly num_key_value_heads: number;
  readonly rope: RopeConfig;
}

/** A causal language model of any family. */
export interface CausalLanguageModel extends Module {
  readonly shape: LanguageModelShape;
  /** ids i64 [B, L] -> [B, L, D] */
  embed(ids: Tensor): Tensor;
  /** Embeddings [B, L, D] -> hidden states after the final norm [B, L, D]. */
  decode(x: Tensor, context: DecoderContext): Tensor;
  /** Hidden states [.., D] -> logits [.., V]. */
  logits(hidden: Tensor): Tensor;
}

class Decoder extends Module {
  readonly embed_tokens: Embedding;
  readonly layers: ModuleList<DecoderLayer>;
  readonly norm: RMSNorm;

  constructor(shape: LanguageModelShape, epsilon: number, layer: (i: number) => DecoderLayer) {
    super();
    this.embed_tokens = new Embedding(shape.vocab_size, shape.hidden_size);
    this.layers = new ModuleList(Array.from({ length: shape.num_hidden_layers }, (_, i) => layer(i)));
    this.norm = new RMSNorm(shape.hidden_size, epsilon);
  }
}

/** Embeddings, layers, final norm and head in the names of LLaMA, which Qwen, Phi-3 and GPT-OSS share. */
export class CausalLM extends Module implements CausalLanguageModel {
  readonly model: Decoder;
  readonly lm_head: Linear;

  constructor(
    readonly shape: LanguageModelShape,
    options: {
      readonly epsilon: number;
      readonly tied: boolean;
      readonly layer: (i: number) => DecoderLayer;
    },
  ) {
    super();
    this.model = new Decoder(shape, options.epsilon, options.layer);
    this.lm_head = new Linear(shape.hidden_size, shape.vocab_size, {
      bias: false,
      ...(options.tied && { weight: this.model.embed_tokens.weight }),
    });
  }

  embed(ids: Tensor): Tensor {
    return this.model.embed_tokens.forward(ids);
  }

  decode(x: Tensor, context: DecoderContext): Tensor {
    const layers = this.model.layers.items;
    return this.model.norm.forward(layers.reduce((h, layer, i) => layer.forward(h, i, context), x));
  }

  logits(hidden: Tensor): Tensor {
    return this.lm_head.forward(hidden);
  }
}
