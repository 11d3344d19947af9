import { describe, expect, test } from "vitest";
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from "./half.ts";

const ALL = Uint16Array.from({ length: 65536 }, (_, i) => i);
const bitsOf = (v: number) => new Uint32Array(Float32Array.of(v).buffer)[0]!;
const fromBits = (b: number) => new Float32Array(Uint32Array.of(b).buffer)[0]!;

describe("f16", () => {
  const values = f16ToF32(ALL);

  test("means what IEEE 754 says", () => {
    for (const [bits, value] of [
      [0x0000, 0],
      [0x8000, -0],
      [0x0001, 2 ** -24],
      [0x03ff, 1023 * 2 ** -24],
      [0x0400, 2 ** -14],
      [0x3c00, 1],
      [0x3555, 0.333251953125],
      [0xc000, -2],
      [0x7bff, 65504],
      [0x7c00, Number.POSITIVE_INFINITY],
      [0xfc00, Number.NEGATIVE_INFINITY],
      [0x7e00, Number.NaN],
    ] as const)
      expect(Object.is(values[bits], value), bits.toString(16)).toBe(true);
  });

  test("every number survives the way to f32 and back, NaN stays NaN", () => {
    const back = f32ToF16(values);
    const wrong = ALL.filter((h) => {
      const noNumber = (h & 0x7c00) === 0x7c00 && (h & 0x3ff) !== 0;
      return noNumber ? !((back[h]! & 0x7c00) === 0x7c00 && (back[h]! & 0x3ff) !== 0) : back[h] !== h;
    });
    expect([...wrong]).toEqual([]);
  });

  // Between neighbours, halves go to the even one, and everything else to the nearer; exhaustive over all pairs.
  test.each([0, 0x8000])("f32 rounds to the nearest, halves to even (sign %i)", (sign) => {
    const wrong: number[] = [];
    for (let h = 0; h < 0x7c00; h++) {
      const low = values[h]!;
      // Past the largest number the next step is to 65536, which is infinite.
      const high = h === 0x7bff ? 65536 : values[h + 1]!;
      const middle = (low + high) / 2;
      const below = fromBits(bitsOf(middle) - 1);
      const above = fromBits(bitsOf(middle) + 1);
      const s = sign ? -1 : 1;
      const out = f32ToF16(Float32Array.of(s * below, s * middle, s * above));
      const expected = [h, h % 2 === 0 ? h : h + 1, h + 1].map((v) => v | sign);
      if (out.some((v, i) => v !== expected[i])) wrong.push(h);
    }
    expect(wrong).toEqual([]);
  });

  test("overflows to infinity, underflows to zero with the sign", () => {
    const given = Float32Array.of(1e30, -65520, 65519, 2 ** -25, -(2 ** -26), Number.NaN);
    expect([...f32ToF16(given)]).toEqual([0x7c00, 0xfc00, 0x7bff, 0, 0x8000, 0x7e00]);
  });
});

describe("bf16", () => {
  test("every number survives the way to f32 and back, NaN stays NaN", () => {
    const back = f32ToBf16(bf16ToF32(ALL));
    const wrong = ALL.filter((b) => {
      const noNumber = (b & 0x7f80) === 0x7f80 && (b & 0x7f) !== 0;
      return noNumber ? !((back[b]! & 0x7f80) === 0x7f80 && (back[b]! & 0x7f) !== 0) : back[b] !== b;
    });
    expect([...wrong]).toEqual([]);
  });

  test("is the upper half of an f32, rounded to the nearest, halves to even", () => {
    const given = [0x3f808000, 0x3f818000, 0x3f808001, 0x3f807fff, 0x7f7fffff, 0xff7fffff, 0x7f800001];
    const out = f32ToBf16(Float32Array.from(given, fromBits));
    expect([...out].slice(0, 6)).toEqual([0x3f80, 0x3f82, 0x3f81, 0x3f80, 0x7f80, 0xff80]);
    expect(bf16ToF32(out)[6]).toBeNaN();
  });

  test("reads views that begin inside a buffer", () => {
    const view = new Float32Array(Float32Array.of(9, 1, -2).buffer, 4);
    expect([...bf16ToF32(f32ToBf16(view))]).toEqual([1, -2]);
  });
});
