import { CheckpointError } from "../core/errors.ts";

/** What a pickle is made of here. Lists and tuples are arrays; dicts are Maps, so that no key is special. */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleValue[]
  | Map<PickleValue, PickleValue>
  | PickleObject;

/** Anything that the caller's own functions made: never code of the file. */
export interface PickleObject {
  readonly kind: string;
}

/** What a pickle may refer to. Both throw a CheckpointError for what they do not allow. */
export interface PickleHost {
  /** The object for a global name such as "torch.FloatStorage". */
  global(name: string): PickleObject;
  /** The result of "calling" such an object. */
  call(callee: PickleObject, args: readonly PickleValue[]): PickleValue;
  /** The object for a persistent id. */
  persistent(id: PickleValue): PickleValue;
}

/** Limits that a hostile file meets before it has used up memory; a state dict of 100,000 tensors stays below them. */
export const MAX_PICKLE_BYTES = 32 << 20;
const MAX_OPS = 4_000_000;
/** Items that calls may be given in all: one list can be an argument again and again at two bytes each. */
const MAX_CALL_ITEMS = 8_000_000;
const MARK = Symbol("mark");
type Slot = PickleValue | typeof MARK;

/**
 * Interprets the opcodes that data needs (Python's pickletools, protocols 2 to 5) and no others: nothing is imported
 * or run, every name goes through `host`. Throws a CheckpointError for other opcodes and for damaged data; `where`
 * starts its message.
 */
