/** An f32 matrix in NumPy's `.npy` format, version 1.0 (NEP 1): header, then rows in C order, little-endian. */
export function npyBytes(rows: number, columns: number, data: Float32Array): Uint8Array {
  const MAGIC = "\x93NUMPY\x01\x00";
  const dict = `{'descr': '<f4', 'fortran_order': False, 'shape': (${rows}, ${columns}), }`;
  // The data starts at a multiple of 64 bytes; the header ends in a newline.
  const start = Math.ceil((MAGIC.length + 2 + dict.length + 1) / 64) * 64;
  const headerLength = start - MAGIC.length - 2;
  const out = new Uint8Array(start + 4 * rows * columns);
  const text = (at: number, s: string) =>
    out.set(
      Uint8Array.from(s, (c) => c.charCodeAt(0)),
      at,
    );
  text(0, MAGIC);
  new DataView(out.buffer).setUint16(MAGIC.length, headerLength, true);
  text(MAGIC.length + 2, `${dict.padEnd(headerLength - 1)}\n`);
  out.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), start);
  return out;
}
