/**
 * How weights are kept. "f32", "f16", "bf16": rounded so, computed in f32; the CPU runtime widens the matrices once,
 * when it makes a session, so that in memory they take the place of f32 whatever is chosen. "w8", "w4": the linear
 * layers of towers, projectors and language models are block-quantised and multiplied with int8 activations; everything
 * else stays as in the file. This is what saves memory. All have 8 bits in "w8"; in "w4" those of the language model (and
 * of InternVL-C's text tower) but for its head have 4. "w8a8": 8-bit weights with one scale an output, 8-bit activations
 * with one scale a row: for processors that multiply int8 (VNNI, AMX), and coarser than "w8". Bytes for each weight of a
 * bf16 file, two sessions included, measured with 0.3 billion of them on one thread: 4.0 as in the file (its mapped
 * pages apart), 9.2 in "f32" (the runtime's packed copy beside the weights), 1.6 in 8 bits, 1.2 in 4.
 */
export type Precision = "f32" | "f16" | "bf16" | QuantizedPrecision;
export type QuantizedPrecision = (typeof QUANTIZED_PRECISIONS)[number];

export const QUANTIZED_PRECISIONS = ["w8", "w4", "w8a8"] as const;
export const PRECISIONS: readonly Precision[] = ["f32", "f16", "bf16", ...QUANTIZED_PRECISIONS];

export const isQuantizedPrecision = (precision: Precision | undefined): precision is QuantizedPrecision =>
  (QUANTIZED_PRECISIONS as readonly (Precision | undefined)[]).includes(precision);
