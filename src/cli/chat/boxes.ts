import { extname } from "node:path";
import { writeWhole } from "../../core/write-whole.node.ts";
import { parseGrounding } from "../../text/grounding.ts";
import type { RgbImage } from "../../vision/image.ts";
import type { Media } from "./media.ts";

/** Endings of files that boxes are drawn into. */
export const DRAWN_FORMATS: Readonly<Record<string, "png" | "jpeg">> = {
  ".png": "png",
  ".jpg": "jpeg",
  ".jpeg": "jpeg",
};

/** The picture that boxes refer to, where it is the only thing shown. */
export const pictureOf = (media: readonly Media[]): RgbImage | undefined =>
  media.length === 1 && media[0]!.part.type === "image" ? media[0]!.part.image : undefined;

/** A box of an answer, and what it is around. */
export interface AnswerBox {
  readonly label: string;
  /** Left, top, right, bottom in pixels. */
  readonly box: readonly [number, number, number, number];
}

/** The boxes that an answer names on the one picture that was shown; none where it was not one picture. */
export function boxesOf(media: readonly Media[], answer: string): AnswerBox[] {
  const picture = pictureOf(media);
  if (!picture) return [];
  return parseGrounding(answer, picture).parts.flatMap((part) =>
    part.type === "boxes"
      ? part.boxes.map(({ x1, y1, x2, y2 }) => ({ label: part.label, box: [x1, y1, x2, y2] as const }))
      : [],
  );
}

/** Draws boxes on `picture` into a file whose ending is one of {@link DRAWN_FORMATS}; without any it writes none. */
export async function drawInto(
  file: string,
  picture: RgbImage,
  boxes: readonly AnswerBox[],
): Promise<string> {
  if (boxes.length === 0) return "not written, the answer has no boxes";
  const { drawBoxes } = await import("../../vision/draw-boxes.node.ts");
  const format = DRAWN_FORMATS[extname(file).toLowerCase()] ?? "png";
  await writeWhole(file, await drawBoxes(picture, boxes, { format }));
  return boxes.length === 1 ? "1 box" : `${boxes.length} boxes`;
}
