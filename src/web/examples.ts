interface Example {
  readonly text: string;
  readonly lang: string;
  /** For those who do not read the language. */
  readonly hint?: string;
}

/** Queries that show what the shipped model is made for, in some of its languages. */
export const EXAMPLES: readonly Example[] = [
  { text: "red apple", lang: "en" },
  { text: "smiling face with sunglasses", lang: "en" },
  { text: "Segelboot", lang: "de", hint: "German: sailing boat" },
  { text: "citron", lang: "fr", hint: "French: lemon" },
  { text: "girasol", lang: "es", hint: "Spanish: sunflower" },
  { text: "ананас", lang: "ru", hint: "Russian: pineapple" },
  { text: "熊猫", lang: "zh", hint: "Chinese: panda" },
  { text: "電車", lang: "ja", hint: "Japanese: train" },
  { text: "गुलाब", lang: "hi", hint: "Hindi: rose" },
];
