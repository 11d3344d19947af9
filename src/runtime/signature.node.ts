import koffi from "koffi";
import type { HostTensor } from "../core/array.ts";
import { type DType, dtypeBy } from "../core/dtype.ts";
import { ShapeError } from "../core/errors.ts";
import type { TensorMemory } from "./native-value.node.ts";
import type { Pointer } from "./ort-api.node.ts";

/** An input or output as the model declares it. */
export interface Port {
  readonly name: string;
  /** Undefined for what is no tensor, or of a type that has no counterpart here. */
  readonly dtype: DType | undefined;
  /** Fixed sizes, or the names of the open ones ("?" when they have none); undefined when the rank is open. */
  readonly shape: readonly (number | string)[] | undefined;
}

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

/** What is fed or bound, for comparison with the port. */
export type Fed = Pick<HostTensor, "dtype" | "shape">;

/** Why `fed` does not fit the port, or undefined when it does. */
export function misfit(port: Port, fed: Fed): string | undefined {
  const { name, dtype, shape } = port;
  const sameType = dtype === undefined || dtype === fed.dtype;
  const sameShape =
    shape === undefined ||
    (shape.length === fed.shape.length &&
      shape.every((size, i) => typeof size === "string" || size === fed.shape[i]));
  if (sameType && sameShape) return undefined;
  return `${name}: the model wants ${dtype} [${shape ?? "any rank"}], found ${fed.dtype} [${fed.shape}]`;
}

/** Checks feeds against the inputs: unknown, missing and misfitting ones are in one ShapeError. */
export function checkFeeds(inputs: readonly Port[], feeds: Readonly<Record<string, Fed | undefined>>): void {
  const problems: string[] = [];
  for (const port of inputs) {
    const fed = feeds[port.name];
    const problem = fed === undefined ? `${port.name} is missing` : misfit(port, fed);
    if (problem !== undefined) problems.push(problem);
  }
  const known = new Set(inputs.map((p) => p.name));
  for (const name of Object.keys(feeds)) if (!known.has(name)) problems.push(`${name} is no input`);
  if (problems.length > 0)
    throw new ShapeError(`run: ${problems.join("; ")}; the inputs are ${[...known].join(", ") || "(none)"}`);
}
