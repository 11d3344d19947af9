import { describe, expect, test } from "vitest";
import { sizeOf } from "../core/array.ts";
import { ShapeError } from "../core/errors.ts";
import { dequantizeBlocks } from "./block-quantized.ts";
import blocks from "./fixtures/ggml-blocks.json" with { type: "json" };
import { dequantizeGgml, repackGgml } from "./ggml-repack.ts";
import { GGML_TYPES, type GgmlType } from "./ggml-types.ts";

const typeOf = (name: string): GgmlType => [...GGML_TYPES.values()].find((t) => t.name === name)!;
const fromHex = (hex: string) => Uint8Array.from(hex.match(/../g)!, (h) => Number.parseInt(h, 16));

/** Blocks and their values by the Python package gguf, see test/parity/make_gguf_blocks.py. */
const CASES = Object.entries(blocks).map(
  ([name, { shape, bytes, values }]) =>
    [
      name,
      {
        type: typeOf(name),
        shape,
        bytes: fromHex(bytes),
        values: new Float32Array(fromHex(values).buffer),
      },
    ] as const,
);

const WITH_MIN = ["Q4_1", "Q5_1", "Q4_K", "Q5_K"];

test("every block format that can be read has a case", () => {
  const readable = [...GGML_TYPES.values()].filter((t) => t.blocks !== undefined).map((t) => t.name);
  expect(CASES.map(([name]) => name).sort()).toEqual(readable.sort());
});

describe.each(CASES)("%s", (name, { type, shape, bytes, values }) => {
  test("has the values of the reference, bit for bit", () => {
    const ours = dequantizeGgml(type, bytes, shape);
    expect(ours.shape).toEqual(shape);
    expect([...ours.data]).toEqual([...values]);
  });

  test("repacked, has the same values: exactly, or to f32's rounding where there is a min", () => {
    const packed = repackGgml(type, bytes, shape);
    expect(packed.codes.shape).toEqual([
      1,
      shape[1]! / packed.blockSize,
      (packed.blockSize * packed.bits) / 8,
    ]);
    expect([packed.bits, packed.blockSize]).toEqual([
      name.startsWith("Q4_") ? 4 : 8,
      name === "Q6_K" ? 16 : 32,
    ]);
    expect(packed.offsets !== undefined).toBe(WITH_MIN.includes(name));
    const again = dequantizeBlocks(packed).data;
    const largest = Math.max(...values.map(Math.abs));
    for (const [i, v] of values.entries())
      if (packed.offsets === undefined) expect(again[i]! + 0).toBe(v + 0);
      else expect(Math.abs(again[i]! - v)).toBeLessThanOrEqual(largest * 2 ** -23);
  });

  test("rows of a matrix are repacked one after the other", () => {
    const [rows, K] = [sizeOf(shape) / type.blockSize, type.blockSize];
    const packed = repackGgml(type, bytes, [1, rows, K]);
    expect([packed.N, packed.K]).toEqual([rows, K]);
    const whole = dequantizeBlocks(repackGgml(type, bytes, shape));
    expect(dequantizeBlocks(packed).data).toEqual(whole.data);
  });

  test("bytes that are not the shape's are refused", () => {
    expect(() => dequantizeGgml(type, bytes.subarray(1), shape)).toThrow(ShapeError);
    expect(() => repackGgml(type, bytes, [1, shape[1]! + 1])).toThrow(/needs rows of whole blocks/);
  });
});

test("floats are themselves, and are no blocks", () => {
  const bytes = new Uint8Array([0, 0x3c, 0, 0xc0]);
  expect(dequantizeGgml(typeOf("F16"), bytes, [2]).data).toEqual(new Float32Array([1, -2]));
  expect(dequantizeGgml(typeOf("BF16"), new Uint8Array([0x80, 0x3f]), [1]).data).toEqual(
    new Float32Array([1]),
  );
  expect(() => repackGgml(typeOf("F16"), bytes, [2])).toThrow(/F16 is no block format/);
  expect(() => dequantizeGgml(typeOf("Q2_K"), new Uint8Array(84), [256])).toThrow(/Q2_K is no block format/);
});
