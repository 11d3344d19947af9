import { describe, expect, test } from "vitest";
import { ConfigError } from "../core/errors.ts";
import { assignGroups, type ParamGroup } from "./param-groups.ts";

const KEYS = ["vision.0.weight", "vision.0.bias", "text.weight", "logit_scale"];

function messageOf(groups: readonly ParamGroup[]): string {
  try {
    assignGroups(KEYS, groups);
  } catch (e) {
    expect(e).toBeInstanceOf(ConfigError);
    return (e as Error).message;
  }
  return expect.fail("no error");
}

describe("assignGroups", () => {
  test("keys of no group are left out", () => {
    const assigned = assignGroups(KEYS, [
      { name: "a", match: ["vision.*"] },
      { name: "b", match: ["logit_scale"] },
    ]);
    expect(Object.fromEntries(assigned)).toEqual({
      "vision.0.weight": "a",
      "vision.0.bias": "a",
      logit_scale: "b",
    });
  });

  test("two patterns of one group may claim a key", () => {
    const assigned = assignGroups(KEYS, [{ name: "a", match: ["vision.*", "*.weight"] }]);
    expect([...assigned.keys()]).toEqual(["vision.0.weight", "vision.0.bias", "text.weight"]);
  });

  test("a pattern matches whole keys, and all but * is literal", () => {
    expect(messageOf([{ name: "a", match: ["text"] }])).toContain('no parameter\'s key matches "text"');
    expect(messageOf([{ name: "a", match: ["text.weigh[t]"] }])).toContain("weigh[t]");
    expect(messageOf([{ name: "a", match: ["text(.weight"] }])).toContain("text(.weight");
    expect(messageOf([{ name: "a", match: ["text?weight"] }])).toContain("text?weight");
  });

  test("overlaps and idle patterns are told together", () => {
    const message = messageOf([
      { name: "a", match: ["vision.*"] },
      { name: "b", match: ["*.weight"] },
      { name: "c", match: ["adapter.*"] },
    ]);
    expect(message).toContain('"a" and "b" both hold 1 parameters (first: vision.0.weight)');
    expect(message).toContain('"c": no parameter\'s key matches "adapter.*"');
  });
});
