import { WEIGHTS_ENDING } from "../weights/checkpoint.ts";

/** What is meant by a model's name on the Hugging Face hub. */
export interface HubName {
  readonly owner: string;
  readonly name: string;
  /** One file of weights in the repository, with its folders; undefined for the model that the repository holds. */
  readonly file: string | undefined;
  /** A branch, a tag or a commit. */
  readonly revision: string;
}

const WORD = /^(?!.*(--|\.\.))[A-Za-z0-9][\w.-]{0,95}$/;
const REVISION = /^(?!.*(\.\.|\/\/))\w[\w./-]{0,199}$/;
const DEFAULT_REVISION = "main";

/**
 * Reads OWNER/NAME[/FILE][@REVISION], as in "OpenGVLab/InternVL3-1B" or "bartowski/Qwen-GGUF/Qwen-Q8_0.gguf". FILE is a
 * file of weights. Undefined for everything else: a path that begins with a dot, a tilde or a slash is never a name.
 */
export function parseHubName(text: string): HubName | undefined {
  const at = text.indexOf("@");
  const [path, revision] = at < 0 ? [text, DEFAULT_REVISION] : [text.slice(0, at), text.slice(at + 1)];
  const [owner = "", name = "", ...rest] = path.split("/");
  if (!WORD.test(owner) || !WORD.test(name) || !REVISION.test(revision)) return undefined;
  if (rest.length === 0)
    return WEIGHTS_ENDING.test(name) ? undefined : { owner, name, file: undefined, revision };
  const isFile = rest.every((part) => isPlainName(part)) && WEIGHTS_ENDING.test(rest.at(-1)!);
  return isFile ? { owner, name, file: rest.join("/"), revision } : undefined;
}

/** OWNER/NAME. */
export const repositoryOf = ({ owner, name }: HubName): string => `${owner}/${name}`;

/** A name that stays in its folder on every system: no separators, drives, streams or dots alone. */
export const isPlainName = (name: string): boolean =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  name !== "" && name !== "." && name !== ".." && !/[/\\:\x00-\x1f]/.test(name);
