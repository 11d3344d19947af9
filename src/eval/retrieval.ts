import { ConfigError } from "../core/errors.ts";
import type { ManifestItem } from "../data/manifest.ts";
import type { Embedder } from "../infer/embedder.ts";
import { type EvalOptions, embedPictures, embedTextList } from "./embed-all.ts";
import { type EmbeddingMatrix, emptyMatrix, setRow } from "./embedding-matrix.ts";
import { recallAt, retrievalRanks } from "./metrics.ts";

/** A picture with its captions: an item of a manifest. */
export type RetrievalItem = Pick<ManifestItem, "path" | "captions" | "group">;

/** Which captions are queries and what counts as found: the benchmark's rules. */
export interface RetrievalProtocol {
  /** Applied to every caption before anything else. */
  readonly cleanCaption?: (caption: string) => string;
  /** Every caption is a query, or only the first of each picture. */
  readonly queries: "all" | "first";
  /** A hit is the caption's own picture, or any picture of the same group or with the same query text. */
  readonly hit: "own" | "group-or-text";
}

/** Every caption a query, a hit is the caption's own picture: COCO, Flickr30K, XTD. */
export const PUBLISHED_PROTOCOL: RetrievalProtocol = { queries: "all", hit: "own" };

/** Held-out pictures of the nano model: one query a picture, other drawings of the same thing are hits too. */
export const CONCEPT_PROTOCOL: RetrievalProtocol = { queries: "first", hit: "group-or-text" };

type Direction = "image" | "text";
type RecallKeys = `${Direction}_retrieval_recall@${1 | 5 | 10}`;

/** Shares in [0, 1] under clip_benchmark's names: `image_retrieval` is text→image, `text_retrieval` image→text. */
export type RetrievalScores = Readonly<Record<RecallKeys, number>> & {
  /** Mean of the six recalls. */
  readonly mean_recall: number;
  /** Candidates of text→image. */
  readonly images: number;
  /** Queries of text→image and candidates of image→text. */
  readonly texts: number;
  /** Queries of image→text: the pictures with a caption in this language. */
  readonly images_with_text: number;
};

export interface RetrievalResult {
  /** The embedder's id. */
  readonly model: string;
  /** By language tag; captions without one are under "und". */
  readonly languages: Readonly<Record<string, RetrievalScores>>;
}

export interface RetrievalOptions extends EvalOptions {
  readonly protocol?: RetrievalProtocol;
  /** Languages to score; default: all that occur. */
  readonly languages?: readonly string[];
}

/**
 * Zero-shot image-text retrieval (clip_benchmark, zeroshot_retrieval): embeds all pictures once and the captions
 * of each language, then ranks both ways. All pictures are candidates in every language. Throws ConfigError when
 * there is nothing to score, MediaError for pictures that cannot be read.
 */
export async function evaluateRetrieval(
  embedder: Embedder,
  items: readonly RetrievalItem[],
  options: RetrievalOptions,
): Promise<RetrievalResult> {
  const protocol = options.protocol ?? PUBLISHED_PROTOCOL;
  const languages = chooseLanguages(items, options.languages);
  const images = emptyMatrix(items.length, embedder.dimension);
  const paths = items.map((item) => item.path);
  await embedPictures(embedder, paths, options, (i, embedding) => setRow(images, i, embedding, paths[i]!));

  const result: Record<string, RetrievalScores> = {};
  for (const language of languages) {
    const { texts, positives } = queriesOf(items, language, protocol);
    const matrix = emptyMatrix(texts.length, embedder.dimension);
    await embedTextList(embedder, texts, options, (i, embedding) =>
      setRow(matrix, i, embedding, JSON.stringify(texts[i])),
    );
    result[language] = await score(images, matrix, positives, options);
  }
  return { model: embedder.id, languages: result };
}

function chooseLanguages(items: readonly RetrievalItem[], wanted: readonly string[] | undefined): string[] {
  const counts = new Map<string, number>();
  for (const item of items)
    for (const [language, list] of Object.entries(item.captions))
      counts.set(language, (counts.get(language) ?? 0) + list.length);
  const present = [...counts.keys()].filter((language) => counts.get(language)! > 0);
  if (present.length === 0) throw new ConfigError("retrieval: no picture has a caption, nothing to score");
  const missing = (wanted ?? []).filter((language) => !present.includes(language));
  if (missing.length > 0)
    throw new ConfigError(
      `retrieval: no captions in ${missing.join(", ")}; the manifest has ${present.sort().join(", ")}`,
    );
  return wanted ? [...wanted] : present;
}

/** Query texts of one language and, for each, the pictures that are a hit. */
export function queriesOf(
  items: readonly RetrievalItem[],
  language: string,
  protocol: RetrievalProtocol,
): { texts: string[]; positives: number[][] } {
  const clean = protocol.cleanCaption ?? ((caption: string) => caption);
  const texts: string[] = [];
  const owners: number[] = [];
  items.forEach((item, owner) => {
    const captions = Object.hasOwn(item.captions, language) ? item.captions[language]! : [];
    for (const caption of protocol.queries === "first" ? captions.slice(0, 1) : captions) {
      texts.push(clean(caption));
      owners.push(owner);
    }
  });
  if (protocol.hit === "own") return { texts, positives: owners.map((owner) => [owner]) };

  const byGroup = new Map<string, Set<number>>();
  const byText = new Map<string, Set<number>>();
  const put = (map: Map<string, Set<number>>, key: string, picture: number) =>
    map.set(key, (map.get(key) ?? new Set()).add(picture));
  items.forEach(({ group }, picture) => {
    if (group !== undefined) put(byGroup, group, picture);
  });
  texts.forEach((text, t) => {
    put(byText, text, owners[t]!);
  });
  const positives = texts.map((text, t) => {
    const { group } = items[owners[t]!]!;
    return [...new Set([...byText.get(text)!, ...(group === undefined ? [] : byGroup.get(group)!)])];
  });
  return { texts, positives };
}

async function score(
  images: EmbeddingMatrix,
  texts: EmbeddingMatrix,
  positives: readonly (readonly number[])[],
  { signal, onProgress }: RetrievalOptions,
): Promise<RetrievalScores> {
  const steps = retrievalRanks(images, texts, positives);
  let step = steps.next();
  for (; !step.done; step = steps.next()) {
    onProgress?.({ phase: "ranking", done: step.value, total: texts.rows });
    await new Promise((resume) => setTimeout(resume));
    signal?.throwIfAborted();
  }
  const toImage = recallAt(step.value.texts);
  const toText = recallAt(step.value.images);
  const six = [toImage[1], toImage[5], toImage[10], toText[1], toText[5], toText[10]];
  return {
    "image_retrieval_recall@1": toImage[1],
    "image_retrieval_recall@5": toImage[5],
    "image_retrieval_recall@10": toImage[10],
    "text_retrieval_recall@1": toText[1],
    "text_retrieval_recall@5": toText[5],
    "text_retrieval_recall@10": toText[10],
    mean_recall: six.reduce((a, b) => a + b, 0) / six.length,
    images: images.rows,
    texts: texts.rows,
    images_with_text: toText.queries,
  };
}
