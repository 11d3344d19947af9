import { f32, type HostTensor, zeros } from "../core/array.ts";
import { CheckpointError } from "../core/errors.ts";
import { sameShape } from "../core/shape.ts";
import type { Binding, Runtime, Session, Value } from "../runtime/runtime.ts";
import { newName, rateName, stateNames, type TrainingStep } from "./training-step.ts";

/** One batch: the graph's inputs by name. */
export type StepInputs = Readonly<Record<string, HostTensor>>;

export interface StepResult {
  /** In nats: contrastive, with that of text pairs times its weight; or that of the next token. */
  readonly loss: number;
  /** Contrastive loss of the text pairs in nats, where there are any. */
  readonly pairLoss?: number;
  /** Global norm of the gradients before clipping. */
  readonly gradNorm: number;
  /** exp(logit_scale) at this step's start, where the model has one. */
  readonly scale?: number;
}

/** Values of the trained parameters and of AdamW's moments, by the names of the graph. */
export type TrainState = ReadonlyMap<string, HostTensor>;

/** The state of a fresh run: the given weights and zero moments. */
export function initialState(step: TrainingStep, weights: ReadonlyMap<string, HostTensor>): TrainState {
  const state = new Map<string, HostTensor>();
  for (const p of step.trained) {
    const names = stateNames(p.key);
    state.set(names.value, weights.get(p.key)!);
    state.set(names.m, zeros("f32", p.shape));
    state.set(names.v, zeros("f32", p.shape));
  }
  return state;
}

/**
 * Runs a training step's graph. The state exists twice in the runtime's memory: a step reads one copy and writes
 * the other, then they change roles; only scalars are copied out.
 */
export class Trainer implements AsyncDisposable {
  /** Steps done so far: AdamW's t of the last step. */
  steps: number;
  readonly #copies: readonly [Map<string, Value>, Map<string, Value>];
  readonly #bindings: readonly [Binding, Binding];
  readonly #scalars: ReadonlyMap<string, Value>;

  private constructor(
    readonly runtime: Runtime,
    readonly session: Session,
    readonly step: TrainingStep,
    readonly betas: readonly [number, number],
    readonly frozen: readonly Value[],
    copies: readonly [Map<string, Value>, Map<string, Value>],
    bindings: readonly [Binding, Binding],
    scalars: ReadonlyMap<string, Value>,
    startStep: number,
  ) {
    this.#copies = copies;
    this.#bindings = bindings;
    this.#scalars = scalars;
    this.steps = startStep;
  }

  /**
   * `state` is the state after `startStep` steps; `frozen` holds the weights that are only read. Throws a
   * CheckpointError when a tensor of the graph is missing or of another shape.
   */
  static async create(
    runtime: Runtime,
    step: TrainingStep,
    options: {
      readonly state: TrainState;
      readonly frozen: ReadonlyMap<string, HostTensor>;
      readonly betas: readonly [number, number];
      readonly startStep?: number;
      readonly threads?: number;
    },
  ): Promise<Trainer> {
    checkComplete(step, options.state, options.frozen);
    const session = await runtime.session(step.model.bytes, {
      ...(options.threads && { threads: options.threads }),
    });
    const startStep = options.startStep ?? 0;
    const filled = new Map([...options.state].map(([name, t]) => [name, runtime.value(t)]));
    const empty = new Map([...options.state].map(([name, t]) => [name, runtime.empty(t.dtype, t.shape)]));
    const copies = startStep % 2 === 0 ? ([filled, empty] as const) : ([empty, filled] as const);
    const scalars = new Map(
      session.outputs.filter((n) => !n.startsWith("new.")).map((n) => [n, runtime.empty("f32", [])]),
    );
    const frozen = new Map(step.frozen.map((p) => [p.key, runtime.value(options.frozen.get(p.key)!)]));
    const bind = (from: Map<string, Value>, to: Map<string, Value>): Binding => {
      const binding = session.bind();
      for (const [name, v] of frozen) if (session.inputs.includes(name)) binding.input(name, v);
      for (const [name, v] of from) if (session.inputs.includes(name)) binding.input(name, v);
      for (const [name, v] of to) binding.output(newName(name), v);
      for (const [name, v] of scalars) binding.output(name, v);
      return binding;
    };
    return new Trainer(
      runtime,
      session,
      step,
      options.betas,
      [...frozen.values()],
      copies,
      [bind(copies[0], copies[1]), bind(copies[1], copies[0])],
      scalars,
      startStep,
    );
  }

