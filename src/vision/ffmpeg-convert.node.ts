import type { FilterContext, FilterGraph, Frame } from "node-av/lib";
import type { Ffmpeg } from "./ffmpeg.node.ts";
import type { RgbImage } from "./image.ts";

/** Clockwise quarter turns, 0 to 3. */
export type QuarterTurns = 0 | 1 | 2 | 3;

/** Filters that turn a picture clockwise. */
const TURNS: Readonly<Record<QuarterTurns, readonly string[]>> = {
  0: [],
  1: ["transpose=clock"],
  2: ["hflip", "vflip"],
  3: ["transpose=cclock"],
};

/**
 * How a display matrix (nine int32 of a track header, native byte order) turns the picture. As decord does: quarter
 * turns only, mirror images and other angles are shown as they are stored.
 */
export function quarterTurns(matrix: Uint8Array | null): QuarterTurns {
  if (!matrix || matrix.length < 36) return 0;
  const m = new Int32Array(matrix.slice(0, 36).buffer);
  const degrees =
    (Math.atan2(m[1]! / Math.hypot(m[1]!, m[4]!), m[0]! / Math.hypot(m[0]!, m[3]!)) * 180) / Math.PI;
  const turns = degrees / 90;
  return Math.abs(turns - Math.round(turns)) < 0.01 ? (((Math.round(turns) + 4) % 4) as QuarterTurns) : 0;
}

/**
 * Makes decoded frames RGB by FFmpeg's own conversion, in the same filters as decord, which read the published models'
 * videos: matrix and range as the frame says (BT.601 and limited where it does not), then turned upright.
 */
export class FrameConverter {
  readonly #ffmpeg: Ffmpeg;
  readonly #size: string;
  readonly #turns: QuarterTurns;
  readonly #out: Frame;
  /** What the filters were made for; videos may change it on the way. */
  #made = "";
  #graph: FilterGraph | undefined;
  #source: FilterContext | undefined;
  #sink: FilterContext | undefined;

  /** `stored`: the size of all results before they are turned. */
  constructor(
    ffmpeg: Ffmpeg,
    stored: { readonly width: number; readonly height: number },
    turns: QuarterTurns,
  ) {
    this.#ffmpeg = ffmpeg;
    this.#turns = turns;
    this.#size = turns % 2 === 0 ? `${stored.width}:${stored.height}` : `${stored.height}:${stored.width}`;
    this.#out = new ffmpeg.lib.Frame();
    this.#out.alloc();
  }

  /** The frame as RGB, or undefined where FFmpeg cannot convert it. `frame` is left as it was. */
  async convert(frame: Frame): Promise<RgbImage | undefined> {
    const { AV_BUFFERSRC_FLAG_KEEP_REF } = this.#ffmpeg.constants;
    if (!(await this.#configure(frame))) return undefined;
    if ((await this.#source!.buffersrcAddFrame(frame, AV_BUFFERSRC_FLAG_KEEP_REF)) < 0) return undefined;
    if ((await this.#sink!.buffersinkGetFrame(this.#out)) < 0) return undefined;
    const { width, height } = this.#out;
    const bytes = this.#out.toBuffer();
    this.#out.unref();
    if (bytes.length !== width * height * 3) return undefined;
    return { width, height, data: new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length) };
  }

  close(): void {
    this.#graph?.free();
    this.#out.free();
  }

  async #configure(frame: Frame): Promise<boolean> {
    const { width, height, format, colorSpace, colorRange } = frame;
    const input = `video_size=${width}x${height}:pix_fmt=${format}:time_base=1/1:colorspace=${colorSpace}:range=${colorRange}`;
    if (input === this.#made) return true;
    const { FilterGraph, Filter } = this.#ffmpeg.lib;
    this.#graph?.free();
    this.#made = "";
    const graph = new FilterGraph();
    graph.alloc();
    this.#graph = graph;
    const make = (text: string) => {
      const [name = "", ...args] = text.split("=");
      const filter = Filter.getByName(name);
      return filter && graph.createFilter(filter, `${name}${graph.nbFilters}`, args.join("=") || null);
    };
    const steps = [
      `buffer=${input}`,
      ...TURNS[this.#turns],
      `scale=${this.#size}`,
      "format=rgb24",
      "buffersink",
    ];
    const chain = steps.map(make).filter((step) => step !== null);
    if (chain.length < steps.length) return false;
    if (chain.slice(1).some((step, i) => chain[i]!.link(0, step, 0) < 0)) return false;
    if ((await graph.config()) < 0) return false;
    this.#source = chain[0]!;
    this.#sink = chain.at(-1)!;
    this.#made = input;
    return true;
  }
}
