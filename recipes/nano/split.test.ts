import { describe, expect, it } from "vitest";
import { HELD_OUT, hash01, type Splittable, splitPictures } from "./split.ts";

const SEED = 7;

/** 1,000 emoji drawn by three families (one of them in two styles), and 1,000 clip-art pictures. */
function library(): Splittable[] {
  const hands = [
    ["fluent", "3d"],
    ["fluent", "flat"],
    ["noto", ""],
    ["twemoji", ""],
  ] as const;
  return Array.from({ length: 1000 }, (_, i) => [
    ...hands.map(([family, style]) => {
      const id = `${family}${style}/${i}`;
      return { id, group: `emoji:${i}`, family, pixels: id };
    }),
    { id: `clip/${i}`, group: `openclipart:${i}`, family: "openclipart", pixels: `clip/${i}` },
  ]).flat();
}

describe("splitPictures", () => {
  const pictures = library();
  const split = splitPictures(pictures, SEED);
  const inSplit = (name: string) => pictures.filter((p) => split.get(p.id) === name);

  it("puts all pictures of a held-out concept on one side", () => {
    const held = new Set(inSplit("heldout-concepts").map((p) => p.group));
    const others = pictures.filter((p) => split.get(p.id) !== "heldout-concepts");
    expect(others.filter((p) => held.has(p.group))).toEqual([]);
  });

  it("holds out about a tenth of the concepts and of the remaining drawings", () => {
    const concepts = new Set(inSplit("heldout-concepts").map((p) => p.group)).size / 2000;
    const remaining = pictures.filter((p) => p.family !== "openclipart").length * (1 - HELD_OUT);
    expect(Math.abs(concepts - HELD_OUT)).toBeLessThan(0.02);
    expect(Math.abs(inSplit("heldout-drawings").length / remaining - HELD_OUT)).toBeLessThan(0.02);
  });

  it("keeps another hand's drawing of every held-out drawing in training, and never the same hand's", () => {
    const train = inSplit("train");
    for (const held of inSplit("heldout-drawings")) {
      const known = train.filter((p) => p.group === held.group).map((p) => p.family);
      expect(known.length, held.id).toBeGreaterThan(0);
      expect(known, held.id).not.toContain(held.family);
    }
  });

  it("holds out no drawing of clip art", () => {
    expect(inSplit("heldout-drawings").filter((p) => p.family === "openclipart")).toEqual([]);
  });

  it("holds out a tenth of the surplus pictures, and gives the others to nobody", () => {
    const clips = pictures.filter((p) => p.family === "openclipart");
    const marked = splitPictures(
      clips.map((p) => ({ ...p, surplus: true as const })),
      SEED,
    );
    expect(new Set(marked.values())).toEqual(new Set(["heldout-surplus"]));
    expect(Math.abs(marked.size / clips.length - HELD_OUT)).toBeLessThan(0.03);
    const held = inSplit("heldout-concepts").filter((p) => p.family === "openclipart");
    expect([...marked.keys()].sort()).toEqual(held.map((p) => p.id).sort());
  });

  it("does not depend on the order, nor on what else is there", () => {
    const reversed = splitPictures([...pictures].reverse(), SEED);
    expect(pictures.filter((p) => reversed.get(p.id) !== split.get(p.id))).toEqual([]);
    const half = pictures.filter((p) => p.group.startsWith("openclipart:"));
    const alone = splitPictures(half, SEED);
    expect(half.filter((p) => alone.get(p.id) !== split.get(p.id))).toEqual([]);
  });

  it("decides groups that share a picture together", () => {
    const held = inSplit("heldout-concepts").find((p) => p.family === "noto")!;
    const kept = inSplit("train").find((p) => p.family === "noto")!;
    const twins = pictures.map((p) => (p.id === kept.id ? { ...p, pixels: held.pixels } : p));
    const result = splitPictures(twins, SEED);
    expect(result.get(kept.id)).toBe(result.get(held.id));
  });
});

it("hash01 is the same on every machine", () => {
  // First four bytes of sha256("7\nconcept:emoji:1F981"), as `sha256sum` prints them, over 2^32.
  expect(hash01(7, "concept:emoji:1F981")).toBeCloseTo(0x0821f299 / 2 ** 32, 9);
});
