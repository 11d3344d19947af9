import { streamLines } from "./manifest.node.ts";
import { parseTextPairs, type TextList } from "./text-pairs.ts";

/** All lists of a file of text pairs. Throws a ConfigError, see {@link parseTextPairs}. */
export const readTextPairs = (file: string): Promise<TextList[]> => parseTextPairs(streamLines(file), file);
