import { expect, test } from "vitest";
import { ConfigError } from "../core/errors.ts";
import { checkModel } from "./check-model.ts";
import type { Manifest } from "./manifest.ts";
import { fakeEmbedder } from "./test-support.ts";

const check = (made: string, given: string, dimension = 64) => {
  const manifest: Manifest = {
    ...{ format: 1, model: made, dimension, table: "images-1", folders: [], trainedOn: 0 },
  };
  checkModel("/my index", manifest, fakeEmbedder({ id: given }));
};

test("the same weights in the same precision are the same model, whatever their folder is called", () => {
  check("nano@aaa", "nano@aaa");
  check("nano@aaa", "renamed@aaa");
  check("nano@aaa", "nano:w8@aaa");
});

test.each([
  ["nano:w8@aaa", "nano@bbb", "the precision differs, .*; use --precision w8, or"],
  ["nano@aaa", "nano:w4@bbb", "the precision differs, .*; leave --precision out, or"],
  ["nano@aaa", "nano@bbb", "the weights or their precision differ, .*; use that model with its precision"],
  ["nano:w8@aaa", "other@bbb", "the weights or their precision differ"],
  ["mine", "yours", "the weights or their precision differ"],
])("an index made with %s is refused for %s", (made, given, reason) => {
  expect(() => check(made, given)).toThrow(ConfigError);
  const message = `expected an index made with ${given} .*, found one made with ${made} .*: ${reason}`;
  expect(() => check(made, given)).toThrow(new RegExp(message));
  expect(() => check(made, given)).toThrow('internvl index --rebuild --index "/my index"');
});

test("embeddings of another width are never compared", () => {
  expect(() => check("nano@aaa", "nano@aaa", 32)).toThrow(/64 numbers a picture.*\(32\)/);
});
