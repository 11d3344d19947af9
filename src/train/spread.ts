/** At most so many of the items (all where it is left out), evenly spread over them: the same ones each time. */
export function spread<T>(items: readonly T[], most = items.length): T[] {
  const every = Math.max(1, items.length / most);
  return items.filter((_, i) => Math.floor(i / every) !== Math.floor((i - 1) / every));
}
