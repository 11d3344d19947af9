import { type DType, dtypeBy } from "../core/dtype.ts";
import { RuntimeFailure, ShapeError } from "../core/errors.ts";

/** An external initializer as a model declares it (see EXTERNAL_LOCATION of onnx/emit.ts). */
export interface DeclaredWeight {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/**
 * The external initializers of a serialized ModelProto's main graph. Reads only the fields it needs and skips the
 * rest by their lengths, so that megabytes of inline data cost nothing. Throws a RuntimeFailure for bytes that are
 * no protobuf message. Fields: onnx.proto (ModelProto.graph 7, GraphProto.initializer 5).
 */
export function declaredWeights(model: Uint8Array): DeclaredWeight[] {
  const declared: DeclaredWeight[] = [];
  for (const [field, graph] of messages(model)) {
    if (field !== 7) continue;
    for (const [member, tensor] of messages(graph)) {
      if (member !== 5) continue;
      const weight = externalTensor(tensor);
      if (weight !== undefined) declared.push(weight);
    }
  }
  return declared;
}

/** TensorProto: dims 1, data_type 2, name 8, data_location 14. */
function externalTensor(tensor: Uint8Array): DeclaredWeight | undefined {
  const shape: number[] = [];
  let name = "";
  let type = 0;
  let external = false;
  const reader = new WireReader(tensor);
  for (let tag = reader.tag(); tag !== undefined; tag = reader.tag()) {
    if (tag.field === 1 && tag.wire === 0) shape.push(reader.varint());
    else if (tag.field === 1 && tag.wire === 2) {
      const packed = new WireReader(reader.bytes());
      while (!packed.done) shape.push(packed.varint());
    } else if (tag.field === 2) type = reader.varint();
    else if (tag.field === 8) name = new TextDecoder().decode(reader.bytes());
    else if (tag.field === 14) external = reader.varint() === 1;
    else reader.skip(tag.wire);
  }
  if (!external) return undefined;
  const dtype = dtypeBy("onnx", type);
  if (dtype === undefined)
    throw new RuntimeFailure(
      `model: initializer "${name}" has element type ${type}, which cannot be supplied from outside`,
    );
  return { name, dtype, shape };
}

/** The length-delimited fields of a message, as views. */
function* messages(bytes: Uint8Array): Generator<[field: number, body: Uint8Array]> {
  const reader = new WireReader(bytes);
  for (let tag = reader.tag(); tag !== undefined; tag = reader.tag())
    if (tag.wire === 2) yield [tag.field, reader.bytes()];
    else reader.skip(tag.wire);
}

/** Protobuf's wire format, forwards only. */
class WireReader {
  #at = 0;

  constructor(readonly source: Uint8Array) {}

  get done(): boolean {
    return this.#at >= this.source.length;
  }

  tag(): { field: number; wire: number } | undefined {
    if (this.done) return undefined;
    const tag = this.varint();
    return { field: Math.floor(tag / 8), wire: tag % 8 };
  }

  /** A varint; exact to 2^53, which no size in a model reaches. */
  varint(): number {
    let value = 0;
    for (let factor = 1; factor < 2 ** 70; factor *= 128) {
      const byte = this.source[this.#at++];
      if (byte === undefined) throw truncated();
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
    }
    throw truncated();
  }

  bytes(): Uint8Array {
    const length = this.varint();
    return this.#take(length);
  }

  skip(wire: number): void {
    if (wire === 0) this.varint();
    else if (wire === 1) this.#take(8);
    else if (wire === 2) this.bytes();
    else if (wire === 5) this.#take(4);
    else throw truncated();
  }

  #take(length: number): Uint8Array {
    const end = this.#at + length;
    if (end > this.source.length) throw truncated();
    const view = this.source.subarray(this.#at, end);
    this.#at = end;
    return view;
  }
}

const truncated = (): RuntimeFailure =>
  new RuntimeFailure("model: the bytes are no ONNX model, or a truncated one; pass a serialized ModelProto");

/** What a set of weights says of one key. */
interface Held {
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/** Checks that every declared weight is held with its dtype and shape; all misfits are in one ShapeError. */
export function checkWeights(declared: readonly DeclaredWeight[], held: ReadonlyMap<string, Held>): void {
  const problems = declared.flatMap(({ name, dtype, shape }) => {
    const weight = held.get(name);
    if (weight === undefined) return [`${name} (${dtype} [${shape}]) is missing`];
    const same = weight.dtype === dtype && `${weight.shape}` === `${shape}`;
    return same
      ? []
      : [`${name}: the model wants ${dtype} [${shape}], the set holds ${weight.dtype} [${weight.shape}]`];
  });
  if (problems.length === 0) return;
  const shown = problems.slice(0, 8).join("; ");
  const more = problems.length > 8 ? `; and ${problems.length - 8} more` : "";
  throw new ShapeError(
    `session: ${problems.length} of the model's ${declared.length} external weights do not fit the WeightSet: ${shown}${more}`,
  );
}
