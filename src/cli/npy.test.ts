import { expect, test } from "vitest";
import { npyBytes } from "./npy.ts";

test("a NumPy file: magic, a header of 64 bytes' multiple that names the shape, rows in order", () => {
  const bytes = npyBytes(2, 3, Float32Array.of(1, 2, 3, 4, 5, 6.5));
  expect([...bytes.subarray(0, 8)]).toEqual([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0]);
  const headerLength = bytes[8]! + 256 * bytes[9]!;
  expect((10 + headerLength) % 64).toBe(0);
  const header = new TextDecoder().decode(bytes.subarray(10, 10 + headerLength));
  expect(header).toMatch(/^\{'descr': '<f4', 'fortran_order': False, 'shape': \(2, 3\), \} *\n$/);
  expect([...new Float32Array(bytes.slice(10 + headerLength).buffer)]).toEqual([1, 2, 3, 4, 5, 6.5]);
});
