import { f16ToF32 } from "../core/half.ts";

/**
 * The block formats of ggml (ggml-org/llama.cpp, ggml/src/ggml-common.h and ggml-quants.c). In all of them a weight is
 * (code - centre) · scale, or code · scale + min; they differ in how they pack the three.
 */

/** One block, unpacked: codes in the order of the weights, a scale and a min for each group of weights. */
export interface UnpackedBlock {
  readonly codes: Uint8Array;
  readonly scales: Float64Array;
  readonly mins: Float64Array;
}

export interface BlockDecoder {
  /** Weights that share a scale. */
  readonly groupSize: 16 | 32;
  /** Code that stands for 0; in formats with a min the middle of the codes' range. */
  readonly centre: number;
  /** Whether a weight is code · scale + min. */
  readonly hasMin: boolean;
  /** Bits of a code. */
  readonly bits: 4 | 8;
  /** Unpacks the block at `bytes[at]`. Scales are products of an f16 and a small integer: exact in f32. */
  unpack(bytes: Uint8Array, at: number, to: UnpackedBlock): void;
}

/** Room for one block of any format. */
export const emptyBlock = (): UnpackedBlock => ({
  codes: new Uint8Array(256),
  scales: new Float64Array(16),
  mins: new Float64Array(16),
});

let halfs: Float32Array | undefined;

/** The little-endian f16 at `bytes[at]`. */
function half(bytes: Uint8Array, at: number): number {
  halfs ??= f16ToF32(Uint16Array.from({ length: 65536 }, (_, bits) => bits));
  return halfs[bytes[at]! | (bytes[at + 1]! << 8)]!;
}

/** 32 codes of 4 bits: the low halves of 16 bytes, then the high ones. */
function halves16(bytes: Uint8Array, at: number, codes: Uint8Array): void {
  for (let i = 0; i < 16; i++) {
    codes[i] = bytes[at + i]! & 15;
    codes[i + 16] = bytes[at + i]! >> 4;
  }
}

/** Adds a fifth bit to 32 codes: bit i of 4 bytes is code i's. */
function fifthBits(bytes: Uint8Array, at: number, codes: Uint8Array): void {
  for (let i = 0; i < 32; i++) codes[i]! |= ((bytes[at + (i >> 3)]! >> (i & 7)) & 1) << 4;
}

const Q4_0: BlockDecoder = {
  ...{ groupSize: 32, centre: 8, hasMin: false, bits: 4 },
  unpack(bytes, at, { codes, scales }) {
    scales[0] = half(bytes, at);
    halves16(bytes, at + 2, codes);
  },
};

const Q4_1: BlockDecoder = {
  ...{ groupSize: 32, centre: 8, hasMin: true, bits: 4 },
  unpack(bytes, at, { codes, scales, mins }) {
    scales[0] = half(bytes, at);
    mins[0] = half(bytes, at + 2);
    halves16(bytes, at + 4, codes);
  },
};

const Q5_0: BlockDecoder = {
  ...{ groupSize: 32, centre: 16, hasMin: false, bits: 8 },
  unpack(bytes, at, { codes, scales }) {
    scales[0] = half(bytes, at);
    halves16(bytes, at + 6, codes);
    fifthBits(bytes, at + 2, codes);
  },
};

const Q5_1: BlockDecoder = {
  ...{ groupSize: 32, centre: 16, hasMin: true, bits: 8 },
  unpack(bytes, at, { codes, scales, mins }) {
    scales[0] = half(bytes, at);
    mins[0] = half(bytes, at + 2);
    halves16(bytes, at + 8, codes);
    fifthBits(bytes, at + 4, codes);
  },
};

const Q8_0: BlockDecoder = {
  ...{ groupSize: 32, centre: 128, hasMin: false, bits: 8 },
  unpack(bytes, at, { codes, scales }) {
    scales[0] = half(bytes, at);
    for (let i = 0; i < 32; i++) codes[i] = bytes[at + 2 + i]! ^ 0x80;
  },
};

/** The eight pairs of 6-bit scales and mins that Q4_K and Q5_K hold in 12 bytes, times their f16 factors. */
function pairsOf6Bits(bytes: Uint8Array, at: number, { scales, mins }: UnpackedBlock): void {
  const d = half(bytes, at);
  const dmin = half(bytes, at + 2);
  const s = at + 4;
  for (let j = 0; j < 4; j++) {
    const [a, b, c] = [bytes[s + j]!, bytes[s + j + 4]!, bytes[s + j + 8]!];
    scales[j] = d * (a & 63);
    mins[j] = -dmin * (b & 63);
    scales[j + 4] = d * ((c & 15) | ((a >> 6) << 4));
    mins[j + 4] = -dmin * ((c >> 4) | ((b >> 6) << 4));
  }
}

/** 256 codes of 4 bits: of every 32 bytes the low halves, then the high ones. */
function halves128(bytes: Uint8Array, at: number, codes: Uint8Array): void {
  for (let i = 0; i < 128; i++) {
    const to = (i & 31) + (i >> 5) * 64;
    codes[to] = bytes[at + i]! & 15;
    codes[to + 32] = bytes[at + i]! >> 4;
  }
}

const Q4_K: BlockDecoder = {
  ...{ groupSize: 32, centre: 8, hasMin: true, bits: 4 },
  unpack(bytes, at, to) {
    pairsOf6Bits(bytes, at, to);
    halves128(bytes, at + 16, to.codes);
  },
};

const Q5_K: BlockDecoder = {
  ...{ groupSize: 32, centre: 16, hasMin: true, bits: 8 },
  unpack(bytes, at, to) {
    pairsOf6Bits(bytes, at, to);
    halves128(bytes, at + 48, to.codes);
    for (let i = 0; i < 256; i++) to.codes[i]! |= ((bytes[at + 16 + (i & 31)]! >> (i >> 5)) & 1) << 4;
  },
};

const Q6_K: BlockDecoder = {
  ...{ groupSize: 16, centre: 32, hasMin: false, bits: 8 },
  unpack(bytes, at, { codes, scales }) {
    const d = half(bytes, at + 208);
    for (let i = 0; i < 16; i++) scales[i] = d * ((bytes[at + 192 + i]! << 24) >> 24);
    for (let i = 0; i < 256; i++) {
      // A half of 128 weights has 64 bytes of low halves, 32 bytes of pairs of bits; quarters share bytes.
      const [part, quarter, l] = [i >> 7, (i >> 5) & 3, i & 31];
      const low = bytes[at + part * 64 + (quarter & 1) * 32 + l]!;
      const high = bytes[at + 128 + part * 32 + l]!;
      codes[i] = ((low >> (quarter & 2 ? 4 : 0)) & 15) | (((high >> (2 * quarter)) & 3) << 4);
    }
  },
};

/** Twice the values of a 4-bit float (OCP Microscaling Formats 1.0, E2M1), around 16. */
const E2M1 = [16, 17, 18, 19, 20, 22, 24, 28, 16, 15, 14, 13, 12, 10, 8, 4];

const MXFP4: BlockDecoder = {
  ...{ groupSize: 32, centre: 16, hasMin: false, bits: 8 },
  unpack(bytes, at, { codes, scales }) {
    scales[0] = 2 ** (bytes[at]! - 128);
    halves16(bytes, at + 1, codes);
    for (let i = 0; i < 32; i++) codes[i] = E2M1[codes[i]!]!;
  },
};

/** The formats that can be read, by name. */
export const DECODERS: Readonly<Record<string, BlockDecoder>> = {
  ...{ Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K, MXFP4 },
};
