import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { normaliseHexcode, readEmoji, regionOf, vocabularyOf } from "./emoji-text.ts";
import { flagCaptions, flagGroup, plainName, regionsByEnglishName } from "./flags.ts";
import { englishTitle } from "./openclipart-titles.ts";
import { distinct } from "./picture.ts";
import { parseStampText, phrasesOf } from "./tuxpaint.ts";

const dir = await mkdtemp(join(tmpdir(), "nano-words-"));
afterAll(() => rm(dir, { recursive: true }));

describe("emoji", () => {
  const lion = { hexcode: "1F981", group: 3, subgroup: 34 };
  const germany = { hexcode: "1F1E9-1F1EA", group: 9, subgroup: 98 };
  const write = async (language: string, entries: unknown[]) => {
    await mkdir(join(dir, language), { recursive: true });
    await writeFile(join(dir, language, "data.json"), JSON.stringify(entries));
  };

  it("joins the languages, folds regional variants in, and calls flags by their country", async () => {
    await write("en", [
      { ...lion, label: "lion", tags: ["mane", "safari", "lion"] },
      { ...germany, label: "flag: Germany", tags: ["DE"] },
      { hexcode: "1F3FB", label: "light skin tone", group: 2 },
    ]);
    await write("en-gb", [{ ...lion, label: "big lion", tags: [] }]);
    await write("de", [{ ...lion, label: "Löwe", tags: ["Tier"] }]);
    await mkdir(join(dir, "versions"), { recursive: true }); // not a language
    const emoji = await readEmoji(dir, new Map([["1F981", ["savanna"]]]));
    expect(emoji.map((e) => e.group)).toEqual(["emoji:1F981", "flag:DE"]);
    expect(emoji[0]!.captions.en).toEqual([
      "lion",
      "mane",
      "safari",
      "savanna",
      "lion, mane, safari",
      "big lion",
    ]);
    expect(emoji[0]!.captions.de).toEqual(["Löwe", "Tier", "Löwe, Tier"]);
    expect(emoji[1]!.captions.en!.slice(0, 2)).toEqual(["flag of Germany", "Germany"]);
    expect(emoji[1]!.captions.fr![0]).toBe("drapeau Allemagne");
    expect(vocabularyOf(emoji).has("safari")).toBe(true);
  });

  it("normalises code points and finds regions", () => {
    expect(normaliseHexcode("2764-fe0f-200d-1f525")).toBe("2764-200D-1F525");
    expect(regionOf("1F1E9-1F1EA")).toBe("DE");
    expect(regionOf("1F981")).toBeUndefined();
  });
});

describe("flags", () => {
  it("names a country in every language of the table", () => {
    const captions = flagCaptions("JP", { en: ["flag: Japan", "JP"] });
    expect(captions.ja![0]).toBe("日本の国旗");
    expect(captions["zh-hant"]![1]).toBe("日本");
    expect(captions.en).toContain("flag: Japan");
    expect(captions.en).not.toContain("JP");
    expect(Object.keys(captions).length).toBeGreaterThan(35);
  });

  it("finds the group of a package's code, and none where there is no country", () => {
    expect(flagGroup("DE")).toBe("flag:DE");
    expect(flagGroup("GB-SCT")).toMatch(/^emoji:1F3F4/);
    expect(flagGroup("ASEAN")).toBeUndefined();
    expect(flagGroup("XX")).toBeUndefined();
  });

  it("finds countries by the names that libraries use", () => {
    const regions = regionsByEnglishName();
    const of = (name: string) => regions.get(plainName(name));
    expect(["bosnia_and_herzegovina", "Viet_nam", "germany", "curacao"].map(of)).toEqual([
      "BA",
      "VN",
      "DE",
      "CW",
    ]);
    expect(of("france_alsace")).toBeUndefined();
  });
});

describe("stamps", () => {
  it("reads the sentence and its translations, without articles first", () => {
    const text = "A red kangaroo.\nde.utf8=Ein rotes Känguru.\nzh_TW.utf8=紅袋鼠\nfi.utf8=A red kangaroo.\n";
    expect(parseStampText(text)).toEqual({
      en: ["red kangaroo", "A red kangaroo"],
      de: ["rotes Känguru", "Ein rotes Känguru"],
      "zh-hant": ["紅袋鼠"],
    });
  });

  it("is empty for an empty text and keeps what is no article", () => {
    expect(parseStampText("")).toEqual({});
    expect(phrasesOf("Anchor", "en")).toEqual(["Anchor"]);
    expect(phrasesOf("L'ancre.", "fr")).toEqual(["ancre", "L'ancre"]);
  });
});

it("translates titles", () => {
  expect(englishTitle("gatto nero")).toBe("black cat");
  expect(englishTitle("rayonnement laser")).toBe("laser");
  expect(englishTitle("architetto francesco rollandin")).toBeUndefined();
});

it("distinct keeps order and the first spelling, up to the limit", () => {
  expect(distinct([" Cat ", "cat", "", "dog  house", "fish"], 2)).toEqual(["Cat", "dog house"]);
});
