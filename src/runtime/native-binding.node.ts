import { RuntimeFailure, ShapeError, UsageError } from "../core/errors.ts";
import type { NativeSession } from "./native-session.node.ts";
import { NativeValue } from "./native-value.node.ts";
import type { Pointer } from "./ort-api.node.ts";
import { checkFeeds, misfit, type Port } from "./ports.ts";
import type { Binding, RunOptions, Value } from "./runtime.ts";

/** Inputs and outputs bound once and run many times. One run at a time. */
export class NativeBinding implements Binding {
  readonly #inputs = new Map<string, NativeValue>();
  readonly #outputs = new Map<string, NativeValue>();
  /** How often each input had been written when it was bound. */
  readonly #copied = new Map<string, number>();
  #running = false;
  /** Whether every input has been bound: what is bound once can be bound anew, not taken away. */
  #complete = false;
  #io: Pointer;

  constructor(
    readonly session: NativeSession,
    io: Pointer,
    readonly onDispose: (binding: NativeBinding) => void,
  ) {
    this.#io = io;
  }

  input(name: string, value: Value): this {
    this.#bind("BindInput", this.#inputs, this.session.inputPorts, name, value);
    return this;
  }

  output(name: string, value: Value): this {
    this.#bind("BindOutput", this.#outputs, this.session.outputPorts, name, value);
    return this;
  }

  run(options: RunOptions = {}): Promise<void> {
    return this.session.track(this.#run(options.signal));
  }

  async #run(signal: AbortSignal | undefined): Promise<void> {
    const io = this.#idle("run");
    if (this.#outputs.size === 0)
      throw new UsageError("binding: run without an output; bind one with output()");
    for (const bound of [this.#inputs, this.#outputs])
      for (const [name, value] of bound) checkAlive(name, value);
    if (!this.#complete) checkFeeds(this.session.inputPorts, Object.fromEntries(this.#inputs));
    this.#complete = true;
    this.#copyWritten();
    this.#running = true;
    try {
      await this.session.execute(io, signal);
    } finally {
      this.#running = false;
    }
  }

  /** A GPU gets its copy of an input when that is bound: what was written since is bound again. */
  #copyWritten(): void {
    if (this.session.device === "cpu") return;
    for (const [name, value] of this.#inputs)
      if (value.writes !== this.#copied.get(name)) this.input(name, value);
  }

  #bind(
    how: "BindInput" | "BindOutput",
    bound: Map<string, NativeValue>,
    ports: readonly Port[],
    name: string,
    value: Value,
  ): void {
    const io = this.#idle("bind");
    if (!(value instanceof NativeValue))
      throw new UsageError(
        `binding: "${name}" is a value of another runtime; make it with this one's empty()`,
      );
    const port = ports.find((p) => p.name === name);
    if (port === undefined)
      throw new ShapeError(
        `binding: there is no "${name}"; the names are ${ports.map((p) => p.name).join(", ")}`,
      );
    const problem = misfit(port, value);
    if (problem !== undefined) throw new ShapeError(`binding: ${problem}`);
    this.session.memory.api.call(how, `binding "${name}"`, io, name, value.handle);
    bound.set(name, value);
    if (how === "BindInput") this.#copied.set(name, value.writes);
  }

  #idle(what: string): Pointer {
    if (this.#io === 0n) throw new RuntimeFailure(`binding: ${what} after it was disposed of`);
    if (this.#running)
      throw new RuntimeFailure(
        `binding: ${what} while a run is in flight; await it, or make a second binding`,
      );
    return this.#io;
  }

  /** Throws a RuntimeFailure while a run is in flight. */
  [Symbol.dispose](): void {
    if (this.#io !== 0n) this.#idle("dispose");
    this.release();
  }

  /** Releases the binding without a check: for the session, which has waited for its runs. */
  release(): void {
    if (this.#io === 0n) return;
    this.session.memory.api.release("ReleaseIoBinding", this.#io);
    this.#io = 0n;
    this.onDispose(this);
  }
}

function checkAlive(name: string, value: NativeValue): void {
  if (!value.alive)
    throw new RuntimeFailure(
      `binding: the value bound as "${name}" was disposed of; bind another before running`,
    );
}
