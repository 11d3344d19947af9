import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { type Captions, type Collected, distinct, type Picture } from "./picture.ts";

/**
 * "Flag of …" by language, in forms that need no article or case of the country's name: what people type.
 * `{}` is the name as `Intl.DisplayNames` gives it.
 */
const PHRASES: Readonly<Record<string, readonly string[]>> = {
  ar: ["علم {}"],
  bg: ["знаме {}"],
  bn: ["{} পতাকা"],
  ca: ["bandera de {}"],
  cs: ["vlajka {}"],
  da: ["flag {}", "{} flag"],
  de: ["Flagge von {}", "Flagge {}", "Fahne {}"],
  el: ["σημαία {}"],
  en: ["flag of {}", "{} flag", "national flag of {}"],
  es: ["bandera de {}", "bandera {}"],
  et: ["{} lipp", "lipp {}"],
  fa: ["پرچم {}"],
  fi: ["{} lippu", "lippu {}"],
  fr: ["drapeau {}", "drapeau de {}"],
  he: ["דגל {}"],
  hi: ["{} का झंडा", "{} झंडा"],
  hr: ["zastava {}"],
  hu: ["{} zászlója", "{} zászló"],
  id: ["bendera {}"],
  it: ["bandiera {}", "bandiera di {}"],
  ja: ["{}の国旗", "{}の旗"],
  ko: ["{} 국기", "{} 깃발"],
  lt: ["{} vėliava", "vėliava {}"],
  ms: ["bendera {}"],
  nb: ["flagg {}", "{} flagg"],
  nl: ["vlag van {}", "vlag {}"],
  pl: ["flaga {}"],
  pt: ["bandeira de {}", "bandeira {}"],
  ro: ["steag {}"],
  ru: ["флаг {}", "флаг страны {}"],
  sk: ["vlajka {}"],
  sr: ["застава {}"],
  sv: ["flagga {}", "{} flagga"],
  th: ["ธงชาติ{}", "ธง{}"],
  tr: ["{} bayrağı"],
  uk: ["прапор {}"],
  vi: ["cờ {}", "quốc kỳ {}"],
  zh: ["{}国旗", "{}的旗帜"],
  "zh-hant": ["{}國旗", "{}的旗幟"],
};

const NAMES = new Map(
  Object.keys(PHRASES).map((language) => {
    const tag = language === "zh" ? "zh-hans" : language;
    return [language, new Intl.DisplayNames([tag], { type: "region", fallback: "none" })] as const;
  }),
);

/** Names of a region that ICU does not know as a region, or knows under a code flags do not use. */
const SUBDIVISIONS: Readonly<Record<string, string>> = {
  "GB-ENG": "emoji:1F3F4-E0067-E0062-E0065-E006E-E0067-E007F",
  "GB-SCT": "emoji:1F3F4-E0067-E0062-E0073-E0063-E0074-E007F",
  "GB-WLS": "emoji:1F3F4-E0067-E0062-E0077-E006C-E0073-E007F",
};

/** Captions of a country's flag in every language of the table; the label of `also` (emojibase's) comes last. */
export function flagCaptions(region: string, also: Captions): Captions {
  const captions: Record<string, string[]> = {};
  for (const [language, phrases] of Object.entries(PHRASES)) {
    const name = NAMES.get(language)!.of(region);
    if (name === undefined) continue;
    const made = phrases.map((phrase) => phrase.replace("{}", name));
    captions[language] = distinct(
      [made[0]!, name, ...made.slice(1), ...(also[language] ?? []).slice(0, 1)],
      8,
    );
  }
  return captions;
}

/** The group of a flag by its code in the flag packages ("DE", "GB-SCT"), or undefined if ICU knows none. */
export function flagGroup(code: string): string | undefined {
  const subdivision = SUBDIVISIONS[code];
  if (subdivision !== undefined) return subdivision;
  if (!/^[A-Z]{2}$/.test(code)) return undefined;
  return NAMES.get("en")!.of(code) === undefined ? undefined : `flag:${code}`;
}

