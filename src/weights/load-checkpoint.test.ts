import { describe, expect, test } from "vitest";
import { castFloat, f32, fromBytes, type HostTensor, i64 } from "../core/array.ts";
import { CheckpointError } from "../core/errors.ts";
import type { FileTensor, TensorSource } from "../runtime/runtime.ts";
import { castSource } from "./cast.ts";
import { type Checkpoint, loadSource } from "./checkpoint.ts";
import { C_KEYS, WITHOUT_QLLAMA } from "./internvl-c-keys.ts";
import { concat, drop, KeyMap } from "./key-map.ts";
import { type Expected, loadCheckpoint } from "./load-checkpoint.ts";

const at = (dtype: FileTensor["dtype"], shape: number[]): FileTensor => ({
  dtype,
  shape,
  file: "f",
  offset: 0,
});

/** A checkpoint whose files hold 0, 1, 2, … */
function checkpoint(tensors: Record<string, TensorSource>): Checkpoint {
  const fromFile = async (source: FileTensor): Promise<HostTensor> => {
    const ramp = f32(
      source.shape,
      Array.from({ length: source.shape.reduce((n, d) => n * d, 1) }, (_, i) => i),
    );
    return castFloat(ramp, source.dtype as "f32");
  };
  return {
    name: "file",
    keys: Object.keys(tensors),
    tensors: new Map(Object.entries(tensors)),
    metadata: {},
    read: (source) => loadSource(source, fromFile),
  };
}

const wanted = (shapes: Record<string, Expected>) => new Map(Object.entries(shapes));

describe("a file that fits", () => {
  test("stays in the file where it is as wanted, in the model's order", async () => {
    const file = checkpoint({ b: at("f16", [2]), a: at("f32", [3]) });
    const loaded = await loadCheckpoint(wanted({ a: { shape: [3], dtype: "f32" }, b: { shape: [2] } }), file);
    expect([...loaded]).toEqual([
      ["a", at("f32", [3])],
      ["b", at("f16", [2])],
    ]);
  });

  test("is cast to the wanted float dtype", async () => {
    const file = checkpoint({ a: at("f16", [3]), b: f32([2], [1, 2]) });
    const expected = wanted({ a: { shape: [3], dtype: "f32" }, b: { shape: [2], dtype: "bf16" } });
    const loaded = await loadCheckpoint(expected, file);
    expect(loaded.get("a")).toMatchObject({ dtype: "f32", shape: [3] });
    expect(await file.read(loaded.get("a")!)).toEqual(f32([3], [0, 1, 2]));
    expect(await file.read(loaded.get("b")!)).toEqual(castFloat(f32([2], [1, 2]), "bf16"));
  });

  test("is joined where the map says so", async () => {
    const keys = new KeyMap({ "{q,k,v}.weight": concat("qkv.weight", 0) });
    const file = checkpoint({
      "v.weight": f32([1, 2], [5, 6]),
      "q.weight": f32([1, 2], [1, 2]),
      "k.weight": f32([1, 2], [3, 4]),
    });
    const loaded = await loadCheckpoint(wanted({ "qkv.weight": { shape: [3, 2] } }), file, { keys });
    expect(loaded.get("qkv.weight")).toMatchObject({ dtype: "f32", shape: [3, 2] });
    expect(await file.read(loaded.get("qkv.weight")!)).toEqual(f32([3, 2], [1, 2, 3, 4, 5, 6]));
  });

  test("is read when its tensors are, and not while it is checked", async () => {
    const keys = new KeyMap({ "{q,k}.w": concat("qk.w", 0), "{p}": "{p}" });
    const tensors = { "q.w": at("f16", [1]), "k.w": at("f16", [1]), a: at("f16", [3]) };
    const read: TensorSource[] = [];
    const inner = checkpoint(tensors);
    const file: Checkpoint = {
      ...inner,
      read: (source) => {
        if (!("load" in source)) read.push(source);
        return inner.read(source);
      },
    };
    const expected = wanted({ "qk.w": { shape: [2], dtype: "f32" }, a: { shape: [3], dtype: "f32" } });
    const loaded = await loadCheckpoint(expected, file, { keys });
    expect(read).toEqual([]);
    await inner.read(loaded.get("qk.w")!);
    expect(read).toEqual([tensors["q.w"], tensors["k.w"]]);
  });

  test("is resized by the caller's function, in the file's dtype", async () => {
    const file = checkpoint({ pos: at("f16", [2]) });
    const resize = (key: string, t: HostTensor, shape: readonly number[]) =>
      key === "pos" && t.data.length === 2 ? f32(shape, [9, 9, 9]) : undefined;
    const loaded = await loadCheckpoint(wanted({ pos: { shape: [3] } }), file, { resize });
    expect(loaded.get("pos")).toEqual(castFloat(f32([3], [9, 9, 9]), "f16"));
  });

  test("may hold what is deliberately left out", async () => {
    const file = checkpoint({
      a: at("f32", [1]),
      query_tokens: at("f32", [4]),
      "old.inv_freq": at("f32", [4]),
    });
    const keys = new KeyMap({ "{a,query_tokens}": "{a,query_tokens}" }, [drop("{p}.inv_freq", "computed")]);
    const loaded = await loadCheckpoint(wanted({ a: { shape: [1] } }), file, {
      keys,
      ignore: WITHOUT_QLLAMA,
    });
    expect([...loaded.keys()]).toEqual(["a"]);
  });
});

