import { FRAME_COUNTS } from "../../vision/frame-sampling.ts";

/** What the user has chosen for all conversations. */
export interface Settings {
  /** Frames that are taken of a video. */
  readonly frames: number;
  /** Most tiles of a picture; undefined: as many as the model takes. */
  readonly tiles: number | undefined;
  /** What a server that asks for a key is sent; "" for none. */
  readonly key: string;
}

/** What can be chosen; the first of the tiles is the model's own number. */
export const CHOICES = { frames: [4, 8, 16, 32], tiles: [undefined, 1, 4, 6, 12, 24] } as const;

const DEFAULTS: Settings = { frames: FRAME_COUNTS.demo, tiles: undefined, key: "" };

const NAME = "internvl.chat";

/** The settings of this browser, kept in it for this server alone. Where it keeps nothing they last as long as the page. */
export class ChatSettings {
  #now: Settings;

  constructor(readonly storage: () => Pick<Storage, "getItem" | "setItem"> = () => localStorage) {
    this.#now = readSettings(this.#kept());
  }

  get now(): Settings {
    return this.#now;
  }

  change(change: Partial<Settings>): void {
    this.#now = { ...this.#now, ...change };
    try {
      this.storage().setItem(NAME, JSON.stringify(this.#now));
    } catch {
      // Switched off, or full: see above.
    }
  }

  #kept(): string | null {
    try {
      return this.storage().getItem(NAME);
    } catch {
      return null;
    }
  }
}

/** Settings from their text; what is not one of the choices is the default. */
export function readSettings(text: string | null): Settings {
  let kept: Partial<Record<keyof Settings, unknown>> | null;
  try {
    kept = JSON.parse(text ?? "null");
  } catch {
    return DEFAULTS;
  }
  return {
    frames: CHOICES.frames.find((n) => n === kept?.frames) ?? DEFAULTS.frames,
    tiles: CHOICES.tiles.find((n) => n === kept?.tiles),
    key: typeof kept?.key === "string" ? kept.key : DEFAULTS.key,
  };
}
