import { expect, it } from "vitest";
import {
  cardTitle,
  cleanKeywords,
  cleanTitle,
  folderWords,
  isAdult,
  languageOf,
  parseRdf,
  stemWithoutAuthor,
  unescapeXml,
} from "./openclipart-text.ts";

it.each([
  ["Clipart by Nicu Buculei - pear", "pear"],
  ["glace_01", "glace"],
  ["BlueMan#110", "blue man"],
  ["Muffin (B and W)", "muffin"],
  ["arrow-left-green", "arrow left green"],
  ["Bowl of Steaming Soup", "bowl of steaming soup"],
  ["star_95pt12step", "star with many points"],
  ["70a013", ""],
  ["42", ""],
])("cleans the title %s", (raw, clean) => {
  expect(cleanTitle(raw)).toBe(clean);
});

it.each([
  ["canguro_architetto_franc_01", "Architetto Francesco Rollandin", "canguro"],
  ["bullet_hole_linda_kim_u", "Linda Kim", "bullet_hole"],
  ["clipart_by_nicu_buculei_-_baloon1_04_02", "Nicu Buculei", "baloon1_04"],
  ["folder_open", "", "folder_open"],
])("takes the author off the file name %s", (stem, author, bare) => {
  expect(stemWithoutAuthor(stem, author)).toBe(bare);
});

it("reads title, keywords and author, and not the publisher's name", () => {
  const svg = `<svg><rdf:RDF><cc:Work><dc:title>Fish &amp;amp; chips</dc:title>
    <dc:subject><rdf:Bag><rdf:li>hash</rdf:li><rdf:li>Meal</rdf:li><rdf:li></rdf:li></rdf:Bag></dc:subject>
    <dc:publisher><cc:Agent><dc:title>Library</dc:title></cc:Agent></dc:publisher>
    <dc:creator><cc:Agent><dc:title>Jo Doe</dc:title></cc:Agent></dc:creator></cc:Work></rdf:RDF></svg>`;
  const text = parseRdf(svg);
  expect(text).toEqual({ title: "Fish & chips", keywords: ["hash", "Meal", ""], author: "Jo Doe" });
  expect(cleanKeywords(text)).toEqual(["meal"]);
  expect(parseRdf("<svg/>")).toEqual({ title: "", keywords: [], author: "" });
});

it("keeps what it does not know as an entity", () => {
  expect(unescapeXml("&#233;&unknown;&lt;")).toBe("é&unknown;<");
});

it("drops keywords that are bookkeeping, the author or numbers", () => {
  const keywords = ["svg", "mo", "Jo Doe", "0x881e2f8", "big_cats"];
  expect(cleanKeywords({ title: "", author: "Jo Doe", keywords })).toEqual(["big cats"]);
});

it("names folders from the inside out", () => {
  expect(folderWords("unsorted/animals/big_cats")).toEqual(["big cats", "animals"]);
  expect(folderWords("computer/icons/lemon-theme")).toEqual(["computer"]);
});

it("knows the language of an author, adult words, and playing cards", () => {
  expect(["Rollandin Francesco", "yves GUILLOU", "Linda Kim"].map(languageOf)).toEqual(["it", "fr", "en"]);
  expect(isAdult("shapes/lady", { title: "", keywords: ["erotik"], author: "" })).toBe(true);
  expect(isAdult("animals/cat", { title: "Cat", keywords: ["pet"], author: "" })).toBe(false);
  expect(cardTitle("bordered_d_q")).toBe("queen of diamonds");
  expect(cardTitle("white_h_10")).toBe("10 of hearts");
  expect(cardTitle("back01")).toBeUndefined();
});
