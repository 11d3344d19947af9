import { ConfigError } from "../core/errors.ts";
import type { Augmentation } from "../vision/augment.ts";
import type { DecodeOptions } from "../vision/decode.node.ts";
import { type CaptionTables, captionTables, hasCaption } from "./captions.ts";
import type { ManifestItem } from "./manifest.ts";
import type { TextList } from "./text-pairs.ts";

/** A picture of a training set. */
export interface PictureItem {
  /** The file to open; absent: a white picture, for a text that has none. */
  readonly path?: string;
  /** Items of one group do not meet in a batch. */
  readonly group?: string;
  /** How often it is drawn, relative to the others. */
  readonly weight: number;
}

/** What batches of pictures are made from, and how. */
export interface PictureBatchOptions {
  readonly items: readonly PictureItem[];
  readonly batchSize: number;
  /** Side of the training pictures in pixels. */
  readonly size: number;
  /** Absent: every picture whole, squashed to a square. */
  readonly augmentation?: Augmentation;
  readonly seed: string | number;
  /** First step to deliver, counted from 0 at the beginning of the training. Default 0. */
  readonly startStep?: number;
  /** Threads that decode and augment. Default 1. */
  readonly workers?: number;
  /** Batches made ahead: the bound on memory for batches. Default 4. */
  readonly prefetch?: number;
  /** Larger pictures are kept with this shorter side, and crops are cut from that. Default 1.5 × size. */
  readonly storeSide?: number;
  /** Memory for decoded pictures, shared by the threads; what does not fit is decoded at each use. Default 512 MiB. */
  readonly cacheBytes?: number;
  /** Limits and transparency of each picture, see DecodeOptions. */
  readonly decoding?: Pick<DecodeOptions, "maxPixels" | "maxBytes" | "timeoutMs" | "alpha">;
  /** Told once of each picture that cannot be used; the next one of the manifest takes its place. */
  readonly onBroken?: (broken: {
    readonly item: number;
    readonly path: string;
    readonly reason: string;
  }) => void;
}

/** What batches of pictures with captions are made from, and how. */
export interface BatchOptions extends PictureBatchOptions {
  readonly items: readonly ManifestItem[];
  /** How often each language is drawn, for each caption of a picture; absent: one caption, all languages alike. */
  readonly languages?: CaptionTables;
  /** Probability of a language's first caption; the others share the rest with it. Default 0. */
  readonly firstCaptionShare?: number;
  /** Pairs of texts for each batch: `count` of the lists, see {@link drawTextPairs}. */
  readonly textPairs?: { readonly lists: readonly TextList[]; readonly count: number };
}

/** Throws a ConfigError with every option that cannot be used. */
export function checkPictureOptions(options: PictureBatchOptions): void {
  report(pictureProblems(options));
}

/** As {@link checkPictureOptions}, with those of the captions. */
export function checkBatchOptions(options: BatchOptions): void {
  report([...pictureProblems(options), ...captionProblems(options)]);
}

function report(problems: readonly string[]): void {
  if (problems.length > 0) throw new ConfigError(`training batches:\n  ${problems.join("\n  ")}`);
}

function pictureProblems(options: PictureBatchOptions): string[] {
  const { items, augmentation } = options;
  const problems: string[] = [];
  const whole = (name: keyof PictureBatchOptions, least: number) => {
    const value = options[name];
    if (value !== undefined && (!Number.isSafeInteger(value) || (value as number) < least))
      problems.push(`${name}: expected a whole number from ${least}, found ${String(value)}`);
  };
  whole("batchSize", 1);
  whole("size", 1);
  whole("startStep", 0);
  whole("workers", 1);
  whole("prefetch", 1);
  whole("storeSide", 1);
  whole("cacheBytes", 0);
  const range = (name: string, [low, high]: readonly [number, number], most: number) => {
    if (!(low > 0 && low <= high && high <= most))
      problems.push(
        `augmentation.${name}: expected 0 < least <= greatest <= ${most}, found [${low}, ${high}]`,
      );
  };
  if (augmentation) range("scale", augmentation.scale, 1);
  if (augmentation?.ratio) range("ratio", augmentation.ratio, 100);
  const flip = augmentation?.flip ?? 0;
  if (!(flip >= 0 && flip <= 1)) problems.push(`augmentation.flip: expected 0 to 1, found ${flip}`);
  for (const [name, value] of Object.entries(augmentation?.color ?? {}))
    if (!(value >= 0 && value <= 1))
      problems.push(`augmentation.color.${name}: expected 0 to 1, found ${value}`);
  const total = items.reduce((sum, item) => sum + item.weight, 0);
  if (total + 1e-9 < options.batchSize)
    problems.push(
      `batchSize: expected at most the ${total} pictures of an epoch (sum of their weights), found ${options.batchSize}`,
    );
  return problems;
}

function captionProblems({ items, firstCaptionShare = 0, textPairs, languages }: BatchOptions): string[] {
  const problems: string[] = [];
  if (!(firstCaptionShare >= 0 && firstCaptionShare <= 1))
    problems.push(`firstCaptionShare: expected 0 to 1, found ${firstCaptionShare}`);
  if (textPairs && !(textPairs.count >= 1 && textPairs.count <= textPairs.lists.length))
    problems.push(
      `textPairs: expected 1 to ${textPairs.lists.length} pairs a batch, one a line at most, found ${textPairs.count}`,
    );
  const tables = captionTables(languages);
  if (tables.length === 0) problems.push("languages: expected at least one table, found none");
  for (const [language, weight] of tables.flatMap((table) => Object.entries(table ?? {})))
    if (!(weight >= 0 && weight < Number.POSITIVE_INFINITY))
      problems.push(`languages.${language}: expected a number from 0, found ${weight}`);
  for (const [i, table] of tables.entries()) {
    const silent = items.filter((item) => item.weight > 0 && !hasCaption(item, table));
    if (silent.length === 0) continue;
    const which = tables.length > 1 ? `languages[${i}]` : "languages";
    problems.push(
      `${which}: expected a caption to draw for every picture, found none for ${silent.length} of ${items.length} (first: ${silent[0]!.image}); give "*" a weight or leave those pictures out`,
    );
  }
  return problems;
}
