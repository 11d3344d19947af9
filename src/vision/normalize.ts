import { type HostTensor, hostTensor } from "../core/array.ts";
import { ShapeError } from "../core/errors.ts";
import { IMAGENET_MEAN, IMAGENET_STD } from "../core/imagenet.ts";
import type { RgbImage } from "./image.ts";

export { IMAGENET_MEAN, IMAGENET_STD };

/**
 * Pictures of one size as the model's input: f32 [B, 3, H, W], (v / 255 - mean) / std, every step rounded to f32 as
 * torchvision's ToTensor and Normalize do.
 */
export function normalize(
  images: readonly RgbImage[],
  mean: readonly number[] = IMAGENET_MEAN,
  std: readonly number[] = IMAGENET_STD,
): HostTensor<"f32"> {
  const { width, height } = commonSize("normalize", images);
  const area = width * height;
  const tables = [0, 1, 2].map((c) =>
    Float32Array.from({ length: 256 }, (_, v) => {
      const centred = Math.fround(Math.fround(v / 255) - Math.fround(mean[c]!));
      return centred / Math.fround(std[c]!);
    }),
  );
  const out = new Float32Array(images.length * 3 * area);
  images.forEach(({ data }, b) => {
    for (let c = 0; c < 3; c++) {
      const table = tables[c]!;
      const plane = (b * 3 + c) * area;
      for (let i = 0; i < area; i++) out[plane + i] = table[data[i * 3 + c]!]!;
    }
  });
  return hostTensor("f32", [images.length, 3, height, width], out);
}

/** Pictures of one size as they are: u8 [B, H, W, 3]. */
export function packU8(images: readonly RgbImage[]): HostTensor<"u8"> {
  const { width, height } = commonSize("packU8", images);
  const out = new Uint8Array(images.length * width * height * 3);
  images.forEach(({ data }, b) => {
    out.set(data, b * width * height * 3);
  });
  return hostTensor("u8", [images.length, height, width, 3], out);
}

/** The size that all pictures share; throws a ShapeError that lists those that differ or lie about their data. */
function commonSize(where: string, images: readonly RgbImage[]): { width: number; height: number } {
  const first = images[0];
  if (!first) throw new ShapeError(`${where}: expected at least one picture, found none`);
  const odd = images.flatMap(({ width, height, data }, i) =>
    width === first.width && height === first.height && data.length === width * height * 3
      ? []
      : [`picture ${i} is ${width}×${height} with ${data.length} bytes`],
  );
  if (odd.length > 0)
    throw new ShapeError(
      `${where}: expected pictures of ${first.width}×${first.height} with ${first.width * first.height * 3} bytes each; ${odd.slice(0, 5).join("; ")}${odd.length > 5 ? `; and ${odd.length - 5} more` : ""}; frame them to one size first`,
    );
  return first;
}
