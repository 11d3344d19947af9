import { availableParallelism } from "node:os";
import type { CodecContext, FormatContext, Frame, Packet, Stream } from "node-av/lib";
import { MediaError } from "../core/errors.ts";
import { type Ffmpeg, loadFfmpeg } from "./ffmpeg.node.ts";
import { FrameConverter, quarterTurns } from "./ffmpeg-convert.node.ts";
import { type FrameIndex, indexPackets, type PacketTimes } from "./frame-index.ts";
import type { RgbImage } from "./image.ts";
import type { VideoInfo, VideoSource } from "./video-types.ts";

export interface FfmpegOptions {
  readonly maxPixels: number;
  readonly maxFrames: number;
}

/** Decoders that may see a file's bytes, as FFmpeg calls their codecs. */
const CODECS = ["H264", "HEVC", "VP8", "VP9", "AV1"] as const;

/** Units of a container's duration. */
const MICROSECONDS = 1e6;

/** Decoding threads hold a few frames each. */
const MAX_THREADS = 4;

/**
 * Opens an MP4, WebM or Matroska file: its first video stream, the positions of all frames. Files that it refers to
 * are not opened. Throws a MediaError that names the file for anything that is damaged, unsupported or over a limit.
 */
export async function openFfmpegVideo(
  path: string,
  options: FfmpegOptions,
  check: () => void,
): Promise<VideoSource> {
  const ffmpeg = await loadFfmpeg(path);
  const video = new FfmpegVideo(ffmpeg, path, options);
  try {
    await video.open(check);
    return video;
  } catch (e) {
    await video.close();
    throw e;
  }
}

class FfmpegVideo implements VideoSource {
  readonly #ffmpeg: Ffmpeg;
  readonly #name: string;
  readonly #options: FfmpegOptions;
  readonly #format: FormatContext;
  readonly #codec: CodecContext;
  readonly #packet: Packet;
  readonly #frame: Frame;
  #stream!: Stream;
  #converter!: FrameConverter;
  #index!: FrameIndex;
  #info!: VideoInfo;
  /** Where the decoder is: the time of the frame that came out last, in the stream's units. */
  #position = Number.NEGATIVE_INFINITY;
  /** The frame in `#frame` was decoded and not yet passed. */
  #holding = false;
  /** All packets were given to the decoder. */
  #draining = false;
  #opened = false;
  #decoding = false;
  #closed = false;
  /** The native call in progress: what it uses must not be freed before it ends. */
  #pending: Promise<unknown> = Promise.resolve();

  constructor(ffmpeg: Ffmpeg, name: string, options: FfmpegOptions) {
    const { FormatContext, CodecContext, Packet, Frame } = ffmpeg.lib;
    this.#ffmpeg = ffmpeg;
    this.#name = name;
    this.#options = options;
    this.#format = new FormatContext();
    this.#codec = new CodecContext();
    this.#packet = new Packet();
    this.#frame = new Frame();
    this.#packet.alloc();
    this.#frame.alloc();
  }

  get info(): VideoInfo {
    return this.#info;
  }

  get timesS(): Float64Array {
    return this.#index.timesS;
  }

