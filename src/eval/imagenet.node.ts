import { readFile } from "node:fs/promises";

/** Languages of the ImageNet names and templates, under clip_benchmark's codes. */
export const IMAGENET_LANGUAGES = ["en", "cn", "jp", "ar", "it"] as const;
export type ImagenetLanguage = (typeof IMAGENET_LANGUAGES)[number];

const readData = async (name: string): Promise<unknown> =>
  JSON.parse(await readFile(new URL(`./data/${name}.json`, import.meta.url), "utf8"));

/** Names of the 1000 classes in the order of {@link imagenetWnids}. */
export const imagenetClassNames = (language: ImagenetLanguage): Promise<readonly string[]> =>
  readData(`imagenet-classnames.${language}`) as Promise<string[]>;

/** Prompt templates with `{c}` for the class name; duplicates are meant. */
export const imagenetTemplates = (language: ImagenetLanguage): Promise<readonly string[]> =>
  readData(`imagenet-templates.${language}`) as Promise<string[]>;

/** WordNet ids of the 1000 classes, sorted: the folder names of ImageNet. */
export const imagenetWnids = (): Promise<readonly string[]> =>
  readData("imagenet-wnids") as Promise<string[]>;

/** English templates of the other data sets of the published table, by clip_benchmark's name. */
export const datasetTemplates = (): Promise<Readonly<Record<string, readonly string[]>>> =>
  readData("dataset-templates.en") as Promise<Record<string, string[]>>;