/** English country name, lower case without accents, articles and "and" -> code. For sources that spell it. */
export function regionsByEnglishName(): ReadonlyMap<string, string> {
  const result = new Map<string, string>();
  const letters = [..."ABCDEFGHIJKLMNOPQRSTUVWXYZ"];
  for (const code of letters.flatMap((a) => letters.map((b) => a + b))) {
    const name = NAMES.get("en")!.of(code);
    if (name !== undefined && !DEPRECATED.has(code)) result.set(plainName(name), code);
  }
  for (const [name, code] of Object.entries(OTHER_NAMES)) result.set(plainName(name), code);
  return result;
}

/** Codes that ICU maps to a present country or a union; they would shadow the real code. */
const DEPRECATED = new Set(["BU", "CS", "CT", "DD", "DY", "FQ", "FX", "HV", "JT", "MI", "NH", "NQ", "NT"]);
for (const code of ["PC", "PU", "PZ", "RH", "SU", "TP", "UK", "VD", "WK", "YD", "YU", "ZR", "QO", "ZZ"]) {
  DEPRECATED.add(code);
}

const OTHER_NAMES: Readonly<Record<string, string>> = {
  "Congo Kinshasa": "CD",
  "Congo Brazzaville": "CG",
  "Viet Nam": "VN",
  Burma: "MM",
  Macedonia: "MK",
  "Czech Republic": "CZ",
  Swaziland: "SZ",
  Turkey: "TR",
  "Ivory Coast": "CI",
  USA: "US",
  "United States of America": "US",
  UK: "GB",
  "Great Britain": "GB",
  "East Timor": "TL",
  "Brunei Darussalam": "BN",
  "Syrian Arab Republic": "SY",
  Maledives: "MV",
  Palestine: "PS",
  "European Union": "EU",
  EU: "EU",
  "United Nations": "UN",
  "Cote d'Ivoire": "CI",
  "Cote divoire": "CI",
  Capeverde: "CV",
  "Saint Kitts and Nevis": "KN",
  "Saint Lucia": "LC",
  "Saint Vincent and the Grenadines": "VC",
  "Saint Helena": "SH",
  "Turks and Caicos": "TC",
  Vatican: "VA",
  "Russian Federation": "RU",
  "China Hong Kong": "HK",
  "China Macao": "MO",
  "Denmark Faroe": "FO",
  "Denmark Greenland": "GL",
  "Finland Aaland": "AX",
  Antarctica: "AQ",
  Suisse: "CH",
  "Israeli flag": "IL",
  Israeli: "IL",
  British: "GB",
  Ukrainian: "UA",
  "USA virgin islands": "VI",
  "France Martinique": "MQ",
  "Australia Christmas Island": "CX",
  "Northern Mariana": "MP",
};

/** "Bosnia & Herzegovina" and "bosnia_and_herzegovina" -> "bosnia herzegovina". */
export function plainName(name: string): string {
  return name
    .normalize("NFD")
    .replace(/\p{M}/gu, "")
    .toLowerCase()
    .replace(/[^a-z]+/g, " ")
    .replace(/\b(and|the|of)\b/g, " ")
    .replace(/ +/g, " ")
    .trim();
}

/** Pictures of the packages `flag-icons` (4x3) and `country-flag-icons` (3x2). */
export async function readFlagPackages(
  flagIcons: string | undefined,
  countryFlags: string | undefined,
  captionsOf: (group: string) => Captions | undefined,
): Promise<Collected> {
  const folders = [
    { source: "flag-icons", root: flagIcons, below: "flags/4x3" },
    { source: "country-flags", root: countryFlags, below: "3x2" },
  ] as const;
  const pictures: Picture[] = [];
  const skipped: { id: string; source: "flag-icons" | "country-flags"; reason: string }[] = [];
  for (const { source, root, below } of folders) {
    if (root === undefined) continue;
    const dir = join(root, below);
    const files = (await readdir(dir)).filter((name) => name.endsWith(".svg")).sort();
    for (const file of files) {
      const code = file.slice(0, -4).toUpperCase();
      const id = `${source}/${code.toLowerCase()}`;
      const group = flagGroup(code);
      const captions = group === undefined ? undefined : (captionsOf(group) ?? flagCaptions(code, {}));
      if (group === undefined || captions === undefined) {
        skipped.push({ id, source, reason: "not the code of a country" });
        continue;
      }
      const input = { file: join(dir, file) };
      // One family: both draw the official rectangle, so the two files are one drawing.
      pictures.push({ id, source, group, family: "rectangle", input, trim: false, captions });
    }
  }
  return { pictures, skipped };
}
