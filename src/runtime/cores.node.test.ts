import { availableParallelism } from "node:os";
import { expect, test } from "vitest";
import { defaultThreads, parseCpuList } from "./cores.node.ts";

test("parseCpuList reads single processors and ranges", () => {
  expect(parseCpuList("0-3,8,10-11\n")).toEqual([0, 1, 2, 3, 8, 10, 11]);
  expect(parseCpuList("0\n")).toEqual([0]);
  expect(parseCpuList("\n")).toEqual([]);
});

test("the default is at least one thread and no more than the process may use", () => {
  expect(defaultThreads()).toBeGreaterThanOrEqual(1);
  expect(defaultThreads()).toBeLessThanOrEqual(availableParallelism());
});
