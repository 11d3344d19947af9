/**
 * How weights are kept. "f32", "f16", "bf16": rounded so, computed in f32; the CPU runtime widens the matrices once,
 * when it makes a session, so that in memory they take the place of f32 whatever is chosen. "w8", "w4": the linear
 * layers of towers, projectors and language models are block-quantised and multiplied with int8 activations; everything
 * else stays as in the file. This is what saves memory. All have 8 bits in "w8"; in "w4" those of the language model (and
 * of InternVL-C's text tower) but for its head have 4. "w8a8": 8-bit weights with one scale an output, 8-bit activations
 * with one scale a row: for processors that multiply int8 (VNNI, AMX), and coarser than "w8". Bytes of the process's own
 * memory for each weight of a bf16 file, two sessions included, measured with InternVL2-1B's 0.9 billion on one thread:
 * 4.2 as in the file, 4.1 in "f32"; for each weight that is quantised 1.3 in 8 bits, 1.0 in 4. Mapped pages are apart: the
 * file's, and those of the temporary file where weights lie that were made (see NativeWeights).
 */
export type Precision = "f32" | "f16" | "bf16" | QuantizedPrecision;
export type QuantizedPrecision = (typeof QUANTIZED_PRECISIONS)[number];

export const QUANTIZED_PRECISIONS = ["w8", "w4", "w8a8"] as const;
export const PRECISIONS: readonly Precision[] = ["f32", "f16", "bf16", ...QUANTIZED_PRECISIONS];

export const isQuantizedPrecision = (precision: Precision | undefined): precision is QuantizedPrecision =>
  (QUANTIZED_PRECISIONS as readonly (Precision | undefined)[]).includes(precision);
