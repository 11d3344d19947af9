import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { ConfigError, UsageError } from "../core/errors.ts";
import { didYouMean } from "../core/suggest.ts";
import type { ClassNames } from "../eval/class-names.ts";
import {
  datasetTemplates,
  IMAGENET_LANGUAGES,
  type ImagenetLanguage,
  imagenetClassNames,
  imagenetTemplates,
} from "../eval/imagenet.node.ts";
import { PLACEHOLDER, TWO_LABELS } from "../eval/zero-shot-classifier.ts";

/** Larger lists of names are a mistake, not a list of names. */
const MAX_LIST_BYTES = 10_000_000;

const IMAGENET = "imagenet:";

/** The language of "imagenet:en"; undefined for other texts. */
export function imagenetLanguage(spec: string): ImagenetLanguage | undefined {
  if (!spec.startsWith(IMAGENET)) return undefined;
  const wanted = spec.slice(IMAGENET.length);
  const language = IMAGENET_LANGUAGES.find((l) => l === wanted);
  if (!language)
    throw new UsageError(
      `${spec}: there are no ImageNet names in "${wanted}"${didYouMean(wanted, IMAGENET_LANGUAGES)}`,
    );
  return language;
}

/** Labels of `--labels`: "a,b,c", or "@FILE" with one a line. Throws UsageError for fewer than two, an empty or a repeated one. */
export async function readLabels(spec: string): Promise<string[]> {
  const labels = spec.startsWith("@") ? await readList(spec.slice(1)) : spec.split(",").map((l) => l.trim());
  if (labels.some((label) => label === "") || labels.length === 0)
    throw new UsageError(
      `--labels ${spec}: a label is empty; give labels as in --labels "cat,dog,a red car"`,
    );
  const repeated = labels.find((label, i) => labels.indexOf(label) !== i);
  if (repeated !== undefined) throw new UsageError(`--labels: "${repeated}" is given twice`);
  if (labels.length < 2)
    throw new UsageError(`--labels ${spec}: ${TWO_LABELS}; give labels as in --labels "cat,dog,a red car"`);
  return labels;
}

/**
 * Prompt templates of `--templates`, each a template with `{c}`, "imagenet:LANGUAGE", the name of a data set with
 * published templates, or "@FILE" (one a line, or a JSON list).
 */
export async function readTemplates(specs: readonly string[]): Promise<string[]> {
  const lists = await Promise.all(specs.map(readTemplateSpec));
  return lists.flat();
}

async function readTemplateSpec(spec: string): Promise<readonly string[]> {
  if (spec.startsWith("@")) return readList(spec.slice(1));
  const language = imagenetLanguage(spec);
  if (language) return imagenetTemplates(language);
  if (spec.includes(PLACEHOLDER)) return [spec];
  const published = await datasetTemplates();
  if (Object.hasOwn(published, spec)) return published[spec]!;
  throw new UsageError(
    `--templates ${spec}: expected a template with ${PLACEHOLDER} for the label, @FILE, or a name` +
      didYouMean(spec, [...IMAGENET_LANGUAGES.map((l) => IMAGENET + l), ...Object.keys(published)]),
  );
}

/** Class names of `--classnames`: "imagenet:LANGUAGE", or a file with one a line, a JSON list or a JSON object. */
export async function readClassNames(spec: string): Promise<ClassNames> {
  const language = imagenetLanguage(spec);
  if (language) return imagenetClassNames(language);
  const file = spec.replace(/^@/, "");
  const text = await readText(file);
  if (!text.trimStart().startsWith("{")) return parseList(file, text);
  const value = parseJson(file, text);
  if (!isStringRecord(value))
    throw new ConfigError(
      `${file}: expected a JSON object from folder name to class name, found other values`,
    );
  return value;
}

/** A file's text; of a pipe or device, which has no size beforehand, no more than the limit is read. */
async function readText(file: string): Promise<string> {
  const info = await stat(file);
  if (info.isDirectory())
    throw new UsageError(`${file}: expected a file with a list of names, found a folder`);
  if (info.size > MAX_LIST_BYTES) throw tooLong(file, `${info.size} bytes`);
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of createReadStream(file, { end: MAX_LIST_BYTES })) {
    chunks.push(chunk);
    length += chunk.length;
  }
  if (length > MAX_LIST_BYTES) throw tooLong(file, "still more after them");
  return Buffer.concat(chunks)
    .toString("utf8")
    .replace(/^\ufeff/, "");
}

const tooLong = (file: string, found: string): ConfigError =>
  new ConfigError(`${file}: expected a list of names in at most ${MAX_LIST_BYTES} bytes, found ${found}`);

const readList = async (file: string): Promise<string[]> => parseList(file, await readText(file));

function parseList(file: string, text: string): string[] {
  if (!text.trimStart().startsWith("["))
    return text
      .split(/\r?\n/)
      .map((line) => line.trim())
      .filter((line) => line !== "");
  const value = parseJson(file, text);
  if (!Array.isArray(value) || !value.every((v) => typeof v === "string"))
    throw new ConfigError(`${file}: expected a JSON list of texts, found other values in it`);
  return value;
}

function parseJson(file: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ConfigError(`${file}: expected one name a line or JSON, found ${(error as Error).message}`, {
      cause: error,
    });
  }
}

const isStringRecord = (value: unknown): value is Record<string, string> =>
  typeof value === "object" && value !== null && Object.values(value).every((v) => typeof v === "string");
