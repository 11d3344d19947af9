import { grad } from "../autodiff/index.ts";
import { input, type Param, paramTensor, type Tensor } from "../graph/tensor.ts";
import { type EmittedModel, emit } from "../onnx/emit.ts";
import { fuse } from "../onnx/fuse.ts";
import { type AdamWOptions, adamw } from "./adamw.ts";
import { assignGroups, type ParamGroup } from "./param-groups.ts";

/** How a step changes the weights, whatever its loss. */
export interface UpdateOptions extends AdamWOptions {
  /** Every trained parameter belongs to exactly one group; parameters of none are frozen. */
  readonly groups: readonly ParamGroup[];
  /** Weight decay on tensors of two or more dimensions; the rest has none. */
  readonly weightDecay: number;
}

/** Names of the graph's inputs and outputs for the state of a parameter. */
export const stateNames = (key: string) => ({ value: key, m: `adam.m.${key}`, v: `adam.v.${key}` });
export const newName = (name: string): string => `new.${name}`;
export const rateName = (group: string): string => `rate.${group}`;

export interface TrainingStep {
  readonly model: EmittedModel;
  /** Trained parameters, whose value and moments are inputs and outputs of the graph. */
  readonly trained: readonly Param[];
  /** Parameters that are only read. */
  readonly frozen: readonly Param[];
}

/**
 * A training step as one graph: the backward pass of `measured.loss`, clipping by global norm and AdamW. Inputs beside
 * those of the loss: rate.GROUP, correction1, correction2, the state, and the frozen weights. Outputs: the measured
 * scalars, grad_norm, and the new state. Throws a ConfigError when groups overlap or match nothing.
 */
export function buildTrainingStep(
  params: Iterable<Param>,
  measured: Readonly<Record<string, Tensor>> & { readonly loss: Tensor },
  options: UpdateOptions,
): TrainingStep {
  const all = [...params];
  const groupOf = assignGroups(
    all.map((p) => p.key),
    options.groups,
  );
  const trained = all.filter((p) => groupOf.has(p.key));
  const rates = new Map(options.groups.map((g) => [g.name, input(rateName(g.name), "f32", [])]));
  const gradients = grad(measured.loss, trained.map(paramTensor));
  const scalars = {
    correction1: input("correction1", "f32", []),
    correction2: input("correction2", "f32", []),
  };
  const states = trained.map((param, i) => {
    const names = stateNames(param.key);
    return {
      param,
      value: paramTensor(param),
      m: input(names.m, "f32", param.shape),
      v: input(names.v, "f32", param.shape),
      gradient: gradients[i]!,
      rate: rates.get(groupOf.get(param.key)!)!,
      weightDecay: param.shape.length >= 2 ? options.weightDecay : 0,
    };
  });
  const { updated, gradNorm } = adamw(states, scalars, options);

  const { loss, ...others } = measured;
  const outputs: Record<string, Tensor> = { loss, grad_norm: gradNorm, ...others };
  trained.forEach((param, i) => {
    const names = stateNames(param.key);
    outputs[newName(names.value)] = updated[i]!.value;
    outputs[newName(names.m)] = updated[i]!.m;
    outputs[newName(names.v)] = updated[i]!.v;
  });
  return {
    model: emit(fuse(outputs), { params: "inputs" }),
    trained,
    frozen: all.filter((p) => !groupOf.has(p.key)),
  };
}
