/** The first cycle of a directed graph as a path that ends where it begins, or undefined. */
export function findCycle(edges: ReadonlyMap<string, Iterable<string>>): string[] | undefined {
  const done = new Set<string>();
  for (const root of edges.keys()) {
    const path: string[] = [];
    const stack: { node: string; rest: string[] }[] = [];
    const enter = (node: string) => {
      path.push(node);
      stack.push({ node, rest: [...(edges.get(node) ?? [])] });
    };
    if (!done.has(root)) enter(root);
    while (stack.length > 0) {
      const top = stack[stack.length - 1]!;
      const next = top.rest.pop();
      if (next === undefined) {
        done.add(top.node);
        stack.pop();
        path.pop();
      } else if (path.includes(next)) return [...path.slice(path.indexOf(next)), next];
      else if (!done.has(next)) enter(next);
    }
  }
  return undefined;
}
