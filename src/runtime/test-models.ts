import { create, toBinary } from "@bufbuild/protobuf";
import {
  type AttributeProto,
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  GraphProtoSchema,
  ModelProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  StringStringEntryProtoSchema,
  type TensorProto,
  TensorProto_DataLocation,
  TensorProtoSchema,
  TensorShapeProto_DimensionSchema,
  TensorShapeProtoSchema,
  TypeProto_TensorSchema,
  TypeProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from "onnx-buf";
import { type HostTensor, rawBytes } from "../core/array.ts";
import { DTYPES, type DType } from "../core/dtype.ts";
import { EXTERNAL_LOCATION } from "../onnx/emit.ts";

/** Tiny ONNX models for the tests of the runtimes, written by hand so that these do not depend on the emitter. */

/** An input or output. A string is an open size's name. */
export function port(name: string, dtype: DType, shape: readonly (number | string)[]): ValueInfoProto {
  const dim = shape.map((size) =>
    create(TensorShapeProto_DimensionSchema, {
      value:
        typeof size === "string"
          ? { case: "dimParam", value: size }
          : { case: "dimValue", value: BigInt(size) },
    }),
  );
  const tensor = create(TypeProto_TensorSchema, {
    elemType: DTYPES[dtype].onnx,
    shape: create(TensorShapeProtoSchema, { dim }),
  });
  return create(ValueInfoProtoSchema, {
    name,
    type: create(TypeProtoSchema, { value: { case: "tensorType", value: tensor } }),
  });
}

/** A weight that the runtime supplies. */
export function externalWeight(name: string, dtype: DType, shape: readonly number[]): TensorProto {
  return create(TensorProtoSchema, {
    name,
    dataType: DTYPES[dtype].onnx,
    dims: shape.map(BigInt),
    dataLocation: TensorProto_DataLocation.EXTERNAL,
    externalData: [create(StringStringEntryProtoSchema, { key: "location", value: EXTERNAL_LOCATION })],
  });
}

/** A weight inside the model. */
export function inlineWeight(name: string, host: HostTensor): TensorProto {
  return create(TensorProtoSchema, {
    name,
    dataType: DTYPES[host.dtype].onnx,
    dims: host.shape.map(BigInt),
    rawData: new Uint8Array(rawBytes(host)),
  });
}

export function node(
  opType: string,
  input: string[],
  output: string[],
  attributes: Readonly<Record<string, number>> = {},
): NodeProto {
  const attribute = Object.entries(attributes).map(
    ([name, i]): AttributeProto =>
      create(AttributeProtoSchema, { name, type: AttributeProto_AttributeType.INT, i: BigInt(i) }),
  );
  return create(NodeProtoSchema, { opType, input, output, attribute, name: output[0]! });
}

export interface GraphParts {
  readonly input?: ValueInfoProto[];
  readonly output: ValueInfoProto[];
  readonly initializer?: TensorProto[];
  readonly node: NodeProto[];
}

/** A serialized ModelProto, opset 21. */
export function modelBytes(graph: GraphParts): Uint8Array<ArrayBuffer> {
  const model = create(ModelProtoSchema, {
    irVersion: 10n,
    opsetImport: [create(OperatorSetIdProtoSchema, { version: 21n })],
    graph: create(GraphProtoSchema, { name: "test", ...graph }),
  });
  return toBinary(ModelProtoSchema, model);
}

/** y = x in one Identity. */
export const identityModel = (dtype: DType, shape: readonly (number | string)[]): Uint8Array<ArrayBuffer> =>
  modelBytes({
    input: [port("x", dtype, shape)],
    output: [port("y", dtype, shape)],
    node: [node("Identity", ["x"], ["y"])],
  });

/** y = x · w: [B, K] · [K, N], w supplied by the runtime. */
export const linearModel = (K: number, N: number): Uint8Array<ArrayBuffer> =>
  modelBytes({
    input: [port("x", "f32", ["B", K])],
    output: [port("y", "f32", ["B", N])],
    initializer: [externalWeight("w", "f32", [K, N])],
    node: [node("MatMul", ["x", "w"], ["y"])],
  });

/** y = x · x · … with x [N, N]: `length` products in a row, to have something that takes time. */
export const chainModel = (N: number, length: number): Uint8Array<ArrayBuffer> =>
  modelBytes({
    input: [port("x", "f32", [N, N])],
    output: [port("y", "f32", [N, N])],
    node: Array.from({ length }, (_, i) =>
      node("MatMul", [i === 0 ? "x" : `t${i - 1}`, "x"], [i === length - 1 ? "y" : `t${i}`]),
    ),
  });
