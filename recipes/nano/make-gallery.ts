/**
 * Makes the gallery that the server shows at first start, from what `fetch.ts` brought:
 *
 *     npx tsx recipes/nano/make-gallery.ts OUT_DIR [GALLERY_DIR]
 *
 * `gallery.json` is the choice, made by eye: path below the gallery -> id of the picture. The same OUT_DIR
 * gives the same bytes. The manifest says which pictures the model has not seen.
 */
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import sharp from "sharp";
import { z } from "zod";
import { ConfigError, isUserError, UsageError } from "../../src/core/errors.ts";
import { collect, obtainAll } from "./collect.ts";
import { imagePath } from "./convert.ts";
import { type GalleryPicture, licencesText, readmeText } from "./gallery-text.ts";
import { authorOf } from "./openclipart.ts";
import type { Picture } from "./picture.ts";
import { rawOf, renderPicture } from "./render.ts";
import { sourceOf } from "./sources.ts";

const SIDE = 256;
const BYTES_MAX = 5_000_000;
const CHOICE = join(import.meta.dirname, "gallery.json");

async function main(args: readonly string[]): Promise<void> {
  const { positionals } = parseArgs({ args: [...args], allowPositionals: true });
  const [out, into] = positionals;
  if (out === undefined || positionals.length > 2) {
    throw new UsageError("usage: npx tsx recipes/nano/make-gallery.ts OUT_DIR [GALLERY_DIR]");
  }
  const outDir = resolve(out);
  const gallery = resolve(into ?? join(import.meta.dirname, "../../gallery"));
  const choice = z.record(z.string(), z.string()).parse(JSON.parse(await readFile(CHOICE, "utf8")));
  const dirs = await obtainAll(outDir, new Set(), () => {});
  const known = new Map((await collect(dirs)).pictures.map((p) => [p.id, p]));
  const splits = await readSplits(outDir);
  const wrong = Object.values(choice).filter((id) => !known.has(id) || !splits.has(id));
  if (wrong.length > 0) {
    throw new ConfigError(
      `${CHOICE}: ${wrong.length} of its pictures are not in ${outDir}/manifest.jsonl (first: ${wrong[0]}); ` +
        "run recipes/nano/fetch.ts without --without first",
    );
  }
  await rm(gallery, { recursive: true, force: true });
  const pictures: GalleryPicture[] = [];
  let bytes = 0;
  for (const [path, id] of Object.entries(choice)) {
    const picture = known.get(id)!;
    bytes += await write(join(gallery, `${path}.webp`), picture);
    const author = picture.source === "openclipart" ? await authorOf(dirs.get("openclipart-text")!, id) : "";
    pictures.push({
      path: `${path}.webp`,
      id,
      split: splits.get(id)!,
      source: sourceOf(picture.source),
      author,
    });
  }
  if (bytes > BYTES_MAX) throw new ConfigError(`${gallery}: ${bytes} bytes, expected at most ${BYTES_MAX}`);
  await writeFile(join(gallery, "LICENSES.md"), licencesText(pictures));
  await writeFile(join(gallery, "README.md"), readmeText(pictures));
  process.stdout.write(`${relative(process.cwd(), gallery)}: ${pictures.length} pictures, ${bytes} bytes\n`);
}

/** Writes one picture and returns its size in bytes. */
async function write(path: string, picture: Picture): Promise<number> {
  await mkdir(dirname(path), { recursive: true });
  const raw = await renderPicture(picture, SIDE);
  const { size } = await sharp(raw, rawOf(SIDE))
    .webp({ quality: 88, smartSubsample: true, effort: 6 })
    .toFile(path);
  return size;
}

const manifestLine = z.object({ image: z.string(), split: z.string() });

async function readSplits(outDir: string): Promise<ReadonlyMap<string, string>> {
  const path = join(outDir, "manifest.jsonl");
  const text = await readFile(path, "utf8").catch(() => {
    throw new UsageError(`${path} is not there; run npx tsx recipes/nano/fetch.ts ${outDir} first`);
  });
  const splits = new Map<string, string>();
  const [before, after] = imagePath("\n").split("\n") as [string, string];
  for (const line of text.split("\n").filter((l) => l !== "")) {
    const { image, split } = manifestLine.parse(JSON.parse(line));
    splits.set(image.slice(before.length, image.length - after.length), split);
  }
  return splits;
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  if (!isUserError(error)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 2;
}
