const mix = (z: number): number => {
  let x = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
  x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
  return (x ^ (x >>> 15)) >>> 0;
};

/** The language model of fixtures/make_decoding.py: logits [V] from a hash of the ids so far, exact in f32. */
export function toyLogits(
  ids: readonly number[],
  vocab: number,
  eos: readonly number[] = [],
  eosBias = 0,
): Float32Array {
  let h = 0x811c9dc5;
  for (const id of ids) h = mix((h ^ (id + 1)) >>> 0);
  const row = Float32Array.from(
    { length: vocab },
    (_, t) => (mix((h + Math.imul(t, 0x9e3779b9)) >>> 0) >>> 17) / 4096 - 4,
  );
  for (const id of eos) row[id]! += eosBias;
  return row;
}
