import { create, toBinary } from "@bufbuild/protobuf";
import { GraphProtoSchema, ModelProtoSchema } from "onnx-buf";
import { describe, expect, test } from "vitest";
import { f32 } from "../core/array.ts";
import { RuntimeFailure, ShapeError } from "../core/errors.ts";
import { Rng } from "../core/rng.ts";
import { checkWeights, declaredWeights } from "./external-weights.ts";
import { externalWeight, inlineWeight, linearModel, modelBytes, node, port } from "./test-models.ts";

describe("declaredWeights", () => {
  test("finds the external initializers and leaves the inline ones", () => {
    const model = modelBytes({
      output: [port("y", "f32", [2])],
      initializer: [
        inlineWeight("inline", f32([2], [1, 2])),
        externalWeight("blocks.0.w", "f16", [3, 1, 300]),
        externalWeight("scalar", "i64", []),
      ],
      node: [node("Identity", ["inline"], ["y"])],
    });
    expect(declaredWeights(model)).toEqual([
      { name: "blocks.0.w", dtype: "f16", shape: [3, 1, 300] },
      { name: "scalar", dtype: "i64", shape: [] },
    ]);
  });

  test("a model without a graph or without weights declares none", () => {
    expect(declaredWeights(new Uint8Array())).toEqual([]);
    const bare = create(ModelProtoSchema, { graph: create(GraphProtoSchema, { name: "bare" }) });
    expect(declaredWeights(toBinary(ModelProtoSchema, bare))).toEqual([]);
  });

  test("a cut file is refused at every length that cuts a field", () => {
    const model = linearModel(2, 3);
    const refused = Array.from(model.keys()).filter((end) => {
      try {
        declaredWeights(model.subarray(0, end));
        return false;
      } catch (error) {
        expect(error).toBeInstanceOf(RuntimeFailure);
        return true;
      }
    });
    expect(refused.length).toBeGreaterThan(model.length / 2);
  });

  test("bytes at random end in an answer or a RuntimeFailure", () => {
    const rng = new Rng("wire");
    for (let round = 0; round < 2000; round++) {
      const model = linearModel(2, 3);
      for (let k = 0; k < 3; k++) model[rng.int(model.length)] = rng.int(256);
      try {
        declaredWeights(model);
      } catch (error) {
        expect(error).toBeInstanceOf(RuntimeFailure);
      }
    }
  });

  test("an element type that has no dtype is refused by name", () => {
    const tensor = { ...externalWeight("w4", "f32", [2]), dataType: 22 }; // INT4
    const model = modelBytes({ output: [], initializer: [tensor], node: [] });
    expect(() => declaredWeights(model)).toThrow(/initializer "w4" has element type 22/);
  });
});

test("checkWeights lists every missing and misfitting weight in one error", () => {
  const declared = [
    { name: "a", dtype: "f32", shape: [2] },
    { name: "b", dtype: "f32", shape: [2, 3] },
    { name: "c", dtype: "f32", shape: [1] },
    { name: "d", dtype: "f32", shape: [4] },
  ] as const;
  const held = new Map([
    ["b", { dtype: "f32", shape: [3, 2] }],
    ["c", { dtype: "f16", shape: [1] }],
    ["d", { dtype: "f32", shape: [4] }],
  ] as const);
  const check = () => checkWeights(declared, held);
  expect(check).toThrow(ShapeError);
  expect(check).toThrow(
    "session: 3 of the model's 4 external weights do not fit the WeightSet: a (f32 [2]) is missing; " +
      "b: the model wants f32 [2,3], the set holds f32 [3,2]; c: the model wants f32 [1], the set holds f16 [1]",
  );
});
