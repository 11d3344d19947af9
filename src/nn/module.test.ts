import { describe, expect, test } from "vitest";
import { ShapeError } from "../core/errors.ts";
import { Param, paramTensor } from "../graph/tensor.ts";
import { Identity, LayerNorm, Linear } from "./layers.ts";
import { Module, ModuleList, modules, parameters, transform } from "./module.ts";

const ones = { kind: "constant", value: 1 } as const;

class Block extends Module {
  readonly fc = new Linear(2, 3);
  readonly norm = new LayerNorm(3, 1e-6);
  readonly scale = new Param([3], ones);
  readonly width = 3;
  readonly absent = undefined;
  readonly plain = { weight: new Param([1], ones) };
}

class Net extends Module {
  readonly layers = new ModuleList([new Block(), new Block()]);
  readonly skip = new Identity();
}

describe("parameters", () => {
  test("have the path of their fields, in order of declaration", () => {
    expect([...parameters(new Net()).keys()]).toEqual(
      [0, 1].flatMap((i) =>
        ["fc.weight", "fc.bias", "norm.weight", "norm.bias", "scale"].map((k) => `layers.${i}.${k}`),
      ),
    );
    expect([...parameters(new Block(), "a.b").keys()][0]).toBe("a.b.fc.weight");
  });

  test("that two fields share stand once, under the first path", () => {
    const net = new Net();
    const tied = net.layers.items[0]!.fc.weight;
    Object.assign(net.layers.items[1]!.fc, { weight: tied });
    const params = parameters(net);
    expect(params.get("layers.0.fc.weight")).toBe(tied);
    expect(params.has("layers.1.fc.weight")).toBe(false);
  });

  test("know their key only after the walk, and keep it", () => {
    const block = new Block();
    expect(() => block.scale.key).toThrow(ShapeError);
    expect(() => block.scale.key).toThrow("parameter [3] has no key yet: call parameters(model)");
    parameters(block);
    parameters(block);
    expect(block.scale.key).toBe("scale");
    expect(() => parameters(block, "other")).toThrow(
      'parameter "fc.weight" cannot also be named "other.fc.weight"',
    );
  });

  test("cannot have the key of another", () => {
    const block = Object.assign(new Block(), { "fc.weight": new Param([1], ones) });
    expect(() => parameters(block)).toThrow('two parameters have the key "fc.weight"');
  });

  test("are one tensor of a graph each, until their dtype changes", () => {
    const param = new Param([2], ones);
    const t = paramTensor(param);
    expect(paramTensor(param)).toBe(t);
    param.dtype = "bf16";
    expect(paramTensor(param)).not.toBe(t);
    expect(paramTensor(param).dtype).toBe("bf16");
  });
});

describe("the tree of modules", () => {
  test("is walked parents first", () => {
    expect([...modules(new Net())].map(([path]) => path)).toEqual([
      "",
      "layers",
      ...["", ".fc", ".norm"].map((p) => `layers.0${p}`),
      ...["", ".fc", ".norm"].map((p) => `layers.1${p}`),
      "skip",
    ]);
  });

  test("is changed in place; what was put in is not changed again", () => {
    const net = new Net();
    const seen: string[] = [];
    transform(net, (module, path) => {
      seen.push(path);
      return module instanceof Linear && path.startsWith("layers.1")
        ? new Linear(2, 3, { bias: false })
        : undefined;
    });
    expect(seen).toContain("layers.0.fc");
    const keys = [...parameters(net).keys()];
    expect(keys).toContain("layers.0.fc.bias");
    expect(keys).not.toContain("layers.1.fc.bias");
    transform(net, (_, path) => (path === "layers.1" ? new Block() : undefined));
    expect([...parameters(net).keys()]).toContain("layers.1.fc.bias");
  });
});
