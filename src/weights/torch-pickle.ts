import type { DType } from "../core/dtype.ts";
import { CheckpointError } from "../core/errors.ts";
import { checkedProduct, firstOf } from "./checkpoint.ts";
import { type PickleHost, type PickleObject, type PickleValue, readPickle } from "./pickle.ts";

/** A block of bytes in the archive, `data/<key>`, that one or more tensors look into. */
export interface TorchStorage extends PickleObject {
  readonly kind: "storage";
  readonly key: string;
  /** Undefined for untyped storages, whose tensors bring their dtype. */
  readonly dtype: DType | undefined;
  /** Elements, or bytes when untyped. */
  readonly size: number;
}

/** A view of a storage. Offset and stride count elements. */
export interface TorchTensor extends PickleObject {
  readonly kind: "tensor";
  readonly storage: TorchStorage;
  readonly dtype: DType;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly stride: readonly number[];
}

/** A name that the file may use: what it stands for, and what calling it gives. */
interface Global extends PickleObject {
  readonly kind: "global";
  readonly name: string;
  readonly dtype?: DType | undefined;
  readonly call?: (where: string, args: readonly PickleValue[]) => PickleValue;
}

const MAX_RANK = 64;

/** Storage classes and dtypes of torch, by their names. */
const STORAGES: Readonly<Record<string, DType | undefined>> = {
  "torch.DoubleStorage": "f64",
  "torch.FloatStorage": "f32",
  "torch.HalfStorage": "f16",
  "torch.BFloat16Storage": "bf16",
  "torch.LongStorage": "i64",
  "torch.IntStorage": "i32",
  "torch.ShortStorage": "i16",
  "torch.CharStorage": "i8",
  "torch.ByteStorage": "u8",
  "torch.BoolStorage": "bool",
  "torch.storage.UntypedStorage": undefined,
};

const DTYPE_NAMES: Readonly<Record<string, DType>> = {
  "torch.float64": "f64",
  "torch.float32": "f32",
  "torch.float16": "f16",
  "torch.bfloat16": "bf16",
  "torch.float8_e4m3fn": "f8_e4m3",
  "torch.float8_e5m2": "f8_e5m2",
  "torch.int64": "i64",
  "torch.int32": "i32",
  "torch.int16": "i16",
  "torch.int8": "i8",
  "torch.uint64": "u64",
  "torch.uint32": "u32",
  "torch.uint16": "u16",
  "torch.uint8": "u8",
  "torch.bool": "bool",
};

const CALLS: Readonly<Record<string, NonNullable<Global["call"]>>> = {
  "collections.OrderedDict": (where, [pairs]) => orderedDict(where, pairs),
  // (storage, offset, size, stride, requires_grad, backward_hooks, metadata?)
  "torch._utils._rebuild_tensor_v2": (where, [storage, offset, size, stride]) =>
    tensor(where, storage, offset, size, stride),
  // The same with the dtype in seventh place, for dtypes that have no storage class.
  "torch._utils._rebuild_tensor_v3": (where, [storage, offset, size, stride, , , dtype]) =>
    tensor(where, storage, offset, size, stride, dtype),
  // (data, requires_grad, backward_hooks[, state])
  "torch._utils._rebuild_parameter": (_, [data]) => data ?? null,
  "torch._utils._rebuild_parameter_with_state": (_, [data]) => data ?? null,
  "torch.Size": (_, [sizes]) => sizes ?? [],
  "torch.device": () => null,
};

/** A `.pth` archive's pickle, as torch.save writes it. */
class TorchHost implements PickleHost {
  constructor(readonly where: string) {}

  global(name: string): Global {
    if (Object.hasOwn(CALLS, name)) return { kind: "global", name, call: CALLS[name]! };
    if (Object.hasOwn(STORAGES, name)) return { kind: "global", name, dtype: STORAGES[name] };
    if (Object.hasOwn(DTYPE_NAMES, name)) return { kind: "global", name, dtype: DTYPE_NAMES[name] };
    throw new CheckpointError(
      `${this.where}: refers to ${JSON.stringify(name)}, which no plain tensor needs; it was refused and not run. ` +
        "If you trust the file, save its state dict alone: torch.save(model.state_dict(), path)",
    );
  }

  call(callee: PickleObject, args: readonly PickleValue[]): PickleValue {
    const { call, name } = callee as Global;
    if (call === undefined)
      throw new CheckpointError(`${this.where}: calls ${name ?? callee.kind}, which is no function`);
    return call(this.where, args);
  }

