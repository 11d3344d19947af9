import { CheckpointError, UsageError } from "../core/errors.ts";
import { PROMPT_FILES, TOKENIZER_FILES } from "../text/tokenizer.node.ts";
import { WEIGHTS_ENDING } from "../weights/checkpoint.ts";
import { chooseWeights } from "../weights/open-checkpoint.node.ts";
import { type HubName, isPlainName, repositoryOf } from "./hub-name.ts";
import type { HubFile, Repository } from "./repository.node.ts";

/** More than any of them has: a repository must not fill the disk with what is called a configuration. */
const MAX_DESCRIPTION_BYTES = 64 * 2 ** 20;

/** What a model needs of its repository. */
export interface NeededFiles {
  /** Configuration, tokenizer, templates, and the index of the shards. */
  readonly descriptions: readonly HubFile[];
  /** Files of weights; with an index, they are those that it names. */
  readonly weights: readonly HubFile[];
  /** Name of the index of shards, which must be read to know them. */
  readonly index: string | undefined;
}

/** Whether a file of weights is an index of shards. */
export const isIndex = (name: string): boolean => name.endsWith(".index.json");

/** How the shards of an index are called: ".safetensors" or ".bin". */
export const shardEnding = (index: string): string => /(\.\w+)\.index\.json$/.exec(index)?.[1] ?? "";

/**
 * The files of a repository that a model is loaded from, and no others: safetensors rather than torch's, no code, no
 * pictures. Throws a UsageError that says what to name where this is not clear.
 */
export function neededFiles(name: HubName, { files }: Repository): NeededFiles {
  const here = [...files.keys()].filter(isPlainName);
  const descriptions = pick(files, ["config.json", ...PROMPT_FILES, ...TOKENIZER_FILES]);
  if (name.file !== undefined) {
    const file = files.get(name.file) ?? noFile(name, [...files.keys()]);
    return {
      descriptions: name.file.endsWith(".gguf") ? [] : descriptions,
      weights: [file],
      index: undefined,
    };
  }
  const weights = weightsAmong(name, here, [...files.keys()]);
  if (!isIndex(weights)) return { descriptions, weights: pick(files, [weights]), index: undefined };
  return { descriptions: [...descriptions, ...pick(files, [weights])], weights: [], index: weights };
}

/** The shards that an index names. Throws a CheckpointError for those that the repository does not have. */
export function shardsAmong({ files }: Repository, shards: readonly string[], where: string): HubFile[] {
  const missing = shards.filter((shard) => !files.has(shard));
  if (missing.length > 0)
    throw new CheckpointError(
      `${where}: the index names ${missing.length} files that the repository does not have (first: ${missing[0]}); try another revision`,
    );
  return pick(files, shards);
}

/** Throws a CheckpointError for a description of an impossible size. */
export function checkDescriptions(name: HubName, descriptions: readonly HubFile[]): void {
  const large = descriptions.find(({ size }) => size > MAX_DESCRIPTION_BYTES);
  if (large)
    throw new CheckpointError(
      `${repositoryOf(name)}: ${large.path} has ${large.size} bytes, at most ${MAX_DESCRIPTION_BYTES} are expected; this is no model's repository`,
    );
}

const pick = (files: Repository["files"], names: readonly string[]): HubFile[] =>
  names.flatMap((name) => files.get(name) ?? []);

function weightsAmong(name: HubName, here: readonly string[], all: readonly string[]): string {
  try {
    return chooseWeights(here, "");
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
    return nameOne(name, "no single model", all);
  }
}

const noFile = ({ file, ...name }: HubName, all: readonly string[]): never =>
  nameOne({ ...name, file: undefined }, `no file ${file}`, all);

function nameOne(name: HubName, found: string, all: readonly string[]): never {
  const repo = repositoryOf(name);
  const weights = all.filter((path) => WEIGHTS_ENDING.test(path));
  const hint =
    weights.length === 0
      ? "it holds no weights that can be read"
      : `name one of its files: ${weights
          .slice(0, 12)
          .map((path) => `${repo}/${path}`)
          .join(", ")}${weights.length > 12 ? ` … (${weights.length} in all)` : ""}`;
  throw new UsageError(`${repo}: found ${found} in this repository; ${hint}`);
}
