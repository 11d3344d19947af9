import { f32, type HostTensor } from "../core/array.ts";
import { ConfigError } from "../core/errors.ts";

/** How a published configuration stretches the rotary angles beyond the length that a model was trained with. */
export type RopeScaling =
  | { readonly type: "linear"; readonly factor: number }
  /** NTK-aware: the base grows with the sequence, beyond max_position_embeddings only. */
  | { readonly type: "dynamic"; readonly factor: number }
  /** Phi-3's LongRoPE: a divisor for each frequency, one list for short sequences and one for long ones. */
  | {
      readonly type: "su";
      readonly short_factor: readonly number[];
      readonly long_factor: readonly number[];
      readonly original_max_position_embeddings: number;
    }
  /** Llama 3.1: wavelengths above the trained length / low_freq_factor are stretched, those below / high_freq_factor stay. */
  | {
      readonly type: "llama3";
      readonly factor: number;
      readonly low_freq_factor: number;
      readonly high_freq_factor: number;
      readonly original_max_position_embeddings: number;
    }
  /** YaRN (arXiv:2309.00071): high frequencies stay, low ones are divided by the factor, a ramp between them. */
  | {
      readonly type: "yarn";
      readonly factor: number;
      readonly beta_fast: number;
      readonly beta_slow: number;
      readonly truncate: boolean;
      readonly original_max_position_embeddings: number;
    };

export interface RopeConfig {
  readonly rope_theta: number;
  /** d, the channels of a head. */
  readonly head_dim: number;
  readonly max_position_embeddings: number;
  readonly scaling?: RopeScaling;
}

export interface RotaryTable {
  /** [length, d/2] each. */
  readonly cos: HostTensor<"f32">;
  readonly sin: HostTensor<"f32">;
}

/**
 * cos and sin of the rotary angles of positions 0 … length − 1, for a sequence that will hold `total` positions
 * (default: length): with "dynamic" and "su" the angles depend on it. Frequencies are rounded to f32 as in the
 * references, angles are not. All are multiplied by `factor`. Throws a ConfigError for factors of the configuration that do
 * not fit the head's width.
 */
export function rotaryTable(config: RopeConfig, length: number, total = length, factor = 1): RotaryTable {
  const half = config.head_dim / 2;
  const frequencies = inverseFrequencies(config, total).map(Math.fround);
  const scale = magnitude(config) * factor;
  const table = (f: (x: number) => number) =>
    f32(
      [length, half],
      Float32Array.from(
        { length: length * half },
        (_, i) => scale * f(Math.floor(i / half) * frequencies[i % half]!),
      ),
    );
  return { cos: table(Math.cos), sin: table(Math.sin) };
}

/** A number for the angles of sequences of `total` positions: {@link rotaryTable} gives equal ones for equal numbers. */
export function rotaryStretch({ scaling, max_position_embeddings }: RopeConfig, total: number): number {
  if (scaling?.type === "dynamic") return total <= max_position_embeddings ? 0 : total;
  return scaling?.type === "su" && total > scaling.original_max_position_embeddings ? 1 : 0;
}

function inverseFrequencies(config: RopeConfig, total: number): number[] {
  const { head_dim: d, rope_theta, max_position_embeddings, scaling } = config;
  if (!Number.isInteger(d) || d % 2 !== 0)
    throw new ConfigError(`rotary angles: the width of a head must be even, found ${d}`);
  const powers = (base: number) => Array.from({ length: d / 2 }, (_, i) => base ** -((2 * i) / d));
  const plain = powers(rope_theta);
  switch (scaling?.type) {
    case undefined:
      return plain;
    case "linear":
      return plain.map((f) => f / scaling.factor);
    case "llama3": {
      const { factor, low_freq_factor: low, high_freq_factor: high } = scaling;
      return plain.map((f) => {
        const turns = (scaling.original_max_position_embeddings * f) / (2 * Math.PI);
        const ramp = Math.min(Math.max((turns - low) / (high - low), 0), 1);
        return (f / factor) * (1 - ramp) + f * ramp;
      });
    }
    case "dynamic": {
      const { factor } = scaling;
      if (total <= max_position_embeddings) return plain;
      const stretch = (factor * total) / max_position_embeddings - (factor - 1);
      return powers(rope_theta * stretch ** (d / (d - 2)));
    }
    case "su": {
      const isLong = total > scaling.original_max_position_embeddings;
      const factors = isLong ? scaling.long_factor : scaling.short_factor;
      if (factors.length !== d / 2)
        throw new ConfigError(
          `rope_scaling: ${isLong ? "long" : "short"}_factor must hold ${d / 2} numbers, half the width of a head; found ${factors.length}`,
        );
      return plain.map((f, i) => f / factors[i]!);
    }
    case "yarn":
      return yarn(plain, config, scaling);
  }
}

function yarn(
  plain: readonly number[],
  { head_dim: d, rope_theta }: RopeConfig,
  scaling: Extract<RopeScaling, { type: "yarn" }>,
): number[] {
  const { factor, beta_fast, beta_slow, truncate, original_max_position_embeddings: trained } = scaling;
  // The channel pair that turns `rotations` times over the trained length.
  const pair = (rotations: number) =>
    (d * Math.log(trained / (rotations * 2 * Math.PI))) / (2 * Math.log(rope_theta));
  const [fast, slow] = [pair(beta_fast), pair(beta_slow)];
  const low = Math.max(truncate ? Math.floor(fast) : fast, 0);
  const high = Math.min(truncate ? Math.ceil(slow) : slow, d - 1);
  const span = high === low ? 0.001 : high - low;
  return plain.map((f, i) => {
    const ramp = Math.min(Math.max((i - low) / span, 0), 1);
    return (f / factor) * ramp + f * (1 - ramp);
  });
}

/** The factor on cos and sin. */
function magnitude({ scaling, max_position_embeddings }: RopeConfig): number {
  if (scaling?.type === "yarn") return scaling.factor <= 1 ? 1 : 0.1 * Math.log(scaling.factor) + 1;
  if (scaling?.type !== "su") return 1;
  const trained = scaling.original_max_position_embeddings;
  const stretch = max_position_embeddings / trained;
  return stretch <= 1 ? 1 : Math.sqrt(1 + Math.log(stretch) / Math.log(trained));
}
