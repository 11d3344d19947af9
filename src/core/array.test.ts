import { describe, expect, test } from "vitest";
import { bytesOf, castFloat, f32, fromBytes, hostTensor, i64, rawBytes, toF32, zeros } from "./array.ts";
import { DTYPES, type DType, dtypeBy, isFloat } from "./dtype.ts";
import { ShapeError } from "./errors.ts";

describe("host tensors", () => {
  test("hold as many elements as their shape", () => {
    expect(f32([2, 3], [1, 2, 3, 4, 5, 6]).data).toHaveLength(6);
    expect(hostTensor("u8", [], Uint8Array.of(7)).shape).toEqual([]);
    expect(() => f32([2, 3], [1, 2])).toThrow(ShapeError);
    expect(() => f32([2, 3], [1, 2])).toThrow("hostTensor: shape [2,3] holds 6 elements, the data has 2");
  });

  test.each(Object.keys(DTYPES) as DType[])("of %s are bytes and back", (dtype) => {
    const t = zeros(dtype, [2, 3]);
    new Uint8Array(t.data.buffer).forEach((_, i, bytes) => {
      bytes[i] = i + 1;
    });
    const bytes = rawBytes(t);
    expect(bytes).toHaveLength(bytesOf(dtype, [2, 3]));
    const back = fromBytes(dtype, [2, 3], bytes);
    expect(back).toEqual(t);
    expect(back.data.buffer).toBe(t.data.buffer);
  });

  test("from bytes that are not aligned are a copy", () => {
    const bytes = new Uint8Array([0, 0, 0, 128, 63]).subarray(1);
    expect([...fromBytes("f32", [1], bytes).data]).toEqual([1]);
  });

  test("from too few bytes", () => {
    expect(() => fromBytes("f32", [2], new Uint8Array(7))).toThrow(
      "fromBytes: f32 [2] needs 8 bytes, 7 given",
    );
  });
});

describe("conversion", () => {
  test("to f32 from every dtype that counts", () => {
    expect([...toF32(i64([2], [-3, 2 ** 40])).data]).toEqual([-3, 2 ** 40]);
    expect([...toF32(hostTensor("bool", [2], Uint8Array.of(0, 1))).data]).toEqual([0, 1]);
    expect([...toF32(hostTensor("f64", [1], Float64Array.of(0.1))).data]).toEqual([Math.fround(0.1)]);
    expect([...toF32(hostTensor("f16", [1], Uint16Array.of(0x3c00))).data]).toEqual([1]);
    const t = f32([1], [1]);
    expect(toF32(t)).toBe(t);
  });

  test.each(["f8_e4m3", "f8_e5m2"] as const)("of %s is refused", (dtype) => {
    expect(() => toF32(hostTensor(dtype, [1], Uint8Array.of(1)))).toThrow(ShapeError);
    expect(() => toF32(hostTensor(dtype, [1], Uint8Array.of(1)))).toThrow(`toF32: ${dtype} is storage only`);
  });

  test("between floats keeps what both can say", () => {
    const t = f32([3], [1, -0.5, 96]);
    for (const dtype of ["f16", "bf16"] as const) {
      const half = castFloat(t, dtype);
      expect(half.dtype).toBe(dtype);
      expect(castFloat(half, dtype)).toBe(half);
      expect(castFloat(half, "f32")).toEqual(t);
    }
  });
});

test("dtypes are found by the names of both formats", () => {
  for (const d of Object.keys(DTYPES) as DType[]) {
    expect(dtypeBy("onnx", DTYPES[d].onnx)).toBe(d);
    expect(dtypeBy("safetensors", DTYPES[d].safetensors)).toBe(d);
    expect(isFloat(d)).toBe(/^b?f\d/.test(d));
  }
  expect(dtypeBy("onnx", 0)).toBeUndefined();
});
