import { f32, type HostTensor, sizeOf } from "../src/core/array.ts";
import type { Precision, QuantizedPrecision } from "../src/core/precisions.ts";
import { Rng } from "../src/core/rng.ts";
import { input } from "../src/graph/tensor.ts";
import { InternVisionModel, VisionConfig } from "../src/models/intern_vit.ts";
import { applyPrecision } from "../src/models/precision.ts";
import { Quantizer } from "../src/models/quantizer.ts";
import { parameters } from "../src/nn/module.ts";
import { emit } from "../src/onnx/emit.ts";
import { fuse } from "../src/onnx/fuse.ts";
import type { Runtime, TensorSource } from "../src/runtime/runtime.ts";
import { type BenchContext, type BenchResult, Peer, pair } from "./pair.ts";

/** InternViT-300M-448px with random weights: one picture of 448², 1025 tokens. */
const CONFIG = VisionConfig.parse({
  image_size: 448,
  hidden_size: 1024,
  num_attention_heads: 16,
  intermediate_size: 4096,
  num_hidden_layers: 24,
  qk_normalization: false,
  qkv_bias: true,
  norm_type: "layer_norm",
});

const PEER = { size: 448, patch: 14, width: 1024, heads: 16, hidden: 4096, layers: 24, batch: 1 };

/** Random weights of the size a trained model's have: the quantised result is compared with f32's. */
function randomWeights(model: InternVisionModel): Map<string, HostTensor> {
  return new Map(
    [...parameters(model)].map(([key, p]) => {
      const rng = new Rng(key);
      const data = new Float32Array(sizeOf(p.shape));
      for (let i = 0; i < data.length; i++) data[i] = p.shape.length > 1 ? 0.05 * (rng.uniform() * 2 - 1) : 1;
      return [key, key.endsWith("bias") ? f32(p.shape, data.fill(0)) : f32(p.shape, data)];
    }),
  );
}

async function tower(runtime: Runtime, precision: Precision) {
  const model = new InternVisionModel(CONFIG);
  await using quantizer = new Quantizer(runtime);
  const read = async (source: TensorSource) => source as HostTensor;
  const weights = applyPrecision(model, randomWeights(model), precision, { read, quantizer });
  const set = await runtime.weights(weights);
  const features = model.forward(input("pixels", "f32", [1, 3, 448, 448]));
  const session = await runtime.session(emit(fuse({ features })).bytes, { weights: set });
  const rng = new Rng("pixels");
  const pixels = f32(
    [1, 3, 448, 448],
    Float32Array.from({ length: 3 * 448 * 448 }, () => rng.normal()),
  );
  return {
    run: async () => (await session.run({ pixels })).features as HostTensor<"f32">,
    async [Symbol.asyncDispose]() {
      await session[Symbol.asyncDispose]();
      set[Symbol.dispose]();
    },
  };
}

function cosine(a: Float32Array, b: Float32Array): number {
  let [dot, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    dot += a[i]! * b[i]!;
    aa += a[i]! * a[i]!;
    bb += b[i]! * b[i]!;
  }
  return dot / Math.sqrt(aa * bb);
}

/** f32 against PyTorch's f32. */
export async function vit300mF32({
  runtime,
  python,
  threads,
  rounds,
  versions,
}: BenchContext): Promise<BenchResult> {
  await using ours = await tower(runtime, "f32");
  const { peer, version } = await Peer.start(python, "vit.py", {
    ...PEER,
    threads,
    dtype: "f32",
    compiled: false,
  });
  await using _ = peer;
  return await pair("vit-300m-f32", ours.run, peer, rounds, { versions: `${versions}; ${version} f32` });
}

/** 8-bit weights in blocks against PyTorch's compiled bf16. */
export const vit300mW8 = (context: BenchContext): Promise<BenchResult> => quantized("w8", context);

/** 8-bit weights and activations against PyTorch's compiled bf16. */
export const vit300mW8A8 = (context: BenchContext): Promise<BenchResult> => quantized("w8a8", context);

async function quantized(
  precision: QuantizedPrecision,
  { runtime, python, threads, rounds, versions }: BenchContext,
): Promise<BenchResult> {
  let reference: Float32Array;
  {
    await using exact = await tower(runtime, "f32");
    reference = (await exact.run()).data.slice();
  }
  await using ours = await tower(runtime, precision);
  const note = `cosine to f32 ${cosine((await ours.run()).data, reference).toFixed(5)}`;
  const { peer, version } = await Peer.start(python, "vit.py", {
    ...PEER,
    threads,
    dtype: "bf16",
    compiled: true,
  });
  await using _ = peer;
  return await pair(`vit-300m-${precision}`, ours.run, peer, rounds, {
    versions: `${versions}; ${version} bf16 compiled`,
    note,
  });
}
