import fc from "fast-check";
import { expect, it } from "vitest";
import { PairHeap } from "./pair-heap.ts";

it("gives pairs back by key, then by item, while others are pushed", () => {
  const operation = fc.option(fc.tuple(fc.integer({ min: -3, max: 3 }), fc.nat(9)), { freq: 3 });
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 80 }), (operations) => {
      const heap = new PairHeap(1);
      let sorted: [number, number][] = [];
      for (const pushed of operations) {
        if (pushed !== null) {
          heap.push(...pushed);
          sorted = [...sorted, pushed].sort(([k, i], [l, j]) => k - l || i - j);
        } else {
          const first = sorted.shift();
          if (first !== undefined) expect(heap.key).toBe(first[0]);
          expect(heap.pop()).toBe(first?.[1] ?? -1);
        }
        expect(heap.size).toBe(sorted.length);
      }
    }),
  );
});
