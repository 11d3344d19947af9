/** Bounds on what a request may ask for. */
export interface Limits {
  /** Bytes of an uploaded picture. */
  readonly uploadBytes: number;
  /** Bytes of an uploaded SVG, unpacked: its size is what drawing it may cost. */
  readonly svgBytes: number;
  /** Pixels of an uploaded picture. */
  readonly uploadPixels: number;
  /** Bytes of a JSON body. */
  readonly jsonBytes: number;
  /** Results per request. */
  readonly k: number;
  readonly offset: number;
  readonly queryCharacters: number;
  readonly labels: number;
  /** Pictures classified by one request. */
  readonly classified: number;
  /** Requests that use the model at the same time, and those that may wait for it. */
  readonly concurrent: number;
  readonly waiting: number;
  /** Requests with an uploaded picture at the same time: each holds its body in memory until it is answered. */
  readonly uploads: number;
  /** Open connections of all kinds; more are closed at once. */
  readonly connections: number;
  /** Open event streams. */
  readonly eventStreams: number;
  readonly requestMs: number;
  readonly chat: ChatLimits;
}

/** Bounds on what the OpenAI-compatible routes take. */
export interface ChatLimits {
  /** Bytes of a request's body, pictures as data URLs among them. */
  readonly bodyBytes: number;
  readonly messages: number;
  /** Characters of all texts of a request. */
  readonly characters: number;
  readonly pictures: number;
  readonly videos: number;
  /** Frames of all videos of a request. */
  readonly frames: number;
  /** Frames with more pixels are shrunk as soon as they are decoded. */
  readonly framePixels: number;
  /** Bytes of a video. */
  readonly videoBytes: number;
  readonly videoSeconds: number;
  /** Longest time for each of a video's download, opening and decoding. */
  readonly videoMs: number;
  /** Videos that are downloaded and decoded at the same time. */
  readonly videoReads: number;
  /** Bytes that decoded pictures and frames of all requests, answered and waiting, may take together. */
  readonly pictureBytes: number;
  /** Answers to one request: `n`, times the prompts of a completion. */
  readonly answers: number;
  /** Texts that one request may have embedded. */
  readonly embedded: number;
  /** Requests that may wait for one model. */
  readonly waiting: number;
  /** From a request's arrival to the end of its answer. */
  readonly answerMs: number;
  /** What may wait for a reader that is slower than the model, and how long such a reader may take nothing. */
  readonly bufferedBytes: number;
  readonly stalledMs: number;
  /**
   * So long a stream's failure still has a status of its own; then the stream begins without its first token, so that no
   * proxy gives it up.
   */
  readonly silentMs: number;
  /** Pictures and videos that are downloaded at the same time, and the time that each picture may take. */
  readonly downloads: number;
  readonly downloadMs: number;
}

export const LIMITS: Limits = {
  uploadBytes: 32 * 2 ** 20,
  svgBytes: 2 * 2 ** 20,
  uploadPixels: 64e6,
  jsonBytes: 256 * 2 ** 10,
  k: 1000,
  offset: 8_999,
  queryCharacters: 1000,
  labels: 100,
  classified: 64,
  concurrent: 2,
  waiting: 32,
  uploads: 4,
  connections: 512,
  eventStreams: 32,
  requestMs: 60_000,
  chat: {
    bodyBytes: 64 * 2 ** 20,
    messages: 1000,
    characters: 400_000,
    pictures: 64,
    videos: 16,
    frames: 256,
    framePixels: 2 ** 21,
    videoBytes: 256 * 2 ** 20,
    videoSeconds: 7200,
    videoMs: 60_000,
    videoReads: 2,
    pictureBytes: 2 ** 30,
    answers: 8,
    embedded: 256,
    waiting: 64,
    answerMs: 600_000,
    bufferedBytes: 256 * 2 ** 10,
    stalledMs: 30_000,
    silentMs: 10_000,
    downloads: 4,
    downloadMs: 10_000,
  },
};
