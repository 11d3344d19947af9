import { f32 } from "../core/array.ts";
import { ShapeError } from "../core/errors.ts";
import { IMAGENET_MEAN, IMAGENET_STD } from "../core/imagenet.ts";
import { constant, type Tensor } from "../graph/tensor.ts";
import { add, cast, mul, rearrange } from "../ops/index.ts";

/** Pictures u8 [B, S, S, 3] -> normalised pixels f32 [B, 3, S, S], inside the graph: a quarter of the bytes to feed. */
export function normalizePixels(images: Tensor): Tensor {
  if (images.dtype !== "u8")
    throw new ShapeError(`normalizePixels: u8 [B, S, S, 3] is expected, found ${images}`);
  const factor = constant(
    f32(
      [3],
      IMAGENET_STD.map((s) => 1 / (255 * s)),
    ),
  );
  const offset = constant(
    f32(
      [3],
      IMAGENET_MEAN.map((m, i) => -m / IMAGENET_STD[i]!),
    ),
  );
  return rearrange(add(mul(cast(images, "f32"), factor), offset), "B h w C -> B C h w");
}
