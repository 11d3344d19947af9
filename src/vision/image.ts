/** A decoded picture: 8-bit RGB, row-major, interleaved ([h, w, 3]). */
export interface RgbImage {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** How a picture becomes the model's square input (internvl_g and clip_benchmark, data pipelines). */
export type Framing =
  /** Squash to size × size, the aspect ratio is lost: zero-shot retrieval and captioning. */
  | "squash"
  /** Shorter side to size, centre crop: zero-shot classification. */
  | "crop";
