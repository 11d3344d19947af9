import { MediaError } from "../core/errors.ts";
import type { RgbImage } from "./image.ts";

/** A rectangle of whole pixels, `x`, `y` the left upper corner. */
export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

interface Kernel {
  /** Half its width in source pixels when enlarging; grows with the scale when shrinking (antialiasing). */
  readonly support: number;
  readonly weight: (x: number) => number;
}

/** Triangle and cubic convolution with a = -0.5 (Keys 1981), the kernels of Pillow's BILINEAR and BICUBIC. */
const KERNELS = {
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: {
    support: 2,
    weight: (x) => {
      const a = -0.5;
      const t = Math.abs(x);
      if (t < 1) return ((a + 2) * t - (a + 3)) * t * t + 1;
      return t < 2 ? (((t - 5) * t + 8) * t - 4) * a : 0;
    },
  },
} as const satisfies Record<string, Kernel>;

export type ResizeFilter = keyof typeof KERNELS;

export interface ResizeOptions {
  /** Default "bicubic". */
  readonly filter?: ResizeFilter;
  /** Only this part of the picture, as if it had been cut out first. Default: all of it. */
  readonly box?: Box;
}

/** Weights are kept as integers with so many fractional bits: 32, less 8 for a sample, less 2 against overflow. */
const FRACTION_BITS = 22;

/** Which source samples make each output sample, and with what weights. */
interface Taps {
  /** First source sample of each output sample. */
  readonly first: Int32Array;
  /** Number of source samples of each output sample. */
  readonly count: Int32Array;
  /** Weights, `stride` per output sample, in units of 2^-FRACTION_BITS. */
  readonly weights: Int32Array;
  readonly stride: number;
}

function makeTaps(from: number, to: number, { support, weight }: Kernel): Taps {
  const scale = from / to;
  const widen = Math.max(1, scale);
  const reach = support * widen;
  const stride = Math.ceil(reach) * 2 + 1;
  const taps: Taps = {
    first: new Int32Array(to),
    count: new Int32Array(to),
    weights: new Int32Array(to * stride),
    stride,
  };
  const exact = new Float64Array(stride);
  for (let i = 0; i < to; i++) {
    const centre = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - reach + 0.5));
    const count = Math.min(from, Math.trunc(centre + reach + 0.5)) - first;
    let total = 0;
    for (let k = 0; k < count; k++) {
      exact[k] = weight((first + k - centre + 0.5) * (1 / widen));
      total += exact[k]!;
    }
    for (let k = 0; k < count; k++) {
      const w = (exact[k]! / total) * 2 ** FRACTION_BITS;
      taps.weights[i * stride + k] = Math.trunc(w < 0 ? w - 0.5 : w + 0.5);
    }
    taps.first[i] = first;
    taps.count[i] = count;
  }
  return taps;
}

/**
 * Resamples to width × height with antialiasing, rows and columns one after the other, each rounded to 8 bits. The
 * arithmetic is that of Pillow's `Image.resize` (src/libImaging/Resample.c, 8 bits per channel), so results equal
 * Pillow 13's bit for bit; resize.test.ts pins that. Earlier versions of Pillow always took rows first, which differs
 * by a rounding where {@link columnsFirst} holds. Throws a MediaError for sizes or boxes that are not whole, positive
 * and inside the picture.
 */
export function resize(
  image: RgbImage,
  width: number,
  height: number,
  options: ResizeOptions = {},
): RgbImage {
  const steps = resizeSteps(image, width, height, options);
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}

/** {@link resize} that pauses every few milliseconds, for callers that have other things to do in between. */
export function* resizeSteps(
  image: RgbImage,
  width: number,
  height: number,
  options: ResizeOptions = {},
): Generator<void, RgbImage, void> {
  const box = options.box ?? { x: 0, y: 0, width: image.width, height: image.height };
  checkSizes(image, width, height, box);
  if (width === box.width && height === box.height) return crop(image, box);
  const kernel = KERNELS[options.filter ?? "bicubic"];
  const columns = (from: RgbImage, part: Box) =>
    resample(resampleColumns, from, part, makeTaps(part.height, height, kernel), part.width, height);
  const rows = (from: RgbImage, part: Box) =>
    resample(resampleRows, from, part, makeTaps(part.width, width, kernel), width, part.height);
  if (width === box.width) return yield* columns(image, box);
  if (height === box.height) return yield* rows(image, box);
  if (!columnsFirst(box, width, height)) {
    const narrow = yield* rows(image, box);
    return yield* columns(narrow, { x: 0, y: 0, width, height: box.height });
  }
  const low = yield* columns(image, box);
  return yield* rows(low, { x: 0, y: 0, width: box.width, height });
}

