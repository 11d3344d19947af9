import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { Emoji } from "./emoji-text.ts";
import { normaliseHexcode } from "./emoji-text.ts";
import { plainName, regionsByEnglishName } from "./flags.ts";
import { type Collected, distinct, type Picture, type Skipped } from "./picture.ts";
import type { SourceKey } from "./sources.ts";

/** An emoji font that holds one file per emoji, named by its code points. */
interface FileFont {
  readonly source: SourceKey;
  readonly family: string;
  readonly folder: string;
  readonly ending: string;
}

const FILE_FONTS: readonly FileFont[] = [
  { source: "noto", family: "noto", folder: "img/google/64", ending: ".png" },
  { source: "twemoji", family: "twemoji", folder: "img/twitter/64", ending: ".png" },
  { source: "fluent-3d", family: "fluent", folder: "assets", ending: ".webp" },
  { source: "fluent-flat", family: "fluent", folder: "assets", ending: ".svg" },
  { source: "openmoji", family: "openmoji", folder: "color/svg", ending: ".svg" },
];

/** Emoji fonts of the Iconify collection: one JSON of SVG bodies, named by their English labels. */
const NAMED_FONTS: readonly { readonly source: SourceKey; readonly family: string }[] = [
  { source: "noto-v1", family: "noto" }, // many objects did not change in the second version
  { source: "fxemoji", family: "fxemoji" },
  { source: "emojione", family: "emojione" },
];

/** Every drawing without skin tone of every emoji font; `dirOf` gives a source's unpacked folder. */
export async function readEmojiFonts(
  emoji: readonly Emoji[],
  dirOf: (source: SourceKey) => string | undefined,
): Promise<Collected> {
  const byHexcode = new Map(emoji.map((e) => [e.hexcode, e]));
  const pictures: Picture[] = [];
  const skipped: Skipped[] = [];
  for (const font of FILE_FONTS) {
    const dir = dirOf(font.source);
    if (dir === undefined) continue;
    const folder = join(dir, font.folder);
    const drawn = new Set<string>(); // "2716" and "2716-FE0F" may both be there
    for (const name of (await readdir(folder)).sort()) {
      if (!name.endsWith(font.ending)) continue;
      const hexcode = normaliseHexcode(name.slice(0, -font.ending.length));
      const known = byHexcode.get(hexcode);
      if (known === undefined || drawn.has(hexcode)) continue; // skin tones and private code points
      drawn.add(hexcode);
      const picture = drawing(font, known, { file: join(folder, name) });
      if (font.family !== "fluent" || !isCountryFlag(known)) pictures.push(picture);
      else skipped.push({ id: picture.id, source: font.source, reason: "its flags are Noto's drawings" });
    }
  }
  for (const font of NAMED_FONTS) {
    const dir = dirOf(font.source);
    if (dir === undefined) continue;
    const found = await readIconSet(dir, font, emoji);
    pictures.push(...found.pictures);
    skipped.push(...found.skipped);
  }
  return { pictures, skipped };
}

/** Microsoft draws no flags of countries and their parts: the package fills the gap with Noto's. */
function isCountryFlag(emoji: Emoji): boolean {
  return emoji.group.startsWith("flag:") || emoji.hexcode.startsWith("1F3F4-E0067");
}

function drawing(
  font: { source: SourceKey; family: string },
  emoji: Emoji,
  input: Picture["input"],
): Picture {
  const { source, family } = font;
  const id = `${source}/${emoji.hexcode.toLowerCase()}`;
  return { id, source, group: emoji.group, family, input, trim: false, captions: emoji.captions };
}

const iconSet = z.object({
  width: z.number().optional(),
  height: z.number().optional(),
  icons: z.record(
    z.string(),
    z.object({ body: z.string(), width: z.number().optional(), height: z.number().optional() }),
  ),
});

