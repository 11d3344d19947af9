import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type AttributeProto,
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  type TensorProto,
  TensorProto_DataLocation,
  TensorProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from "onnx-buf";
import { type HostTensor, rawBytes } from "../core/array.ts";
import { DTYPES, type DType } from "../core/dtype.ts";
import type { Shape } from "../core/shape.ts";
import type { AttributeValue } from "../graph/op.ts";

/** Small builders of ONNX messages. */

export function attribute(name: string, value: AttributeValue): AttributeProto {
  const as = (
    type: AttributeProto_AttributeType,
    fields: Omit<MessageInitShape<typeof AttributeProtoSchema>, "$typeName">,
  ) => create(AttributeProtoSchema, { name, type, ...fields });
  if (typeof value === "string")
    return as(AttributeProto_AttributeType.STRING, { s: new TextEncoder().encode(value) });
  if (Array.isArray(value)) return as(AttributeProto_AttributeType.INTS, { ints: value.map(BigInt) });
  if (typeof value === "number" && Number.isInteger(value))
    return as(AttributeProto_AttributeType.INT, { i: BigInt(value) });
  const f = typeof value === "number" ? value : (value as { float: number }).float;
  return as(AttributeProto_AttributeType.FLOAT, { f });
}

export function valueInfo(name: string, dtype: DType, shape: Shape): ValueInfoProto {
  const dim = shape.map((d) =>
    typeof d === "number"
      ? { value: { case: "dimValue" as const, value: BigInt(d) } }
      : { value: { case: "dimParam" as const, value: d } },
  );
  return create(ValueInfoProtoSchema, {
    name,
    type: { value: { case: "tensorType", value: { elemType: DTYPES[dtype].onnx, shape: { dim } } } },
  });
}

/** A constant that travels inside the model. */
export function inlineTensor(name: string, t: HostTensor): TensorProto {
  return create(TensorProtoSchema, {
    name,
    dims: t.shape.map(BigInt),
    dataType: DTYPES[t.dtype].onnx,
    rawData: new Uint8Array(rawBytes(t)),
  });
}

/** A weight that the session is given by name; the location is never opened. */
export function externalTensor(
  name: string,
  dtype: DType,
  shape: readonly number[],
  location: string,
): TensorProto {
  return create(TensorProtoSchema, {
    name,
    dims: shape.map(BigInt),
    dataType: DTYPES[dtype].onnx,
    dataLocation: TensorProto_DataLocation.EXTERNAL,
    externalData: [{ key: "location", value: location }],
  });
}
