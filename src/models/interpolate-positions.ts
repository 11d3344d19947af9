import { f32, type HostTensor, toF32 } from "../core/array.ts";
import { ShapeError } from "../core/errors.ts";

/** Weights of four neighbours at distance 1 + t, t, 1 − t, 2 − t: cubic convolution with a = −0.75, as torch's bicubic. */
function cubicWeights(t: number): [number, number, number, number] {
  const a = -0.75;
  const near = (x: number) => ((a + 2) * x - (a + 3)) * x * x + 1;
  const far = (x: number) => ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  return [far(t + 1), near(t), near(1 - t), far(2 - t)];
}

/**
 * Resizes a position table [1, 1 + g², D] to [1, 1 + G², D]: the class token's entry is kept, the grid is
 * interpolated bicubically with half-pixel centres and without antialiasing (modeling_intern_vit.py,
 * resize_pos_embeddings). Done once, when weights are loaded.
 */
export function interpolatePositions(table: HostTensor, gridTo: number): HostTensor<"f32"> {
  const [, length, width] = table.shape as [number, number, number];
  const grid = Math.sqrt(length - 1);
  if (table.shape.length !== 3 || !Number.isInteger(grid))
    throw new ShapeError(`interpolatePositions: a table [1, 1 + g², D] is expected, found [${table.shape}]`);
  const source = toF32(table).data;
  const out = new Float32Array((1 + gridTo * gridTo) * width);
  out.set(source.subarray(0, width));
  const taps = Array.from({ length: gridTo }, (_, i) => {
    const at = ((i + 0.5) * grid) / gridTo - 0.5;
    const base = Math.floor(at);
    const rows = [-1, 0, 1, 2].map((d) => Math.min(grid - 1, Math.max(0, base + d)));
    return { rows, weights: cubicWeights(at - base) };
  });
  taps.forEach((ty, y) => {
    taps.forEach((tx, x) => {
      const target = (1 + y * gridTo + x) * width;
      for (let i = 0; i < 4; i++)
        for (let j = 0; j < 4; j++) {
          const weight = ty.weights[i]! * tx.weights[j]!;
          const from = (1 + ty.rows[i]! * grid + tx.rows[j]!) * width;
          for (let c = 0; c < width; c++) out[target + c]! += weight * source[from + c]!;
        }
    });
  });
  return f32([1, 1 + gridTo * gridTo, width], out);
}
