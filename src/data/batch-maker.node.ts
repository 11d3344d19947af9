import { MediaError } from "../core/errors.ts";
import { Rng } from "../core/rng.ts";
import { type Augmentation, augment } from "../vision/augment.ts";
import type { DecodeOptions } from "../vision/decode.node.ts";
import type { RgbImage } from "../vision/image.ts";
import { loadShorterSide } from "../vision/preprocess.node.ts";
import { resize } from "../vision/resize.ts";
import { type CacheMemory, PictureCache } from "./picture-cache.ts";

/** Everything a thread needs to make batches; survives structured cloning. */
export interface BatchWork {
  /** Undefined: a white picture. */
  readonly paths: readonly (string | undefined)[];
  readonly groups: Int32Array;
  /** Items of weight 0 never take the place of a broken one. */
  readonly weights: Float64Array;
  readonly size: number;
  /** Pictures are kept with at most this shorter side. */
  readonly storeSide: number;
  /** Absent: pictures are squashed whole. */
  readonly augmentation?: Augmentation;
  readonly seed: string;
  readonly decoding: DecodeOptions;
  readonly cache: CacheMemory;
}

export interface BrokenItem {
  readonly item: number;
  readonly reason: string;
}

/** u8 pixels [B, size, size, 3], and the items that were really used. */
export interface MadeBatch {
  readonly step: number;
  readonly pixels: Uint8Array<ArrayBuffer>;
  readonly items: Int32Array;
  /** Items found broken while this batch was made, with reasons. */
  readonly broken: readonly BrokenItem[];
}

const white = (side: number): RgbImage => ({
  width: side,
  height: side,
  data: new Uint8Array(side * side * 3).fill(255),
});

/** Pictures decoded at the same time by one maker; more would take the training step's cores. */
const DECODING_AT_ONCE = 2;

/** Decodes and augments the pictures of planned batches. What it makes depends on the plan, step and seed only. */
export class BatchMaker {
  readonly #work: BatchWork;
  readonly #cache: PictureCache;

  constructor(work: BatchWork) {
    this.#work = work;
    this.#cache = new PictureCache(work.cache);
  }

  /** Throws a MediaError when not enough pictures can be decoded to fill the batch. */
  async make(step: number, planned: Int32Array): Promise<MadeBatch> {
    const broken: BrokenItem[] = [];
    const pictures = await this.#loadAll(planned, broken);
    const items = await this.#replaceBroken(planned.slice(), pictures, broken);
    const { size, augmentation, seed } = this.#work;
    const rng = new Rng(seed).fork(`augment/${step}`);
    const bytes = size * size * 3;
    const pixels = new Uint8Array(items.length * bytes);
    pictures.forEach((picture, slot) => {
      const view = augmentation
        ? augment(picture!, size, augmentation, rng.fork(slot))
        : resize(picture!, size, size, { filter: "bicubic" });
      pixels.set(view.data, slot * bytes);
    });
    return { step, pixels, items, broken };
  }

  async #loadAll(items: Int32Array, broken: BrokenItem[]): Promise<(RgbImage | undefined)[]> {
    const pictures = new Array<RgbImage | undefined>(items.length).fill(undefined);
    let next = 0;
    const worker = async () => {
      while (next < items.length) {
        const slot = next++;
        pictures[slot] = await this.#load(items[slot]!, broken);
      }
    };
    await Promise.all(Array.from({ length: DECODING_AT_ONCE }, worker));
    return pictures;
  }

  async #load(item: number, broken: BrokenItem[]): Promise<RgbImage | undefined> {
    const kept = this.#cache.get(item);
    if (kept !== undefined) return kept === "broken" ? undefined : kept;
    const { paths, size, storeSide, decoding } = this.#work;
    const path = paths[item];
    if (path === undefined) return white(size);
    try {
      const picture = await loadShorterSide(path, storeSide, decoding);
      this.#cache.put(item, picture);
      return picture;
    } catch (e) {
      if (!(e instanceof MediaError)) throw e;
      this.#cache.markBroken(item);
      broken.push({ item, reason: e.message });
      return undefined;
    }
  }

  /** Fills the slots of broken items with the items that follow them in the manifest, and returns the final items. */
  async #replaceBroken(
    items: Int32Array,
    pictures: (RgbImage | undefined)[],
    broken: BrokenItem[],
  ): Promise<Int32Array> {
    const lost = pictures.flatMap((p, slot) => (p === undefined ? [slot] : []));
    const used = new Set(items);
    const groups = new Set(Array.from(items, (i) => this.#work.groups[i]!));
    for (const slot of lost) {
      const spare =
        (await this.#findSpare(
          items[slot]!,
          (i) => !used.has(i) && !groups.has(this.#work.groups[i]!),
          broken,
        )) ??
        (await this.#findSpare(items[slot]!, (i) => !used.has(i), broken)) ??
        (await this.#findSpare(items[slot]!, () => true, broken));
      if (!spare)
        throw new MediaError(
          `training batches: expected pictures that can be decoded, found none among ${this.#work.paths.length} items; ${broken[0] ? `the first: ${broken[0].reason}` : "their reasons were reported before"}`,
        );
      pictures[slot] = spare.picture;
      items[slot] = spare.item;
      used.add(spare.item);
      groups.add(this.#work.groups[spare.item]!);
    }
    return items;
  }

  async #findSpare(
    after: number,
    fits: (item: number) => boolean,
    broken: BrokenItem[],
  ): Promise<{ item: number; picture: RgbImage } | undefined> {
    const count = this.#work.paths.length;
    for (let k = 1; k < count; k++) {
      const item = (after + k) % count;
      if (this.#work.weights[item] === 0 || !fits(item)) continue;
      const picture = await this.#load(item, broken);
      if (picture) return { item, picture };
    }
    return undefined;
  }
}
