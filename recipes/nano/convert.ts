import { createHash } from "node:crypto";
import { access, appendFile, mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import sharp from "sharp";
import { z } from "zod";
import type { Picture } from "./picture.ts";
import { rawOf, renderPicture } from "./render.ts";

/** Side of the converted pictures, pixels: room for random crops around the model's 64. */
export const SIDE = 96;
/** Largest standard deviation over the channels (0-255) below which a picture shows nothing. */
const BLANK_BELOW = 2;
/** Part of the record's name: another way of converting must not reuse old results. */
const METHOD = `webp${SIDE}-3`;
const RAW = rawOf(SIDE);

const resultSchema = z.object({ id: z.string(), pixels: z.string(), refused: z.string() });
/** `pixels`: digest of the RGB bytes, "" when `refused` gives the reason why there is no picture. */
export type Converted = z.infer<typeof resultSchema>;

/** The path of a picture below OUT_DIR. */
export function imagePath(id: string): string {
  return `images/${id}.webp`;
}

/**
 * Converts every picture to SIDE×SIDE RGB on white, aspect ratio kept, as WebP. Results are appended to
 * `OUT_DIR/converted-….jsonl`, so an interrupted run goes on where it was. `tick` hears the number done.
 */
export async function convertAll(
  pictures: readonly Picture[],
  outDir: string,
  tick: (done: number) => void,
): Promise<ReadonlyMap<string, Converted>> {
  sharp.concurrency(1); // the pictures are small: parallel between, not inside them
  const record = join(outDir, `converted-${METHOD}.jsonl`);
  const results = await readRecord(record);
  const todo: Picture[] = [];
  for (const picture of pictures) if (!(await isDone(picture, results, outDir))) todo.push(picture);
  let next = 0;
  let done = pictures.length - todo.length;
  const worker = async () => {
    for (let at = next++; at < todo.length; at = next++) {
      const result = await convertOne(todo[at]!, outDir);
      results.set(result.id, result);
      await appendFile(record, `${JSON.stringify(result)}\n`);
      tick(++done);
    }
  };
  tick(done);
  await Promise.all(Array.from({ length: 4 }, worker));
  return results;
}

/** Recorded, and if it was not refused, its file is still there. */
async function isDone(picture: Picture, results: ReadonlyMap<string, Converted>, outDir: string) {
  const result = results.get(picture.id);
  if (result === undefined) return false;
  if (result.refused !== "") return true;
  const file = access(join(outDir, imagePath(picture.id)));
  return file.then(
    () => true,
    () => false,
  );
}

async function readRecord(path: string): Promise<Map<string, Converted>> {
  const text = await readFile(path, "utf8").catch(() => "");
  const results = new Map<string, Converted>();
  // The last line may be cut short by a kill: what does not end in a newline is done again.
  for (const line of text.slice(0, text.lastIndexOf("\n") + 1).split("\n")) {
    if (line === "") continue;
    const result = resultSchema.parse(JSON.parse(line));
    results.set(result.id, result);
  }
  if (!text.endsWith("\n") && text !== "") await writeFile(path, text.slice(0, text.lastIndexOf("\n") + 1));
  return results;
}

async function convertOne(picture: Picture, outDir: string): Promise<Converted> {
  const path = join(outDir, imagePath(picture.id));
  try {
    const raw = await renderPicture(picture, SIDE);
    const { channels } = await sharp(raw, RAW).stats();
    if (Math.max(...channels.map((c) => c.stdev)) < BLANK_BELOW) {
      return { id: picture.id, pixels: "", refused: "blank on white" };
    }
    await mkdir(dirname(path), { recursive: true });
    await sharp(raw, RAW).webp({ quality: 92, smartSubsample: true, effort: 4 }).toFile(`${path}.part`);
    await rename(`${path}.part`, path);
    return { id: picture.id, pixels: createHash("sha256").update(raw).digest("hex"), refused: "" };
  } catch (error) {
    return { id: picture.id, pixels: "", refused: (error as Error).message.split("\n")[0]! };
  }
}
