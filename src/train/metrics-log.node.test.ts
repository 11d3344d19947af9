import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { MetricsLog } from "./metrics-log.node.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "metrics-"));
});
afterEach(() => rm(folder, { recursive: true }));

const path = () => join(folder, "metrics.jsonl");
const lines = async () =>
  (await readFile(path(), "utf8")).split("\n").flatMap((l) => (l ? [JSON.parse(l)] : []));

test("one line of JSON a step", async () => {
  const log = await MetricsLog.open(path(), 0);
  await log.add({ step: 1, loss: 2.5 });
  await log.add({ loss: 2.25, step: 2, "test.en.R@1": 0.5 });
  expect(await lines()).toEqual([
    { step: 1, loss: 2.5 },
    { step: 2, loss: 2.25, "test.en.R@1": 0.5 },
  ]);
});

test("opening it again drops the steps that will be done again", async () => {
  const log = await MetricsLog.open(path(), 0);
  for (let step = 1; step <= 5; step++) await log.add({ step, loss: step });
  await (await MetricsLog.open(path(), 3)).add({ step: 4, loss: 40 });
  expect(await lines()).toEqual([
    { step: 1, loss: 1 },
    { step: 2, loss: 2 },
    { step: 3, loss: 3 },
    { step: 4, loss: 40 },
  ]);
});

test("a line that a kill cut off is dropped, wherever it was cut", async () => {
  const whole = '{"step":2,"loss":1.25}';
  for (let length = 1; length < whole.length; length++) {
    await writeFile(path(), `{"step":1,"loss":1}\n${whole.slice(0, length)}`);
    await (await MetricsLog.open(path(), 2)).add({ step: 3, loss: 3 });
    expect((await lines()).map((l: { step: number }) => l.step)).toEqual([1, 3]);
  }
});

test("a fresh start leaves nothing of an earlier run", async () => {
  await writeFile(path(), '{"step":1,"loss":1}\n');
  await MetricsLog.open(path(), 0);
  expect(await readFile(path(), "utf8")).toBe("");
});