/** Pillow's choice for tall pictures: columns first where the height loses more than twice what the width loses. */
const columnsFirst = (box: Box, width: number, height: number): boolean =>
  height < box.height && box.height - height > 2 * (box.width - width);

/** The part of `image` inside `box`, copied. */
export function crop(image: RgbImage, box: Box): RgbImage {
  checkSizes(image, box.width, box.height, box);
  const data = new Uint8Array(box.width * box.height * 3);
  for (let y = 0; y < box.height; y++) {
    const from = ((box.y + y) * image.width + box.x) * 3;
    data.set(image.data.subarray(from, from + box.width * 3), y * box.width * 3);
  }
  return { width: box.width, height: box.height, data };
}

function checkSizes(image: RgbImage, width: number, height: number, box: Box): void {
  const whole = (n: number, least: number) => Number.isSafeInteger(n) && n >= least;
  const inside =
    whole(box.x, 0) &&
    whole(box.y, 0) &&
    whole(box.width, 1) &&
    whole(box.height, 1) &&
    box.x + box.width <= image.width &&
    box.y + box.height <= image.height;
  if (!inside || !whole(width, 1) || !whole(height, 1))
    throw new MediaError(
      `resize: expected whole positive sizes inside the picture of ${image.width}×${image.height}, found the part ${box.width}×${box.height} at (${box.x}, ${box.y}) to be made ${width}×${height}`,
    );
}

/** Pixels that are weighted between two pauses: 3 to 8 ms. */
const STEP_PIXELS = 2 ** 19;

/** Makes rows `from` to `to` of the output. */
type Pass = (image: RgbImage, box: Box, taps: Taps, out: Uint8ClampedArray, from: number, to: number) => void;

/** One pass over `box`, in bands of output rows. */
function* resample(
  pass: Pass,
  image: RgbImage,
  box: Box,
  taps: Taps,
  width: number,
  height: number,
): Generator<void, RgbImage, void> {
  const data = new Uint8Array(width * height * 3);
  const clamped = new Uint8ClampedArray(data.buffer);
  const band = Math.max(1, Math.floor(STEP_PIXELS / (width * taps.stride)));
  for (let y = 0; y < height; y += band) {
    pass(image, box, taps, clamped, y, Math.min(height, y + band));
    yield;
  }
  return { width, height, data };
}

const resampleRows: Pass = (image, box, { first, count, weights, stride }, out, from, to) => {
  const width = first.length;
  const source = image.data;
  const half = 1 << (FRACTION_BITS - 1);
  let o = from * width * 3;
  for (let y = from; y < to; y++) {
    const row = ((box.y + y) * image.width + box.x) * 3;
    for (let x = 0; x < width; x++) {
      let r = half;
      let g = half;
      let b = half;
      let s = row + first[x]! * 3;
      const end = x * stride + count[x]!;
      for (let k = x * stride; k < end; k++) {
        const w = weights[k]!;
        r = (r + Math.imul(w, source[s]!)) | 0;
        g = (g + Math.imul(w, source[s + 1]!)) | 0;
        b = (b + Math.imul(w, source[s + 2]!)) | 0;
        s += 3;
      }
      out[o] = r >> FRACTION_BITS;
      out[o + 1] = g >> FRACTION_BITS;
      out[o + 2] = b >> FRACTION_BITS;
      o += 3;
    }
  }
};

const resampleColumns: Pass = (image, box, { first, count, weights, stride }, out, from, to) => {
  const source = image.data;
  const sourceRow = image.width * 3;
  const rowBytes = box.width * 3;
  const half = 1 << (FRACTION_BITS - 1);
  for (let y = from; y < to; y++) {
    const top = (box.y + first[y]!) * sourceRow + box.x * 3;
    const start = y * stride;
    const end = start + count[y]!;
    for (let i = 0; i < rowBytes; i += 3) {
      let r = half;
      let g = half;
      let b = half;
      let s = top + i;
      for (let k = start; k < end; k++) {
        const w = weights[k]!;
        r = (r + Math.imul(w, source[s]!)) | 0;
        g = (g + Math.imul(w, source[s + 1]!)) | 0;
        b = (b + Math.imul(w, source[s + 2]!)) | 0;
        s += sourceRow;
      }
      const o = y * rowBytes + i;
      out[o] = r >> FRACTION_BITS;
      out[o + 1] = g >> FRACTION_BITS;
      out[o + 2] = b >> FRACTION_BITS;
    }
  }
};
