import { dtypeBy } from "../core/dtype.ts";
import { koffi } from "./koffi.node.ts";
import type { TensorMemory } from "./native-value.node.ts";
import type { Pointer } from "./ort-api.node.ts";
import type { Port } from "./ports.ts";

/** The inputs or outputs of a session, in the model's order. */
export function ports(memory: TensorMemory, session: Pointer, side: "Input" | "Output"): Port[] {
  const { api, allocator } = memory;
  const doing = `reading the model's ${side.toLowerCase()}s`;
  const count = api.number(`SessionGet${side}Count`, doing, session);
  return Array.from({ length: count }, (_, i) => {
    const text = api.make(`SessionGet${side}Name`, doing, session, i, allocator);
    const name = koffi.decode.string(text);
    api.call("AllocatorFree", doing, allocator, text);
    const type = api.make(`SessionGet${side}TypeInfo`, doing, session, i);
    try {
      return { name, ...tensorType(memory, type, doing) };
    } finally {
      api.release("ReleaseTypeInfo", type);
    }
  });
}

function tensorType(memory: TensorMemory, type: Pointer, doing: string): Omit<Port, "name"> {
  const { api } = memory;
  const info = api.make("CastTypeInfoToTensorInfo", doing, type); // borrowed from `type`
  if (info === 0n) return { dtype: undefined, shape: undefined };
  const dtype = dtypeBy("onnx", api.number("GetTensorElementType", doing, info));
  const rank = api.number("GetDimensionsCount", doing, info);
  const sizes = new BigInt64Array(rank);
  const names = new BigUint64Array(rank);
  if (rank > 0) {
    api.call("GetDimensions", doing, info, sizes, rank);
    api.call("GetSymbolicDimensions", doing, info, names, rank);
  }
  const shape = Array.from(sizes, (size, i) =>
    size >= 0n ? Number(size) : koffi.decode.string(names[i]!) || "?",
  );
  return { dtype, shape };
}
