import { create, toBinary } from "@bufbuild/protobuf";
import {
  type AttributeProto,
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  TypeProto_TensorSchema,
  TypeProtoSchema,
  ValueInfoProtoSchema,
} from "onnx-buf";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { expect, test } from "vitest";
import { f32, type HostTensor, hostTensor } from "../core/array.ts";
import { DTYPES, type DType } from "../core/dtype.ts";
import { Rng } from "../core/rng.ts";
import { type BlockQuantized, dequantizeBlocks } from "./block-quantized.ts";

/** The operator itself is the authority on its layout: A = identity makes its output the transposed weight. */
async function dequantizedByOperator(q: BlockQuantized): Promise<HostTensor> {
  const identity = f32(
    [q.K, q.K],
    Float32Array.from({ length: q.K ** 2 }, (_, i) => (i % (q.K + 1) === 0 ? 1 : 0)),
  );
  const feeds = { A: identity, B: q.codes, scales: q.scales };
  const session = await InferenceSession.create(model(q, feeds));
  const inputs = Object.entries(feeds).map(([name, t]) => [name, toOrt(t)]);
  const { Y } = await session.run(Object.fromEntries(inputs) as Record<string, Tensor>);
  await session.release();
  return f32([q.K, q.N], Y!.data as Float32Array);
}

const toOrt = (t: HostTensor): Tensor =>
  t.dtype === "u8"
    ? new Tensor("uint8", t.data as Uint8Array, t.shape)
    : new Tensor("float32", t.data as Float32Array, t.shape);

function model(q: BlockQuantized, feeds: Readonly<Record<string, HostTensor>>): Uint8Array {
  const int = (name: string, i: number): AttributeProto =>
    create(AttributeProtoSchema, { name, type: AttributeProto_AttributeType.INT, i: BigInt(i) });
  const port = (name: string, dtype: DType) =>
    create(ValueInfoProtoSchema, {
      name,
      type: create(TypeProtoSchema, {
        value: {
          case: "tensorType",
          value: create(TypeProto_TensorSchema, { elemType: DTYPES[dtype].onnx }),
        },
      }),
    });
  const node = create(NodeProtoSchema, {
    opType: "MatMulNBits",
    domain: "com.microsoft",
    input: Object.keys(feeds),
    output: ["Y"],
    attribute: [int("K", q.K), int("N", q.N), int("bits", q.bits), int("block_size", q.blockSize)],
  });
  const graph = create(GraphProtoSchema, {
    name: "dequantize",
    node: [node],
    input: Object.entries(feeds).map(([name, t]) => port(name, t.dtype)),
    output: [port("Y", "f32")],
  });
  const opsetImport = [
    create(OperatorSetIdProtoSchema, { domain: "", version: 21n }),
    create(OperatorSetIdProtoSchema, { domain: "com.microsoft", version: 1n }),
  ];
  return toBinary(ModelProtoSchema, create(ModelProtoSchema, { irVersion: 10n, opsetImport, graph }));
}

const FORMS = [4, 8].flatMap((bits) =>
  [16, 32, 64, 128, 256].map(
    (blockSize) => ({ bits, blockSize }) as Pick<BlockQuantized, "bits" | "blockSize">,
  ),
);

test.each(FORMS)("ONNX Runtime reads the codes as we do: %o", async ({ bits, blockSize }) => {
  const [N, K] = [5, 300];
  const rng = new Rng("codes");
  const [blocks, blob] = [Math.ceil(K / blockSize), (blockSize * bits) / 8];
  const codes = Uint8Array.from({ length: N * blocks * blob }, () => rng.int(256));
  const scales = Float32Array.from({ length: N * blocks }, () => rng.normal());
  const q: BlockQuantized = {
    ...{ bits, blockSize, N, K },
    codes: hostTensor("u8", [N, blocks, blob], codes),
    scales: f32([N, blocks], scales),
  };
  const ours = dequantizeBlocks(q);
  const theirs = await dequantizedByOperator(q);
  for (let n = 0; n < N; n++)
    for (let k = 0; k < K; k++) {
      // The operator's products are of f32 up to 2^7 times a scale.
      expect(theirs.data[k * N + n], `[${n}, ${k}]`).toBeCloseTo(ours.data[n * K + k]!, 4);
    }
});