  /** ("storage", class, key, device, size) */
  persistent(id: PickleValue): TorchStorage {
    const [tag, type, key, , size] = Array.isArray(id) ? id : [];
    const name = isKind<Global>(type, "global") ? type.name : "";
    if (tag !== "storage" || !Object.hasOwn(STORAGES, name) || typeof key !== "string" || !isSize(size))
      throw new CheckpointError(`${this.where}: a storage is not described as (class, key, device, size)`);
    return { kind: "storage", key, dtype: STORAGES[name], size };
  }
}

function orderedDict(where: string, pairs: PickleValue | undefined): PickleValue {
  if (pairs === undefined) return new Map();
  if (
    Array.isArray(pairs) &&
    pairs.every((p): p is [PickleValue, PickleValue] => Array.isArray(p) && p.length === 2)
  )
    return new Map(pairs);
  throw new CheckpointError(`${where}: an OrderedDict is not made from pairs`);
}

function tensor(
  where: string,
  storage: PickleValue | undefined,
  offset: PickleValue | undefined,
  shape: PickleValue | undefined,
  stride: PickleValue | undefined,
  dtypeGlobal?: PickleValue,
): TorchTensor {
  const dtype = isKind<TorchStorage>(storage, "storage")
    ? isKind<Global>(dtypeGlobal, "global")
      ? dtypeGlobal.dtype
      : storage.dtype
    : undefined;
  if (
    dtype === undefined ||
    !isKind<TorchStorage>(storage, "storage") ||
    !isSize(offset) ||
    !isSizes(shape) ||
    !isSizes(stride) ||
    shape.length !== stride.length ||
    shape.length > MAX_RANK ||
    checkedProduct(shape) === undefined
  )
    throw new CheckpointError(`${where}: a tensor is not described as (storage, offset, size, stride)`);
  return { kind: "tensor", storage, dtype, offset, shape, stride };
}

/** Dicts that checkpoints keep the state dict in, the first that is there wins. */
const CONTAINERS = ["module", "state_dict", "model_state_dict", "model"] as const;
const MAX_NESTING = 4;

/**
 * The state dict in the pickle of a `.pth` archive: a dict with tensors for values, at the top or under one of
 * {@link CONTAINERS}, up to four deep. Executes nothing. Throws a CheckpointError, whose message starts with `where`,
 * for names that tensors do not need, damaged pickles, and dicts that hold no tensors or other things among them.
 */
export function readStateDict(where: string, pickle: Uint8Array): Map<string, TorchTensor> {
  let value = readPickle(where, pickle, new TorchHost(where));
  for (let depth = 0; depth <= MAX_NESTING; depth++) {
    if (!(value instanceof Map)) break;
    if ([...value.values()].some((v) => isKind(v, "tensor"))) return onlyTensors(where, value);
    const dict: Map<PickleValue, PickleValue> = value;
    const container = CONTAINERS.find((name) => dict.get(name) instanceof Map);
    if (container === undefined) break;
    value = dict.get(container)!;
  }
  const found =
    value instanceof Map ? `a dict of ${firstOf([...value.keys()].map(showKey), 5) || "nothing"}` : "no dict";
  throw new CheckpointError(
    `${where}: expected a state dict, at the top or under ${CONTAINERS.join(", ")}; found ${found}`,
  );
}

function onlyTensors(where: string, dict: ReadonlyMap<PickleValue, PickleValue>): Map<string, TorchTensor> {
  const out = new Map<string, TorchTensor>();
  const others: string[] = [];
  for (const [key, value] of dict)
    if (typeof key === "string" && isKind<TorchTensor>(value, "tensor")) out.set(key, value);
    else others.push(showKey(key));
  if (others.length > 0)
    throw new CheckpointError(
      `${where}: ${others.length} entries of the state dict are no tensors: ${firstOf(others)}`,
    );
  return out;
}

/** Keys that are no text are named by their type alone: they may be nested without end. */
const showKey = (key: PickleValue): string => (typeof key === "string" ? key : `a ${typeof key}`);

const isKind = <T extends PickleObject>(value: PickleValue | undefined, kind: T["kind"]): value is T =>
  typeof value === "object" && value !== null && "kind" in value && value.kind === kind;

const isSize = (value: PickleValue | undefined): value is number =>
  Number.isSafeInteger(value) && Number(value) >= 0;

const isSizes = (value: PickleValue | undefined): value is number[] =>
  Array.isArray(value) && value.every((v) => isSize(v));