export function readPickle(where: string, bytes: Uint8Array, host: PickleHost): PickleValue {
  if (bytes.byteLength > MAX_PICKLE_BYTES)
    throw new CheckpointError(
      `${where}: a pickle of ${bytes.byteLength} bytes, at most ${MAX_PICKLE_BYTES} are read`,
    );
  const machine = new Machine(where, bytes, host);
  for (let ops = 0; ops < MAX_OPS; ops++) if (machine.step()) return machine.result();
  throw new CheckpointError(
    `${where}: a pickle of more than ${MAX_OPS} operations; this is no ordinary state dict`,
  );
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

class Machine {
  readonly #stack: Slot[] = [];
  readonly #memo = new Map<number, Slot>();
  readonly #view: DataView;
  #at = 0;
  #callItems = 0;

  constructor(
    readonly where: string,
    readonly bytes: Uint8Array,
    readonly host: PickleHost,
  ) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  result(): PickleValue {
    const value = this.#pop();
    if (this.#stack.length > 0) this.#fail("values are left over at its end");
    return value;
  }

  /** Runs one opcode; true at STOP. */
  step(): boolean {
    const at = this.#at;
    const op = String.fromCharCode(this.#take(1)[0]!);
    if (op === ".") return true;
    const done = this.#framing(op) || this.#literal(op) || this.#container(op) || this.#reference(op);
    if (!done)
      this.#fail(
        `opcode ${JSON.stringify(op)} at byte ${at} is not one that tensors need; nothing of it is run`,
      );
    return false;
  }

  #framing(op: string): boolean {
    switch (op) {
      case "\x80":
        if (this.#uint(1) > 5) this.#fail("its protocol is above 5");
        return true;
      case "\x95":
        this.#take(8);
        return true;
      case "(":
        this.#stack.push(MARK);
        return true;
      case "0":
        this.#pop();
        return true;
      default:
        return false;
    }
  }

  #literal(op: string): boolean {
    const value = this.#literalValue(op);
    if (value === undefined) return false;
    this.#stack.push(value);
    return true;
  }

  #literalValue(op: string): PickleValue | undefined {
    switch (op) {
      case "N":
        return null;
      case "\x88":
        return true;
      case "\x89":
        return false;
      case "J":
        return this.#signed32();
      case "K":
        return this.#uint(1);
      case "M":
        return this.#uint(2);
      case "\x8a":
        return this.#long(this.#uint(1));
      case "G":
        return new DataView(this.#take(8).slice().buffer).getFloat64(0);
      case "X":
        return this.#text(this.#uint(4));
      case "\x8c":
      case "U":
        return this.#text(this.#uint(1));
      case "C":
        return this.#take(this.#uint(1)).slice();
      case "B":
        return this.#take(this.#uint(4)).slice();
      case "}":
        return new Map();
      case "]":
      case ")":
        return [];
      default:
        return undefined;
    }
  }

  #container(op: string): boolean {
    switch (op) {
      case "t":
      case "l":
        this.#stack.push(this.#popMark());
        return true;
      case "\x85":
      case "\x86":
      case "\x87":
        this.#stack.push(this.#popCount(op.charCodeAt(0) - 0x84));
        return true;
      case "d":
        this.#stack.push(this.#setItems(new Map(), this.#popMark()));
        return true;
      case "a":
        this.#appendTo(this.#popCount(1));
        return true;
      case "e":
        this.#appendTo(this.#popMark());
        return true;
      case "s":
        this.#setIn(this.#popCount(2));
        return true;
      case "u":
        this.#setIn(this.#popMark());
        return true;
      default:
        return false;
    }
  }

  #reference(op: string): boolean {
    switch (op) {
      case "h":
        this.#recall(this.#uint(1));
        return true;
      case "j":
        this.#recall(this.#uint(4));
        return true;
      case "q":
        this.#memo.set(this.#uint(1), this.#top());
        return true;
      case "r":
        this.#memo.set(this.#uint(4), this.#top());
        return true;
      case "\x94":
        this.#memo.set(this.#memo.size, this.#top());
        return true;
      case "c":
        this.#stack.push(this.host.global(`${this.#line()}.${this.#line()}`));
        return true;
      case "\x93": {
        const [module, name] = this.#popCount(2);
        if (typeof module !== "string" || typeof name !== "string") return this.#fail("a name is no text");
        this.#stack.push(this.host.global(`${module}.${name}`));
        return true;
      }
      case "R": {
        const [callee, args] = this.#popCount(2);
        if (!isObject(callee!) || !Array.isArray(args))
          return this.#fail("a call without a name or arguments");
        for (const arg of args) this.#callItems += Array.isArray(arg) ? arg.length : 1;
        if (this.#callItems > MAX_CALL_ITEMS) this.#fail(`calls with more than ${MAX_CALL_ITEMS} items`);
        this.#stack.push(this.host.call(callee, args));
        return true;
      }
      case "b":
        // State beside the items of a dict: state dicts keep version numbers there, which nothing here needs.
        this.#pop();
        if (!(this.#top() instanceof Map)) this.#fail("state for something else than a dict");
        return true;
      case "Q":
        this.#stack.push(this.host.persistent(this.#pop()));
        return true;
      default:
        return false;
    }
  }

  #take(length: number): Uint8Array {
    const end = this.#at + length;
    if (end > this.bytes.byteLength) this.#fail(`it ends in the middle of a value at byte ${this.#at}`);
    const part = this.bytes.subarray(this.#at, end);
    this.#at = end;
    return part;
  }

  #uint(width: 1 | 2 | 4): number {
    const at = this.#at;
    this.#take(width);
    if (width === 1) return this.#view.getUint8(at);
    return width === 2 ? this.#view.getUint16(at, true) : this.#view.getUint32(at, true);
  }

  #signed32(): number {
    const at = this.#at;
    this.#take(4);
    return this.#view.getInt32(at, true);
  }

  /** Little-endian two's complement; a number where it is exact. */
  #long(length: number): number | bigint {
    let value = 0n;
    for (const byte of [...this.#take(length)].reverse()) value = (value << 8n) | BigInt(byte);
    value = BigInt.asIntN(Math.max(8 * length, 1), value);
    return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  }

  #text(length: number): string {
    try {
      return utf8.decode(this.#take(length));
    } catch (cause) {
      if (cause instanceof CheckpointError) throw cause;
      return this.#fail("a name is not UTF-8");
    }
  }

  #line(): string {
    const end = this.bytes.indexOf(0x0a, this.#at);
    if (end < 0) return this.#fail("a name has no end");
    const text = this.#text(end - this.#at);
    this.#at++;
    return text;
  }

  #pop(): PickleValue {
    const value = this.#stack.pop();
    return value === undefined || value === MARK ? this.#fail("a value is missing") : value;
  }

  #top(): PickleValue {
    const value = this.#stack.at(-1);
    return value === undefined || value === MARK ? this.#fail("a value is missing") : value;
  }

  #popCount(count: number): PickleValue[] {
    return Array.from({ length: count }, () => this.#pop()).reverse();
  }

  #popMark(): PickleValue[] {
    const mark = this.#stack.lastIndexOf(MARK);
    if (mark < 0) this.#fail("a mark is missing");
    return this.#stack.splice(mark).slice(1) as PickleValue[];
  }

  #appendTo(items: readonly PickleValue[]): void {
    const list = this.#top();
    if (Array.isArray(list)) for (const item of items) list.push(item);
    else this.#fail("items for something else than a list");
  }

  #setIn(items: readonly PickleValue[]): void {
    const dict = this.#top();
    if (dict instanceof Map) this.#setItems(dict, items);
    else this.#fail("items for something else than a dict");
  }

  #setItems(
    dict: Map<PickleValue, PickleValue>,
    items: readonly PickleValue[],
  ): Map<PickleValue, PickleValue> {
    if (items.length % 2 !== 0) this.#fail("a key has no value");
    for (let i = 0; i < items.length; i += 2) dict.set(items[i]!, items[i + 1]!);
    return dict;
  }

  #recall(index: number): void {
    const value = this.#memo.get(index);
    if (value === undefined) this.#fail(`it refers to value ${index}, which it has not made`);
    this.#stack.push(value!);
  }

  #fail(what: string): never {
    throw new CheckpointError(`${this.where}: the pickle is damaged or not a state dict: ${what}`);
  }
}

const isObject = (value: PickleValue): value is PickleObject =>
  typeof value === "object" &&
  value !== null &&
  !Array.isArray(value) &&
  !(value instanceof Map) &&
  !(value instanceof Uint8Array);
