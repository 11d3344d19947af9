import type { HostTensor } from "../core/array.ts";

/**
 * Hands out the parts of a weight that are made together. They are made when one is asked for, and the others are held
 * for whoever asks for them next, then let go: loading all, one after the other, makes them once and keeps nothing.
 */
export function inParts<P extends string>(
  parts: readonly P[],
  make: () => Promise<Readonly<Record<P, HostTensor>>>,
): (part: P) => Promise<HostTensor> {
  const held = new Map<P, Promise<HostTensor>>();
  return async (part) => {
    const waiting = held.get(part);
    if (waiting !== undefined) {
      held.delete(part);
      return waiting;
    }
    const made = make();
    for (const other of parts) {
      if (other === part) continue;
      const rest: Promise<HostTensor> = made.then((m) => m[other]);
      held.set(other, rest);
      // A failure is told to whoever asked; the next one tries again.
      rest.catch(() => held.get(other) === rest && held.delete(other));
    }
    return (await made)[part];
  };
}