describe("a file that does not fit", () => {
  test("is told everything at once", async () => {
    const file = checkpoint({ a: at("f32", [3]), b: i64([1], [1]), x: at("f32", [1]), y: at("f32", [1]) });
    const expected = wanted({
      a: { shape: [4] },
      b: { shape: [1], dtype: "f32" },
      c: { shape: [] },
      d: { shape: [] },
    });
    await expect(loadCheckpoint(expected, file)).rejects.toThrow(
      new CheckpointError(
        "loadCheckpoint: file does not fit the model; 2 of 4 tensors missing: c, d; 2 unexpected: x, y; " +
          "1 of another shape: a: expected [4], found [3]; 1 unusable: b is i64 where f32 is expected",
      ),
    );
  });

  test("names a few of many", async () => {
    const expected = wanted(Object.fromEntries(["a", "b", "c", "d", "e"].map((k) => [k, { shape: [] }])));
    await expect(loadCheckpoint(expected, checkpoint({}))).rejects.toThrow(
      /5 of 5 tensors missing: a, b, c and 2 more$/,
    );
  });

  test("points at interpolation when the position table is of another size", async () => {
    const key = "vision_model.embeddings.position_embedding";
    const file = checkpoint({ [key]: at("f32", [1, 257, 8]) });
    await expect(loadCheckpoint(wanted({ [key]: { shape: [1, 1025, 8] } }), file)).rejects.toThrow(
      /the table is for 16×16 patches, the model has 32×32: interpolate it with the option resize/,
    );
  });

  test("a function that resizes to something else does not help", async () => {
    const resize = () => f32([2], [1, 2]);
    await expect(
      loadCheckpoint(wanted({ a: { shape: [4] } }), checkpoint({ a: at("f32", [3]) }), { resize }),
    ).rejects.toThrow(/a: expected \[4\], found \[3\]/);
  });

  test.each([
    [
      "cls_token",
      "transformer.embed_tokens.weight",
      undefined,
      /looks like the stand-alone InternVL-C layout \(c\), load it/,
    ],
    [
      "embeddings.class_embedding",
      "x",
      C_KEYS,
      /looks like the stand-alone InternViT layout \(vision\), load it/,
    ],
    [
      "vision_tower.embeddings.cls_token",
      "x",
      undefined,
      /transformers-native \(-hf\) layout \(hf\), load it/,
    ],
  ])("names the layout of %s", async (one, two, keys, message) => {
    const file = checkpoint({ [one]: at("f32", [1]), [two]: at("f32", [1]) });
    const expected = wanted({ "vision_model.embeddings.class_embedding": { shape: [1] } });
    await expect(loadCheckpoint(expected, file, keys ? { keys } : {})).rejects.toThrow(message);
  });

  test("two tensors for one place, or a part too few", async () => {
    const keys = new KeyMap({ "{q,k}.w": concat("qk.w", 0), "a.{p}": "x.{p}", "b.{p}": "y.{p}" });
    const twice = new KeyMap({ "a.{p}": "x.{p}", "b.{p}": "x.{p}" });
    const file = checkpoint({ "a.1": at("f32", [1]), "b.1": at("f32", [1]) });
    await expect(loadCheckpoint(wanted({ "x.1": { shape: [1] } }), file, { keys: twice })).rejects.toThrow(
      /x\.1 is given twice, as a\.1 and as b\.1/,
    );
    const half = checkpoint({ "q.w": at("f32", [1]) });
    await expect(loadCheckpoint(wanted({ "qk.w": { shape: [2] } }), half, { keys })).rejects.toThrow(
      /1 of 1 tensors missing: qk\.w \(only q\.w of its 2 parts\)/,
    );
  });

  test("parts that do not join", async () => {
    const keys = new KeyMap({ "{q,k}.w": concat("qk.w", 0) });
    const load = (k: FileTensor) =>
      loadCheckpoint(
        wanted({ "qk.w": { shape: [2, 2] } }),
        checkpoint({ "q.w": at("f32", [1, 2]), "k.w": k }),
        { keys },
      );
    await expect(load(at("f32", [1, 3]))).rejects.toThrow(/expected \[2, 2\], found \[1, 2\] and \[1, 3\]/);
    await expect(load(at("f16", [1, 2]))).rejects.toThrow(/qk\.w is f32 and f16 where f32 is expected/);
  });
});

describe("castSource", () => {
  const read = async () => castFloat(f32([2], [1, -2]), "bf16");

  test("casts when it is loaded, and not where nothing is to be done", async () => {
    const source = at("bf16", [2]);
    expect(castSource(source, "bf16", read)).toBe(source);
    const lazy = castSource(source, "f32", read);
    expect(lazy).toMatchObject({ dtype: "f32", shape: [2] });
    expect(await loadSource(lazy, read)).toEqual(f32([2], [1, -2]));
    expect(await loadSource(castSource(lazy, "f16", read), read)).toEqual(
      castFloat(f32([2], [1, -2]), "f16"),
    );
  });

  test.each(["i64", "f8_e4m3", "bool"] as const)("refuses %s", (dtype) =>
    expect(() => castSource(at(dtype, [1]), "f32", read)).toThrow(CheckpointError),
  );

  test("takes f64 as a source", async () => {
    const wide = fromBytes("f64", [1], new Uint8Array(Float64Array.of(0.5).buffer));
    expect(await loadSource(castSource(wide, "f32", read), read)).toEqual(f32([1], [0.5]));
  });
});
