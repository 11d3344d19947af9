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
};
