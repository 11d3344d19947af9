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
  { text: "gâteau d’anniversaire", lang: "fr", hint: "French: birthday cake" },
  { text: "mariposa", lang: "es", hint: "Spanish: butterfly" },
  { text: "снеговик", lang: "ru", hint: "Russian: snowman" },
  { text: "熊猫", lang: "zh", hint: "Chinese: panda" },
  { text: "電車", lang: "ja", hint: "Japanese: train" },
  { text: "हाथी", lang: "hi", hint: "Hindi: elephant" },
];
