import { f32, i64, sizeOf } from "../src/core/array.ts";
import { Rng } from "../src/core/rng.ts";
import { InternVLC, InternVLConfig } from "../src/models/internvl_c.ts";
import { parameters } from "../src/nn/module.ts";
import { STAGE1_ADAMW } from "../src/train/adamw.ts";
import { buildContrastiveStep } from "../src/train/contrastive-step.ts";
import { initialize } from "../src/train/initialize.ts";
import { initialState, Trainer } from "../src/train/trainer.ts";
import { type BenchContext, type BenchResult, Peer, pair } from "./pair.ts";

const BATCH = 32;
const EMBED = 384;
const VISION = { size: 64, patch: 8, width: 384, heads: 6, hidden: 1536, layers: 12 };
const TEXT = { vocab: 16000, width: 384, heads: 6, hidden: 1024, layers: 12, length: 32 };

/** ViT-S (65 tokens) and a LLaMA text tower of its width and depth, batch 32: one whole training step. */
async function trainStep(autocast: boolean, { runtime, python, threads, rounds, versions }: BenchContext) {
  const model = new InternVLC(
    InternVLConfig.parse({
      clip_embed_dim: EMBED,
      attn_pool_num_heads: VISION.heads,
      vision_config: {
        image_size: VISION.size,
        patch_size: VISION.patch,
        hidden_size: VISION.width,
        num_attention_heads: VISION.heads,
        intermediate_size: VISION.hidden,
        num_hidden_layers: VISION.layers,
        qk_normalization: false,
        qkv_bias: true,
        norm_type: "layer_norm",
      },
      qllama_config: {
        vocab_size: TEXT.vocab,
        hidden_size: TEXT.width,
        num_attention_heads: TEXT.heads,
        intermediate_size: TEXT.hidden,
        num_hidden_layers: TEXT.layers,
      },
    }),
  );
  const step = buildContrastiveStep(model, {
    batchSize: BATCH,
    images: "normalised",
    ...STAGE1_ADAMW,
    groups: [{ name: "all", match: ["*"] }],
  });
  const rng = new Rng("bench");
  await using trainer = await Trainer.create(runtime, step, {
    state: initialState(step, initialize(parameters(model), rng)),
    frozen: new Map(),
    betas: STAGE1_ADAMW.betas,
  });
  const shape = [BATCH, 3, VISION.size, VISION.size];
  const inputs = {
    images: f32(
      shape,
      Float32Array.from({ length: sizeOf(shape) }, () => rng.normal()),
    ),
    ids: i64(
      [BATCH, TEXT.length],
      Array.from({ length: BATCH * TEXT.length }, () => 1 + rng.int(TEXT.vocab - 1)),
    ),
    eos: i64([BATCH], new Array<number>(BATCH).fill(TEXT.length - 1)),
  };
  const args = { threads, vision: VISION, text: TEXT, embed: EMBED, batch: BATCH, autocast };
  const { peer, version } = await Peer.start(python, "train.py", args);
  await using _ = peer;
  const kind = autocast ? "bf16 autocast" : "f32";
  return await pair(
    `train-step-${autocast ? "vs-bf16" : "vs-f32"}`,
    () => trainer.run(inputs, { all: 1e-3 }),
    peer,
    rounds,
    {
      versions: `${versions}; ${version} ${kind}`,
      note: "ours in f32",
    },
  );
}

export const trainStepF32 = (context: BenchContext): Promise<BenchResult> => trainStep(false, context);
export const trainStepBf16 = (context: BenchContext): Promise<BenchResult> => trainStep(true, context);