async function readIconSet(
  dir: string,
  font: { readonly source: SourceKey; readonly family: string },
  emoji: readonly Emoji[],
): Promise<Collected> {
  const set = iconSet.parse(JSON.parse(await readFile(join(dir, "icons.json"), "utf8")));
  const byName = new Map(emoji.map((e) => [letters(e.label), e]));
  const byGroup = new Map(emoji.map((e) => [e.group, e]));
  const regions = regionsByEnglishName();
  // These fonts are older than the labels: "lion-face" is now "lion", flags were "flag-for-…".
  const find = (name: string) => {
    const country = /^flag-for-(?:flag-)?(.+)$/.exec(name)?.[1];
    if (country !== undefined) return byGroup.get(`flag:${regions.get(plainName(country))}`);
    return byName.get(letters(name)) ?? byName.get(letters(name.replace(/-?face$/, "")));
  };
  const pictures = new Map<string, Picture>();
  const skipped: Skipped[] = [];
  for (const [name, icon] of Object.entries(set.icons)) {
    const known = find(name);
    if (known === undefined) {
      const reason = name.endsWith("skin-tone") ? "a skin tone" : "its name is no emoji's English label";
      skipped.push({ id: `${font.source}/${name}`, source: font.source, reason });
      continue;
    }
    const [w, h] = [icon.width ?? set.width ?? 16, icon.height ?? set.height ?? 16];
    const svg =
      `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" ` +
      `width="${w}" height="${h}" viewBox="0 0 ${w} ${h}">${icon.body}</svg>`;
    if (!pictures.has(known.hexcode)) pictures.set(known.hexcode, drawing(font, known, { svg }));
  }
  return { pictures: [...pictures.values()], skipped };
}

/** "Cat face", "cat-face", "catface" -> "catface". */
function letters(name: string): string {
  return name
    .normalize("NFD")
    .toLowerCase()
    .replace(/[^a-z0-9]/g, "");
}

const openmojiEntries = z.array(
  z.object({
    hexcode: z.string(),
    group: z.string(),
    subgroups: z.string(),
    annotation: z.string(),
    tags: z.string(),
    openmoji_tags: z.string(),
    skintone: z.union([z.string(), z.number()]),
  }),
);

/** Trademarks, politicians, and single letters say nothing a query would. */
const OPENMOJI_LEFT_OUT = new Set(["brand", "regional-indicator"]);

/** OpenMoji's English tags by hexcode, and its own pictograms outside Unicode's emoji. */
export async function readOpenmoji(
  dir: string,
): Promise<{ readonly tags: ReadonlyMap<string, readonly string[]>; readonly extras: Collected }> {
  const list = openmojiEntries.parse(
    JSON.parse(await readFile(join(dir, "data", "openmoji.json"), "utf8")) as unknown,
  );
  const tags = new Map<string, string[]>();
  const pictures: Picture[] = [];
  const skipped: Skipped[] = [];
  for (const e of list) {
    const words = e.openmoji_tags.split(",").map((t) => t.trim());
    if (!e.group.startsWith("extras-")) {
      if (e.skintone === "") tags.set(normaliseHexcode(e.hexcode), words);
      continue;
    }
    const id = `openmoji/${e.hexcode.toLowerCase()}`;
    if (OPENMOJI_LEFT_OUT.has(e.subgroups) || e.annotation === "trump") {
      skipped.push({ id, source: "openmoji", reason: `OpenMoji's ${e.subgroups} pictograms are left out` });
      continue;
    }
    const own = distinct([...e.tags.split(","), ...words], 6);
    pictures.push({
      id,
      source: "openmoji",
      group: `openmoji:${e.annotation.toLowerCase()}`,
      family: "openmoji",
      input: { file: join(dir, "color", "svg", `${e.hexcode}.svg`) },
      trim: false,
      captions: { en: distinct([e.annotation, `${e.annotation}, ${own.slice(0, 2).join(", ")}`], 4) },
    });
  }
  return { tags, extras: { pictures, skipped } };
}
