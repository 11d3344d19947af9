import { ApiError } from "./api-error.ts";

/** The memory that decoded pictures may take: requests are admitted while there is room. */
export class PictureMemory {
  #taken = 0;

  constructor(readonly bytes: number) {}

  get taken(): number {
    return this.#taken;
  }

  /** What one request takes; nothing yet. */
  share(): PictureShare {
    return new PictureShare(this, (bytes) => {
      this.#taken += bytes;
    });
  }
}

/** The memory of one request's pictures; disposing of it gives it back. */
export class PictureShare implements Disposable {
  #own = 0;

  constructor(
    readonly memory: PictureMemory,
    readonly change: (bytes: number) => void,
  ) {}

  /** Throws a 413 for what would never fit, a 503 for what does not fit now. */
  take(bytes: number, param: string): void {
    const { memory } = this;
    if (this.#own + bytes > memory.bytes)
      throw new ApiError(
        413,
        `${param}: the pictures of this request take more than ${memory.bytes} bytes decoded; send fewer or smaller ones`,
        { param },
      );
    if (memory.taken + bytes > memory.bytes)
      throw new ApiError(
        503,
        "there is no memory for more pictures until other requests are answered; try again in a moment",
        { code: "overloaded" },
        { "Retry-After": "5" },
      );
    this.#own += bytes;
    this.change(bytes);
  }

  [Symbol.dispose](): void {
    this.change(-this.#own);
    this.#own = 0;
  }
}
