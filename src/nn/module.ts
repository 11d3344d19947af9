import { ShapeError } from "../core/errors.ts";
import { Param } from "../graph/tensor.ts";

/**
 * A part of a network: a tree of named fields that hold parameters and other modules, without data. Field names
 * are the published checkpoint names, so that a parameter's path is its key.
 */
export abstract class Module {
  // The brand keeps plain objects from being taken for modules.
  readonly isModule = true;
}

/** Modules in order; element i has the path segment "i". */
export class ModuleList<M extends Module> extends Module {
  constructor(readonly items: readonly M[]) {
    super();
  }
}

type Child = readonly [name: string, value: Module | Param];

/** The modules and parameters that are fields of a module, in order of declaration. */
function children(module: Module): Child[] {
  const entries = module instanceof ModuleList ? Object.entries(module.items) : Object.entries(module);
  return entries.filter(
    (e): e is [string, Module | Param] => e[1] instanceof Module || e[1] instanceof Param,
  );
}

/**
 * All parameters of a module tree by key, in order of declaration; names each one. A parameter that two fields
 * share (tied weights) appears once, under its first path.
 */
export function parameters(root: Module, prefix = ""): Map<string, Param> {
  const found = new Map<string, Param>();
  const seen = new Set<Param>();
  const walk = (module: Module, path: string) => {
    for (const [name, value] of children(module)) {
      const key = path ? `${path}.${name}` : name;
      if (value instanceof Module) walk(value, key);
      else if (!seen.has(value)) {
        seen.add(value);
        value.name(key);
        if (found.has(key)) throw new ShapeError(`two parameters have the key "${key}"`);
        found.set(key, value);
      }
    }
  };
  walk(root, prefix);
  return found;
}

/** All modules with their paths, parents before children; the root has the path "". */
export function* modules(root: Module, path = ""): Generator<[path: string, module: Module]> {
  yield [path, root];
  for (const [name, value] of children(root))
    if (value instanceof Module) yield* modules(value, path ? `${path}.${name}` : name);
}

/**
 * Replaces modules in place: `change` gets every module below the root and returns its replacement, or undefined to
 * keep it. This is how precision and adapters are applied: a transformation of the tree, not a copy of the model.
 */
export function transform(
  root: Module,
  change: (module: Module, path: string) => Module | undefined,
  path = "",
): void {
  const owner = (root instanceof ModuleList ? root.items : root) as unknown as Record<string, Module>;
  for (const [name, value] of children(root)) {
    if (!(value instanceof Module)) continue;
    const key = path ? `${path}.${name}` : name;
    const replacement = change(value, key);
    if (replacement) owner[name] = replacement;
    else transform(value, change, key);
  }
}
