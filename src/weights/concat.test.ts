import fc from "fast-check";
import { expect, test } from "vitest";
import { f32, fromBytes, type HostTensor, sizeOf } from "../core/array.ts";
import { ShapeError } from "../core/errors.ts";
import { concatShape, concatTensors } from "./concat.ts";
import { gather, isContiguous, spanOf } from "./strided.ts";

test("joins along either axis", () => {
  const [a, b] = [f32([2, 1], [1, 2]), f32([2, 2], [3, 4, 5, 6])];
  expect(concatTensors([a, b], 1)).toEqual(f32([2, 3], [1, 3, 4, 2, 5, 6]));
  expect(concatTensors([b, b], -2).shape).toEqual([4, 2]);
  expect(concatShape([a.shape, b.shape], 0)).toBeUndefined();
});

/** Elements [begin, begin + size) of an axis, one by one. */
function along(t: HostTensor, axis: number, begin: number, size: number): HostTensor {
  const shape = t.shape.with(axis, size);
  const inner = sizeOf(shape.slice(axis + 1));
  const data = Uint16Array.from({ length: sizeOf(shape) }, (_, n) => {
    const row = Math.floor(n / inner);
    const at = Math.floor(row / size) * t.shape[axis]! + begin + (row % size);
    return t.data[at * inner + (n % inner)] as number;
  });
  return { dtype: t.dtype, shape, data };
}

test("the parts are found in what was joined, for any shapes, axes and sizes", () => {
  const cases = fc
    .record({
      shape: fc.array(fc.nat(3), { minLength: 1, maxLength: 4 }),
      sizes: fc.array(fc.nat(3), { minLength: 1, maxLength: 4 }),
      axis: fc.nat(),
    })
    .map(({ shape, sizes, axis }) => ({ shape, sizes, axis: axis % shape.length }));
  fc.assert(
    fc.property(cases, ({ shape, sizes, axis }) => {
      let next = 0;
      const parts = sizes.map((size) => {
        const s = shape.with(axis, size);
        return fromBytes(
          "u16",
          s,
          new Uint8Array(Uint16Array.from({ length: sizeOf(s) }, () => next++).buffer),
        );
      });
      const joined = concatTensors(parts, axis);
      let begin = 0;
      for (const [i, size] of sizes.entries()) {
        expect(along(joined, axis, begin, size)).toEqual(parts[i]);
        begin += size;
      }
    }),
  );
});

test("what does not join is refused", () => {
  expect(() => concatTensors([f32([1, 2], [1, 2]), f32([2, 1], [1, 2])], 0)).toThrow(ShapeError);
  expect(() => concatTensors([f32([1], [1]), fromBytes("u8", [1], new Uint8Array(1))], 0)).toThrow(
    ShapeError,
  );
  expect(() => concatShape([[1]], 1)).toThrow(ShapeError);
});

test("gather reads any permutation of a tensor's axes", () => {
  const shape = fc.array(fc.nat(3), { maxLength: 4 });
  const cases = shape.chain((s) =>
    fc.shuffledSubarray([...s.keys()], { minLength: s.length }).map((order) => ({ s, order })),
  );
  fc.assert(
    fc.property(cases, ({ s, order }) => {
      const steps = s.map((_, i) => sizeOf(s.slice(i + 1)));
      const data = Int32Array.from({ length: sizeOf(s) }, (_, i) => i);
      const [viewShape, viewStride] = [order.map((a) => s[a]!), order.map((a) => steps[a]!)];
      expect(spanOf(viewShape, viewStride)).toBe(sizeOf(s));
      const view = gather("i32", viewShape, viewStride, new Uint8Array(data.buffer));
      // Element n of the view, with its indices taken apart and put together again the plain way.
      const expected = Array.from({ length: sizeOf(s) }, (_, n) => {
        let rest = n;
        let at = 0;
        for (let axis = viewShape.length - 1; axis >= 0; axis--) {
          at += (rest % viewShape[axis]!) * viewStride[axis]!;
          rest = Math.floor(rest / viewShape[axis]!);
        }
        return at;
      });
      expect([...(view.data as Int32Array)]).toEqual(expected);
      if (isContiguous(viewShape, viewStride)) expect(expected).toEqual([...data]);
    }),
  );
});

test("contiguity ignores the strides of axes of size 1, and of empty tensors", () => {
  expect(isContiguous([2, 1, 3], [3, 99, 1])).toBe(true);
  expect(isContiguous([2, 3], [1, 2])).toBe(false);
  expect(isContiguous([0, 3], [1, 7])).toBe(true);
  expect(isContiguous([4], [0])).toBe(false);
});
