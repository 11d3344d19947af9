import { Param, type Tensor } from "../graph/tensor.ts";
import { matmul, reshape, slice } from "../ops/index.ts";
import { Linear, value } from "./layers.ts";
import { Module, ModuleList, modules } from "./module.ts";

/** A weight of E experts: one parameter [E, in, out] for x·W, as it is published, or a linear layer for each. */
export type ExpertWeights = Param | ModuleList<Linear>;

/** Experts whose weights are published as one parameter of each kind. */
export abstract class StackedExperts extends Module {
  /** The fields that are such weights. */
  abstract readonly stacks: readonly string[];

  /** x·W of one expert: [n, in] -> [n, out]. */
  protected product(x: Tensor, weights: ExpertWeights, expert: number): Tensor {
    return weights instanceof ModuleList
      ? weights.items[expert]!.forward(x)
      : matmul(x, partOf(weights, expert));
  }
}

/** One expert's part [..] of a parameter [E, ..]. */
export function partOf(param: Param, expert: number): Tensor {
  const own = slice(value(param), { axis: 0, start: expert, end: expert + 1 });
  return reshape(own, param.shape.slice(1));
}

/** A parameter that linear layers took the place of: its key and theirs. */
export interface Unstacked {
  readonly key: string;
  readonly weights: readonly string[];
}

/** Gives each expert linear layers of its own, in place, so that they can be changed as others are. */
export function unstackTree(root: Module): Unstacked[] {
  const unstacked: Unstacked[] = [];
  for (const [path, module] of [...modules(root)]) {
    if (!(module instanceof StackedExperts)) continue;
    const fields = module as unknown as Record<string, ExpertWeights>;
    for (const field of module.stacks) {
      const stack = fields[field];
      if (!(stack instanceof Param)) continue;
      const [E, K, N] = stack.shape as [number, number, number];
      const key = path ? `${path}.${field}` : field;
      fields[field] = new ModuleList(Array.from({ length: E }, () => new Linear(K, N, { bias: false })));
      unstacked.push({ key, weights: Array.from({ length: E }, (_, e) => `${key}.${e}.weight`) });
    }
  }
  return unstacked;
}
