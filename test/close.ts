import { expect } from "vitest";

interface Values {
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
}

/** Fails with the worst element, its index and both values when |a − b| > relative · max(|b| of all, 1e-6). */
export function expectClose(
  actual: Values,
  expected: Values,
  { relative, where = "" }: { readonly relative: number; readonly where?: string },
): void {
  expect([...actual.shape], where).toEqual([...expected.shape]);
  let scale = 1e-6;
  for (let i = 0; i < expected.data.length; i++) scale = Math.max(scale, Math.abs(expected.data[i]!));
  let worst = -1;
  let gap = 0;
  for (let i = 0; i < expected.data.length; i++) {
    const difference = Math.abs(actual.data[i]! - expected.data[i]!);
    if (!(difference <= gap)) [worst, gap] = [i, difference];
  }
  if (!(gap <= relative * scale))
    expect.fail(
      `${where}: element ${worst} of [${expected.shape}] is ${actual.data[worst]}, expected ${expected.data[worst]} ` +
        `(difference ${gap}, ${gap / scale} of the largest magnitude, allowed ${relative})`,
    );
}
