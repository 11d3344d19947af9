import { f32, type HostTensor } from "../core/array.ts";
import { input } from "../graph/tensor.ts";
import type { InternVLChat } from "../models/internvl_chat.ts";
import { normalizePixels } from "../models/pixels.ts";
import { emit } from "../onnx/emit.ts";
import { fuse } from "../onnx/fuse.ts";
import { Gate } from "../runtime/gate.ts";
import type { Runtime, Session, WeightSet } from "../runtime/runtime.ts";
import type { RgbImage } from "../vision/image.ts";
import { packU8 } from "../vision/normalize.ts";
import type { PositionKey } from "./cache-rows.ts";
import type { Prompt } from "./sequence.ts";

/** A picture as image tokens of the language model. */
export interface PictureTokens {
  /** Tells pictures apart: a hash of the tiles. */
  readonly key: string;
  /** [tiles · T, D] */
  readonly tokens: HostTensor<"f32">;
}

/** Pictures in the places of a prompt, which are as many as their tokens: one after the other, where `placeId` stands. */
export function placePictures(
  ids: readonly number[],
  placeId: number,
  seen: readonly PictureTokens[],
): { readonly keys: readonly PositionKey[]; readonly images: NonNullable<Prompt["images"]> } {
  const width = seen[0]!.tokens.shape[1]!;
  const data = new Float32Array(seen.reduce((sum, { tokens }) => sum + tokens.data.length, 0));
  const keys: string[] = [];
  for (const { key, tokens } of seen) {
    data.set(tokens.data, keys.length * width);
    for (let i = 0; i < tokens.shape[0]!; i++) keys.push(`${key}/${i}`);
  }
  let next = 0;
  const rows = ids.map((id) => (id === placeId ? next++ : -1));
  return {
    keys: ids.map((id, i) => (rows[i]! < 0 ? id : keys[rows[i]!]!)),
    images: { tokens: f32([keys.length, width], data), rows },
  };
}

/** Bytes of image tokens that are kept: those of earlier turns are needed in every following one. */
const KEPT_BYTES = 256 * 2 ** 20;

/** The vision tower with its projector; remembers the pictures that it saw last. */
export class PictureEncoder implements AsyncDisposable {
  /** Least recently used first. */
  readonly #known = new Map<string, PictureTokens>();
  #bytes = 0;
  /** One picture at a time: activations take more memory than pictures. */
  readonly #gate = new Gate(1);

  private constructor(
    readonly model: InternVLChat,
    readonly session: Session,
  ) {}

  static async create(
    runtime: Runtime,
    model: InternVLChat,
    weights: WeightSet,
    options: {
      readonly threads?: number;
      /** See {@link attendsManyRows}; default true. */
      readonly manyRows?: boolean;
    } = {},
  ): Promise<PictureEncoder> {
    const { manyRows = true, ...session } = options;
    const S = model.imageSize;
    const tiles = model.encodeTiles(normalizePixels(input("tiles", "u8", ["N", S, S, 3])));
    const { bytes } = emit(fuse({ tokens: tiles }, { attention: manyRows }));
    return new PictureEncoder(model, await runtime.session(bytes, { weights, ...session }));
  }

  /** The tokens of a picture that was cut into tiles. */
  async encode(
    tiles: readonly RgbImage[],
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<PictureTokens> {
    return await this.#gate.run(() => this.#encode(tiles, options), options.signal);
  }

  async #encode(
    tiles: readonly RgbImage[],
    options: { readonly signal?: AbortSignal },
  ): Promise<PictureTokens> {
    const pixels = packU8(tiles);
    const digest = await crypto.subtle.digest("SHA-256", pixels.data as Uint8Array<ArrayBuffer>);
    const key = Array.from(new Uint8Array(digest, 0, 12), (b) => b.toString(16).padStart(2, "0")).join("");
    const known = this.#known.get(key);
    if (known) {
      this.#known.delete(key);
      this.#known.set(key, known);
      return known;
    }
    const width = this.model.language_model.shape.hidden_size;
    const rows = this.model.tokensPerTile;
    const data = new Float32Array(tiles.length * rows * width);
    // One a run: activations of several do not stay in the processor's caches.
    for (const [i, tile] of tiles.entries()) {
      options.signal?.throwIfAborted();
      const { tokens } = await this.session.run({ tiles: packU8([tile]) }, options);
      data.set(tokens!.data as Float32Array, i * rows * width);
    }
    const made = { key, tokens: f32([tiles.length * rows, width], data) };
    this.#keep(made);
    return made;
  }

  #keep(made: PictureTokens): void {
    this.#known.set(made.key, made);
    this.#bytes += made.tokens.data.byteLength;
    for (const [key, { tokens }] of this.#known) {
      if (this.#bytes <= KEPT_BYTES || key === made.key) return;
      this.#known.delete(key);
      this.#bytes -= tokens.data.byteLength;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.session[Symbol.asyncDispose]();
  }
}
