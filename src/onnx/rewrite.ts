import { applyOp } from "../graph/op.ts";
import { type Node, type Tensor, topological } from "../graph/tensor.ts";

/** What a rule may ask about the graph it rewrites. */
export interface RewriteContext {
  /** How many inputs of nodes, and outputs of the graph, are this tensor. */
  uses(t: Tensor): number;
  /** The tensor that stands for `t` in the new graph. Only for tensors that come before the node in question. */
  now(t: Tensor): Tensor;
}

/**
 * A local rewrite: gets a node of the old graph and returns what stands in the new one for its outputs (and for other
 * old tensors that are read later), or undefined to leave it. Rules match on the old graph and build on `now(...)` of
 * what they captured.
 */
export type Rule = (node: Node, context: RewriteContext) => ReadonlyMap<Tensor, Tensor> | undefined;

/** The same outputs with the first rule that applies at each node applied. Nodes that nobody reads any more vanish. */
export function rewrite(
  outputs: Readonly<Record<string, Tensor>>,
  rules: readonly Rule[],
): Record<string, Tensor> {
  const roots = Object.values(outputs);
  const order = topological(roots);
  const counts = new Map<Tensor, number>();
  for (const t of [...order.flatMap((n) => n.inputs), ...roots]) counts.set(t, (counts.get(t) ?? 0) + 1);
  const replaced = new Map<Tensor, Tensor>();
  const context: RewriteContext = { uses: (t) => counts.get(t) ?? 0, now: (t) => replaced.get(t) ?? t };

  for (const node of order) {
    const result = firstResult(rules, node, context) ?? copy(node, context);
    for (const [old, t] of result) if (t !== old) replaced.set(old, t);
  }
  return Object.fromEntries(Object.entries(outputs).map(([name, t]) => [name, context.now(t)]));
}

function firstResult(rules: readonly Rule[], node: Node, context: RewriteContext) {
  for (const rule of rules) {
    const result = rule(node, context);
    if (result) return result;
  }
  return undefined;
}

/** The node itself, or a copy of it on inputs that changed. */
function copy(node: Node, { now }: RewriteContext): ReadonlyMap<Tensor, Tensor> {
  const inputs = node.inputs.map(now);
  const same = inputs.every((t, i) => t === node.inputs[i]);
  const outputs = same ? node.outputs : applyOp(node.op, inputs, node.attrs);
  return new Map(node.outputs.map((t, i) => [t, outputs[i]!]));
}

/** The node that computes t, when it is an application of `name` and nobody else reads t. */
export function only(t: Tensor | undefined, name: string, { uses }: RewriteContext): Node | undefined {
  return t !== undefined && uses(t) === 1 ? made(t, name) : undefined;
}

/** The node that computes t, when it is an application of `name`. */
export function made(t: Tensor | undefined, name: string): Node | undefined {
  return t?.node?.op.def.name === name ? t.node : undefined;
}