  async open(check: () => void): Promise<void> {
    await this.#openContainer();
    check();
    const { codecpar, avgFrameRate } = this.#stream;
    const { width, height } = codecpar;
    const turns = quarterTurns(codecpar.getCodedSideData(this.#ffmpeg.constants.AV_PKT_DATA_DISPLAYMATRIX));
    this.#checkSize(width, height);
    await this.#openDecoder();
    const { num, den } = this.#stream.timeBase;
    this.#index = indexPackets(this.#name, await this.#readPackets(check), num / den);
    const frames = this.#index.timesS.length;
    const declaredS = Number(this.#format.duration) / MICROSECONDS;
    const durationS = Math.max(declaredS, this.#index.timesS.at(-1)!);
    const fps = avgFrameRate.num > 0 && avgFrameRate.den > 0 ? avgFrameRate.num / avgFrameRate.den : 0;
    const upright = turns % 2 === 0 ? { width, height } : { width: height, height: width };
    this.#converter = new FrameConverter(this.#ffmpeg, { width, height }, turns);
    this.#info = {
      format: this.#format.iformat?.name?.includes("matroska") ? "matroska" : "mp4",
      ...upright,
      // A single picture without a duration has no rate either.
      fps: fps || (durationS > 0 ? frames / durationS : 1),
      frames,
      durationS,
    };
  }

  async decode(index: number, check: () => void): Promise<RgbImage> {
    const target = this.#index.pts[index]!;
    const key = this.#index.keyBefore(target);
    if (target < this.#position || key.pts > this.#position) await this.#seek(key.dts);
    if (await this.#advance(target, check)) return this.#convert();
    // The container's word about key frames was wrong, or the frame cannot be shown by itself: from the beginning.
    await this.#seek(this.#index.firstDts);
    const exact = await this.#advance(target, check);
    // Some frames are never shown (references of VP8): the one that follows stands for them, as in a player.
    if (exact || this.#holding) return this.#convert();
    throw this.#damaged(`no picture for frame ${index} of ${this.#info.frames}`);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#pending.catch(() => {});
    await this.#drain();
    this.#converter?.close();
    this.#frame.free();
    this.#packet.free();
    this.#codec.freeContext();
    if (this.#opened) await this.#format.closeInput();
  }

  async #openContainer(): Promise<void> {
    const { Dictionary } = this.#ffmpeg.lib;
    const { AVMEDIA_TYPE_VIDEO, AVDISCARD_ALL, AV_DISPOSITION_ATTACHED_PIC } = this.#ffmpeg.constants;
    const options = new Dictionary();
    // Only what was recognised by its contents is parsed, and only this file is read.
    options.set("format_whitelist", "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm");
    options.set("protocol_whitelist", "file");
    const opened = await this.#native(this.#format.openInput(`file:${this.#name}`, null, options));
    options.free();
    this.#need(opened, "no readable index");
    this.#opened = true;
    this.#need(await this.#native(this.#format.findStreamInfo(null)), "streams that cannot be understood");
    const streams = this.#format.streams ?? [];
    const video = streams.find(
      (s) => s.codecpar.codecType === AVMEDIA_TYPE_VIDEO && !s.hasDisposition(AV_DISPOSITION_ATTACHED_PIC),
    );
    if (!video)
      throw new MediaError(
        `${this.#name}: expected a video with pictures, found ${streams.length === 0 ? "no streams" : "sound or data only"}; choose another file`,
      );
    for (const stream of streams) if (stream !== video) stream.discard = AVDISCARD_ALL;
    this.#stream = video;
  }

  async #openDecoder(): Promise<void> {
    const { lib, constants } = this.#ffmpeg;
    const { codecpar } = this.#stream;
    const known = CODECS.some((codec) => codecpar.codecId === constants[`AV_CODEC_ID_${codec}`]);
    const decoder = known ? lib.Codec.findDecoder(codecpar.codecId) : null;
    if (!decoder)
      throw new MediaError(
        `${this.#name}: expected H.264, H.265, VP8, VP9 or AV1, found ${lib.avGetCodecName(codecpar.codecId) ?? "an unknown codec"}; convert the video`,
      );
    this.#codec.allocContext3(decoder);
    this.#need(this.#codec.parametersToContext(codecpar), "an unusable description of its codec");
    this.#codec.pktTimebase = this.#stream.timeBase;
    this.#codec.threadCount = Math.min(MAX_THREADS, availableParallelism());
    const options = new lib.Dictionary();
    // Frames may be larger than the header says: the decoder refuses them before it takes memory.
    options.set("max_pixels", String(this.#options.maxPixels));
    const opened = await this.#native(this.#codec.open2(decoder, options));
    options.free();
    this.#need(opened, "a stream that its decoder refuses");
    this.#decoding = true;
  }

  /** The times of all packets. Reads the whole file once, without decoding: frame numbers are known by counting only. */
  async #readPackets(check: () => void): Promise<PacketTimes[]> {
    const { AVERROR_EOF, AV_PKT_FLAG_CORRUPT, AV_PKT_FLAG_DISCARD, AV_NOPTS_VALUE } = this.#ffmpeg.constants;
    const packets: PacketTimes[] = [];
    const { maxFrames } = this.#options;
    const declared = Number(this.#stream.nbFrames);
    const time = (value: bigint) => (value === AV_NOPTS_VALUE ? undefined : Number(value));
    let read = 0;
    for (;;) {
      check();
      const result = await this.#native(this.#format.readFrame(this.#packet));
      if (result === AVERROR_EOF) break;
      this.#need(result, `${read} whole frames and then damage`);
      if (this.#packet.streamIndex === this.#stream.index) {
        read++;
        if (this.#packet.hasFlags(AV_PKT_FLAG_CORRUPT)) throw this.#damaged(`frame ${read} cut off`);
        if (read > maxFrames)
          throw new MediaError(
            `${this.#name}: expected at most ${maxFrames} frames, found more; cut the video or raise maxFrames`,
          );
        const dts = time(this.#packet.dts);
        const pts = time(this.#packet.pts) ?? dts;
        if (pts === undefined) throw this.#damaged(`frame ${read} without a time`);
        // An edit list may hide frames that only others need.
        if (!this.#packet.hasFlags(AV_PKT_FLAG_DISCARD))
          packets.push({
            pts,
            dts: dts ?? pts,
            key: this.#packet.isKeyframe,
          });
      }
      this.#packet.unref();
    }
    if (declared > read) throw this.#damaged(`only ${read} of the ${declared} frames that it declares`);
    if (packets.length === 0) throw this.#damaged("no frames");
    return packets;
  }

  async #seek(dts: number): Promise<void> {
    const { AVSEEK_FLAG_BACKWARD } = this.#ffmpeg.constants;
    await this.#native(this.#drain());
    const { index } = this.#stream;
    this.#need(
      await this.#native(this.#format.seekFrame(index, BigInt(dts), AVSEEK_FLAG_BACKWARD)),
      "no way back to an earlier frame",
    );
    this.#codec.flushBuffers();
    this.#position = Number.NEGATIVE_INFINITY;
    this.#draining = false;
  }

  /**
   * Lets the decoder finish what it has begun. Resetting or freeing it would wait for its threads too, but on this
   * thread.
   */
  async #drain(): Promise<void> {
    const { AVERROR_EAGAIN } = this.#ffmpeg.constants;
    this.#release();
    while (this.#decoding) {
      const received = await this.#codec.receiveFrame(this.#frame);
      if (received >= 0) this.#frame.unref();
      else if (received !== AVERROR_EAGAIN || this.#draining) return;
      else {
        await this.#codec.sendPacket(null);
        this.#draining = true;
      }
    }
  }

  /**
   * Decodes until the frame at `target` is in `#frame` and tells whether it is exactly that one; false with a later
   * frame held, or with none at the end of the file.
   */
  async #advance(target: number, check: () => void): Promise<boolean> {
    while (!this.#holding || this.#position < target) {
      check();
      this.#release();
      if (!(await this.#decodeNext())) return false;
    }
    return this.#position === target;
  }

  /** Puts the next frame in the order of showing into `#frame`; false at the end. */
  async #decodeNext(): Promise<boolean> {
    const { AVERROR_EOF, AVERROR_EAGAIN } = this.#ffmpeg.constants;
    for (;;) {
      const received = await this.#native(this.#codec.receiveFrame(this.#frame));
      if (received === AVERROR_EOF) return false;
      if (received !== AVERROR_EAGAIN) {
        this.#need(received, "a frame that cannot be decoded");
        this.#position = Number(this.#frame.bestEffortTimestamp);
        this.#holding = true;
        return true;
      }
      await this.#feed();
    }
  }

  /** Gives one packet of the stream to the decoder, or the news that there are no more. */
  async #feed(): Promise<void> {
    const { AVERROR_EOF } = this.#ffmpeg.constants;
    for (;;) {
      const read = await this.#native(this.#format.readFrame(this.#packet));
      if (read === AVERROR_EOF) break;
      this.#need(read, "damage between its frames");
      const ours = this.#packet.streamIndex === this.#stream.index;
      const sent = ours ? await this.#native(this.#codec.sendPacket(this.#packet)) : 0;
      this.#packet.unref();
      this.#need(sent, "a frame that cannot be decoded");
      if (ours) return;
    }
    if (!this.#draining) await this.#native(this.#codec.sendPacket(null));
    this.#draining = true;
  }

  async #convert(): Promise<RgbImage> {
    const { width, height } = this.#frame;
    this.#checkSize(width, height);
    const image = await this.#native(this.#converter.convert(this.#frame));
    if (!image) throw this.#damaged(`a picture of ${width}×${height} that cannot be converted`);
    return image;
  }

  #release(): void {
    if (this.#holding) this.#frame.unref();
    this.#holding = false;
  }

  /** Waits for native work; nothing native may be touched any more when the video was closed meanwhile. */
  async #native<T>(work: Promise<T>): Promise<T> {
    this.#pending = work;
    const result = await work;
    if (this.#closed)
      throw new MediaError(
        `${this.#name}: expected to be open while it is read, found it closed; open it again`,
      );
    return result;
  }

  #checkSize(width: number, height: number): void {
    const { maxPixels } = this.#options;
    if (!(width >= 1 && height >= 1)) throw this.#damaged(`frames of ${width}×${height} pixels`);
    if (width * height > maxPixels)
      throw new MediaError(
        `${this.#name}: expected at most ${maxPixels} pixels a frame, found ${width}×${height} = ${width * height}; shrink the video or raise maxPixels`,
      );
  }

  /** Throws where a native call failed; `found` says what that means. */
  #need(result: number, found: string): void {
    if (result < 0) throw this.#damaged(`${found} (${this.#ffmpeg.lib.FFmpegError.strerror(result)})`);
  }

  #damaged(found: string): MediaError {
    return new MediaError(
      `${this.#name}: expected a complete video, found ${found}; replace the file or convert it again`,
    );
  }
}
