import { AttachError } from "./failures.ts";
import type { KeptPicture } from "./turns.ts";

/** Longer side, in pixels, of what is sent: twelve tiles of 448 show no more of an ordinary picture. */
export const PICTURE_SIDE = 2048;

/** A lossless copy above this is sent as a JPEG. */
const LOSSLESS_BYTES = 1_500_000;

const QUALITY = 0.92;

/** A size that fits, in the same shape and never larger. Pixels, at least 1. */
export function fitWithin(width: number, height: number, side: number): { width: number; height: number } {
  const scale = Math.min(1, side / Math.max(width, height));
  return {
    width: Math.max(1, Math.round(width * scale)),
    height: Math.max(1, Math.round(height * scale)),
  };
}

/**
 * A picture as it is sent: decoded by the browser, turned as its EXIF says, at most `PICTURE_SIDE` long, without what
 * the file says of camera and place. Throws an AttachError for a file that this browser does not decode.
 */
export async function shrinkPicture(file: Blob, name: string): Promise<KeptPicture> {
  const url = URL.createObjectURL(file);
  try {
    const image = new Image();
    image.src = url;
    await image.decode().catch(() => {
      throw new AttachError(
        `${name} cannot be opened by this browser. Choose a JPEG, PNG, WebP, AVIF, GIF or SVG file.`,
      );
    });
    const size = fitWithin(image.naturalWidth || 1024, image.naturalHeight || 1024, PICTURE_SIDE);
    // Drawings and screenshots keep their edges while they are small.
    const lossless = !/^image\/(jpeg|avif|webp)$/.test(file.type);
    return await drawPicture(image, size, name, lossless);
  } finally {
    URL.revokeObjectURL(url);
  }
}

/** What is in `source`, drawn at `size` (pixels) on white, as a PNG if that is small and wanted, else as a JPEG. */
export async function drawPicture(
  source: CanvasImageSource,
  size: { readonly width: number; readonly height: number },
  name: string,
  lossless: boolean,
): Promise<KeptPicture> {
  const canvas = document.createElement("canvas");
  canvas.width = size.width;
  canvas.height = size.height;
  const context = canvas.getContext("2d");
  if (!context)
    throw new AttachError(`${name} cannot be drawn: this browser has no room for it. Close other pages.`);
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, size.width, size.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(source, 0, 0, size.width, size.height);
  const png = lossless ? await toBlob(canvas, "image/png", name) : undefined;
  const blob = png && png.size <= LOSSLESS_BYTES ? png : await toBlob(canvas, "image/jpeg", name);
  return { name, blob, ...size };
}

function toBlob(canvas: HTMLCanvasElement, type: string, name: string): Promise<Blob> {
  return new Promise((resolve, reject) => {
    const take = (blob: Blob | null) =>
      blob ? resolve(blob) : reject(new AttachError(`${name} cannot be made smaller by this browser.`));
    canvas.toBlob(take, type, QUALITY);
  });
}
