import { C_KEYS, NATIVE_KEYS, VISION_KEYS } from "./internvl-c-keys.ts";
import { CHAT_KEYS, NATIVE_CHAT_KEYS, PREFIXED_CHAT_KEYS } from "./internvl-chat-keys.ts";
import type { KeyMap } from "./key-map.ts";

export type LayoutName = "14b" | "c" | "c-vision" | "vision" | "chat" | "hf" | "hf-prefixed";

/** A way in which published files name their tensors. */
export interface Layout {
  readonly name: LayoutName;
  /** As messages call it. */
  readonly title: string;
  /** To our names. */
  readonly keys: KeyMap;
  /** A file has this layout when it holds one of these keys and none of an earlier layout's. */
  readonly marks: readonly string[];
}

export const LAYOUTS: readonly Layout[] = [
  {
    name: "hf",
    title: "transformers-native (-hf)",
    keys: NATIVE_CHAT_KEYS,
    marks: ["vision_tower.embeddings.cls_token"],
  },
  {
    name: "hf-prefixed",
    title: "transformers-native (-hf) with prefixes",
    keys: PREFIXED_CHAT_KEYS,
    marks: ["model.vision_tower.embeddings.cls_token"],
  },
  {
    name: "chat",
    title: "InternVL-Chat",
    keys: CHAT_KEYS,
    marks: ["", "base_model.model."].flatMap((adapted) =>
      ["embed_tokens", "tok_embeddings"].map((table) => `language_model.${adapted}model.${table}.weight`),
    ),
  },
  {
    name: "14b",
    title: "InternVL-14B",
    keys: NATIVE_KEYS,
    marks: ["vision_model.embeddings.class_embedding", "qllama.model.embed_tokens.weight"],
  },
  { name: "c", title: "stand-alone InternVL-C", keys: C_KEYS, marks: ["transformer.embed_tokens.weight"] },
  { name: "c-vision", title: "InternViT in InternVL-C's names", keys: C_KEYS, marks: ["blocks.0.ls1.gamma"] },
  {
    name: "vision",
    title: "stand-alone InternViT",
    keys: VISION_KEYS,
    marks: ["embeddings.class_embedding"],
  },
];

/** The layout whose marks are among `keys`, or undefined. */
export function detectLayout(keys: Iterable<string>): Layout | undefined {
  const held = new Set(keys);
  return LAYOUTS.find((layout) => layout.marks.some((mark) => held.has(mark)));
}

interface Structure {
  readonly name: string;
  /** Width, layers and rows of the position table of InternViT. */
  readonly vision: readonly [width: number, layers: number, positions: number];
  /** Width and layers of the text encoder. */
  readonly text?: readonly [width: number, layers: number];
}

const PUBLISHED: readonly Structure[] = [
  { name: "InternVL-14B-224px", vision: [3200, 48, 257], text: [4096, 32] },
  { name: "InternViT-6B-224px", vision: [3200, 48, 257] },
  { name: "InternViT-6B-448px-V1-5", vision: [3200, 45, 1025] },
  { name: "InternViT-300M-448px", vision: [1024, 24, 1025] },
];

/**
 * The published model with the structure of these tensors (names as ours), or undefined. For files that come without
 * a `config.json`: the number of heads and the like cannot be read off shapes.
 */
export function publishedStructure(
  tensors: ReadonlyMap<string, { readonly shape: readonly number[] }>,
): string | undefined {
  const layers = (prefix: string) => {
    let n = 0;
    while (tensors.has(`${prefix}.${n}.mlp.fc1.weight`) || tensors.has(`${prefix}.${n}.mlp.up_proj.weight`))
      n++;
    return n;
  };
  const [, positions, width] = tensors.get("vision_model.embeddings.position_embedding")?.shape ?? [];
  const vision = [width, layers("vision_model.encoder.layers"), positions].join();
  const textWidth = tensors.get("qllama.model.embed_tokens.weight")?.shape[1];
  const text = textWidth === undefined ? undefined : [textWidth, layers("qllama.model.layers")].join();
  return PUBLISHED.find((p) => p.vision.join() === vision && p.text?.join() === text)?.name;
}
