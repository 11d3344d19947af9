/**
 * The first key that an object in `json` holds twice, or undefined. `JSON.parse` keeps the last of two equal keys in
 * silence, so a file could show one reader another tensor than the next. `json` must be text that `JSON.parse` accepts.
 */
export function duplicateKey(json: string): string | undefined {
  const token = /"[^"\\]*(?:\\.[^"\\]*)*"\s*:?|[{}]/g;
  const open: Set<string>[] = [];
  for (let match = token.exec(json); match !== null; match = token.exec(json)) {
    const text = match[0];
    if (text === "{") open.push(new Set());
    else if (text === "}") open.pop();
    else if (text.endsWith(":")) {
      const key = JSON.parse(text.slice(0, -1)) as string;
      const seen = open.at(-1);
      if (seen?.has(key)) return key;
      seen?.add(key);
    }
  }
  return undefined;
}