  /** One step: learning rates by group. */
  async run(inputs: StepInputs, rates: Readonly<Record<string, number>>): Promise<StepResult> {
    const t = this.steps + 1;
    const side = this.steps % 2;
    const binding = this.#bindings[side]!;
    const feeds: Record<string, HostTensor> = {
      ...inputs,
      correction1: f32([], [1 - this.betas[0] ** t]),
      correction2: f32([], [1 - this.betas[1] ** t]),
    };
    for (const [group, rate] of Object.entries(rates)) feeds[rateName(group)] = f32([], [rate]);
    const values = Object.entries(feeds).map(([name, t]) => [name, this.runtime.value(t)] as const);
    try {
      for (const [name, v] of values) binding.input(name, v);
      await binding.run();
    } finally {
      for (const [, v] of values) v[Symbol.dispose]();
    }
    this.steps = t;
    const read = async (name: string) => Number((await this.#scalars.get(name)!.read()).data[0]);
    return {
      loss: await read("loss"),
      ...(this.#scalars.has("pair_loss") && { pairLoss: await read("pair_loss") }),
      gradNorm: await read("grad_norm"),
      ...(this.#scalars.has("scale") && { scale: await read("scale") }),
    };
  }

  /** The state after the last step, copied out. */
  async state(): Promise<Map<string, HostTensor>> {
    const state = new Map<string, HostTensor>();
    for (const [name, v] of this.#current) state.set(name, await v.read());
    return state;
  }

  /** The current weights of the trained parameters, copied out. */
  async weights(): Promise<Map<string, HostTensor>> {
    const weights = new Map<string, HostTensor>();
    for (const p of this.step.trained) weights.set(p.key, await this.#current.get(p.key)!.read());
    return weights;
  }

  get #current(): Map<string, Value> {
    // Step n reads copy n mod 2 and writes the other one; a fresh or resumed run starts in the copy it will read.
    return this.#copies[this.steps % 2]!;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const b of this.#bindings) b[Symbol.dispose]();
    await this.session[Symbol.asyncDispose]();
    for (const v of [
      ...this.#copies[0].values(),
      ...this.#copies[1].values(),
      ...this.#scalars.values(),
      ...this.frozen,
    ])
      v[Symbol.dispose]();
  }
}

/** Feeding the runtime a wrong shape would end in its own message, which names no file and no way out. */
function checkComplete(step: TrainingStep, state: TrainState, frozen: ReadonlyMap<string, HostTensor>): void {
  const problems: string[] = [];
  const check = (name: string, tensor: HostTensor | undefined, shape: readonly number[]) => {
    if (!tensor) problems.push(`${name}: missing`);
    else if (tensor.dtype !== "f32" || !sameShape(tensor.shape, shape))
      problems.push(`${name}: expected f32 [${shape}], found ${tensor.dtype} [${tensor.shape}]`);
  };
  for (const { key, shape } of step.trained)
    for (const name of Object.values(stateNames(key))) check(name, state.get(name), shape);
  for (const { key, shape } of step.frozen) check(key, frozen.get(key), shape);
  if (problems.length > 0)
    throw new CheckpointError(
      `training state: ${problems.length} tensors do not fit the model (${problems.slice(0, 3).join("; ")}); was the checkpoint written by another version?`,
    );
}
