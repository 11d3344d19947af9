/** Runs functions, at most `running` of them at once, in the order in which they were handed in. */
export function limiter(running: number): <T>(task: () => Promise<T>) => Promise<T> {
  let free = running;
  const waiting: (() => void)[] = [];
  return async (task) => {
    if (free > 0) free--;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await task();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else free++;
    }
  };
}

export interface AheadOptions {
  /** How many calls run at once. */
  readonly running: number;
  /** How many results may wait, finished or not, before the consumer takes them. */
  readonly ahead: number;
}

/**
 * Maps in order and ahead of the consumer, so that preparing the next batch overlaps with using this one. Memory is
 * bounded by `ahead` results. An error of `map` reaches the consumer in its place, after the calls begun have ended.
 */
export async function* mapAhead<A, B>(
  items: AsyncIterable<A> | Iterable<A>,
  { running, ahead }: AheadOptions,
  map: (item: A) => Promise<B>,
): AsyncGenerator<B, void, undefined> {
  const run = limiter(running);
  const queue: Promise<B>[] = [];
  const source = (async function* () {
    yield* items;
  })();
  let ended = false;
  try {
    for (;;) {
      while (!ended && queue.length < ahead) {
        const next = await source.next();
        if (next.done) ended = true;
        else {
          const result = run(() => map(next.value));
          result.catch(() => {}); // Reported when its turn comes; until then it must not count as unhandled.
          queue.push(result);
        }
      }
      const head = queue.shift();
      if (head === undefined) return;
      yield await head;
    }
  } finally {
    await source.return();
    await Promise.allSettled(queue);
  }
}
