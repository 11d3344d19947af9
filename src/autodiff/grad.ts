import { ShapeError } from "../core/errors.ts";
import { sameShape, showShape } from "../core/shape.ts";
import { applyOp } from "../graph/op.ts";
import { type Node, type Segment, scalar, type Tensor, topological } from "../graph/tensor.ts";
import { add, expand, sumTo } from "../ops/index.ts";
import { depend } from "./depend.ts";

/**
 * Reverse-mode gradients of a scalar loss with respect to tensors (parameters, inputs or intermediate values); a
 * tensor that the loss does not depend on gets zeros. Blocks made by `checkpoint` are recomputed here.
 */
export function grad(loss: Tensor, wrt: readonly Tensor[]): Tensor[] {
  if (loss.rank !== 0)
    throw new ShapeError(`grad: the loss must be a scalar, found ${showShape(loss.shape)}`);
  const order = topological([loss]);
  const active = dependents(order, wrt);
  const cotangents = new Map<Tensor, Tensor[]>([[loss, [scalar(1)]]]);
  const recompute = new Recomputation(order);

  for (const node of order.toReversed()) {
    if (!active.has(node)) continue;
    const dys = node.outputs.map((t) => total(cotangents, t));
    const dy = dys.find((d) => d !== undefined);
    if (!dy) continue;
    const { vjp, name } = node.op.def;
    if (typeof vjp !== "function")
      throw new ShapeError(`grad: ${name} has no gradient: ${vjp.notDifferentiable}`);
    const kept = recompute.kept(node, dy);
    // A rule for one output may rely on `dy`; rules for several look at `dys`.
    const grads = vjp({
      dy: dys[0] ?? expand(scalar(0), node.outputs[0]!.shape),
      dys,
      ...kept,
      attrs: node.attrs,
    });
    node.inputs.forEach((x, i) => {
      const g = grads[i];
      if (!g || !(active.has(x) || wrt.includes(x))) return;
      const list = cotangents.get(x) ?? [];
      list.push(sumTo(g, x.shape));
      cotangents.set(x, list);
    });
  }
  return wrt.map((t) => total(cotangents, t) ?? expand(scalar(0), t.shape));
}

/** Nodes and tensors that depend on one of `wrt`. */
function dependents(order: readonly Node[], wrt: readonly Tensor[]): Set<Node | Tensor> {
  const active = new Set<Node | Tensor>(wrt);
  for (const node of order) {
    if (!node.inputs.some((t) => active.has(t))) continue;
    active.add(node);
    for (const t of node.outputs) active.add(t);
  }
  return active;
}

/** The sum of what has flowed to t; brought to its shape, because a rule may return a smaller, broadcastable one. */
function total(cotangents: Map<Tensor, Tensor[]>, t: Tensor): Tensor | undefined {
  const parts = cotangents.get(t);
  if (!parts) return undefined;
  const sum = parts.reduce((a, b) => add(a, b));
  const whole = sameShape(sum.shape, t.shape) ? sum : expand(sum, t.shape);
  cotangents.set(t, [whole]);
  return whole;
}

/** Gives gradient rules the values they read: the forward pass's own, or recomputed ones inside a segment. */
class Recomputation {
  readonly #members = new Map<Segment, Node[]>();
  readonly #clones = new Map<Segment, Map<Tensor, Tensor>>();

  constructor(order: readonly Node[]) {
    for (const node of order)
      if (node.segment) this.#members.set(node.segment, [...(this.#members.get(node.segment) ?? []), node]);
  }

  kept(node: Node, dy: Tensor): { x: readonly Tensor[]; y: Tensor; ys: readonly Tensor[] } {
    const clones = node.segment ? this.#clone(node.segment, dy) : undefined;
    const value = (t: Tensor) => clones?.get(t) ?? t;
    const ys = node.outputs.map(value);
    return { x: node.inputs.map(value), y: ys[0]!, ys };
  }

  /** Copies the block; its inputs are made to depend on `dy`, so that the copy runs in the backward pass. */
  #clone(segment: Segment, dy: Tensor): Map<Tensor, Tensor> {
    const done = this.#clones.get(segment);
    if (done) return done;
    const members = new Set(this.#members.get(segment));
    const map = new Map<Tensor, Tensor>();
    const value = (t: Tensor): Tensor => {
      const inside = t.node !== undefined && members.has(t.node);
      // Weights and constants stay themselves: a copy of each would cost more than what is recomputed from them alone.
      const fed = t.node !== undefined || t.origin.kind === "input";
      if (!inside && fed && t.dtype === "f32" && !map.has(t)) map.set(t, depend(t, dy));
      return map.get(t) ?? t;
    };
    for (const node of members) {
      const outputs = applyOp(node.op, node.inputs.map(value), node.attrs);
      node.outputs.forEach((t, i) => {
        map.set(t, outputs[i]!);
      });
    }
    this.#clones.set(segment, map);
    return map;
  }
}
