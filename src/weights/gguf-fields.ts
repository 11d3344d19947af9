import { CheckpointError } from "../core/errors.ts";
import type { GgufFile, GgufValue } from "./gguf.ts";

/** The numbers of a file's metadata whose keys start with `prefix` and a dot. Throws a CheckpointError for others. */
export class GgufFields {
  constructor(
    readonly file: GgufFile,
    readonly prefix: string,
  ) {}

  /** A whole number that must be there, not negative. */
  int(key: string): number {
    const value = this.#get(key);
    if (typeof value === "number" && Number.isInteger(value) && value >= 0) return value;
    return this.#fail(key, "a whole number", value);
  }

  optionalInt(key: string): number | undefined {
    return this.#get(key) === undefined ? undefined : this.int(key);
  }

  /** A number that must be there, above 0. They are f32 in the file: the shortest decimal that is meant. */
  float(key: string): number {
    const value = this.#get(key);
    if (typeof value === "number" && Number.isFinite(value) && value > 0) return shortest(value);
    return this.#fail(key, "a number above 0", value);
  }

  optionalFloat(key: string): number | undefined {
    return this.#get(key) === undefined ? undefined : this.float(key);
  }

  text(key: string): string | undefined {
    const value = this.#get(key);
    if (value === undefined || typeof value === "string") return value;
    return this.#fail(key, "a text", value);
  }

  #get(key: string): GgufValue | undefined {
    return this.file.metadata.get(`${this.prefix}.${key}`);
  }

  #fail(key: string, wanted: string, found: GgufValue | undefined): never {
    const shown = Array.isArray(found)
      ? "a list"
      : JSON.stringify(typeof found === "bigint" ? `${found}` : found);
    throw new CheckpointError(
      `${this.file.name}: its metadata must give ${this.prefix}.${key} as ${wanted}, found ${shown ?? "nothing"}`,
    );
  }
}

/** 9.999999747378752e-6, which is 1e-5 in f32, -> 1e-5; what is no f32 stays. */
function shortest(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return value;
}
