import { cachedAttention } from "./cached-attention.ts";
import { at, build, indices, type Nd, withAxis } from "./nd.ts";

/**
 * Independent references of all ops, written from their definitions on double-precision arrays. Attributes are those
 * of the op. One output each; ops with further outputs are checked on the first.
 */
// biome-ignore lint/suspicious/noExplicitAny: attributes differ by op
export type Reference = (x: readonly Nd[], attrs: any) => Nd;

const map =
  (f: (v: number) => number): Reference =>
  ([x]) =>
    build(x!.shape, (i) => f(at(x!, i)));

function broadcast(...shapes: (readonly number[])[]): number[] {
  const rank = Math.max(...shapes.map((s) => s.length));
  return Array.from({ length: rank }, (_, a) => Math.max(...shapes.map((s) => s[a - rank + s.length] ?? 1)));
}

const zip =
  (f: (a: number, b: number) => number): Reference =>
  ([a, b]) =>
    build(broadcast(a!.shape, b!.shape), (i) => f(at(a!, i), at(b!, i)));

const axisOf = (x: Nd, axis: number) => (axis < 0 ? axis + x.shape.length : axis);

/** erf by its Taylor series; exact enough in double precision for |x| < 4. */
export function erf(x: number): number {
  let [term, total] = [x, x];
  for (let n = 1; n < 120; n++) {
    term *= (-x * x) / n;
    total += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * total;
}

const reduce =
  (f: (values: number[]) => number): Reference =>
  ([x], { axes, keepdims }) => {
    const reduced = new Set((axes as number[]).map((a) => axisOf(x!, a)));
    const keptShape = x!.shape.map((d, a) => (reduced.has(a) ? 1 : d));
    const inner = x!.shape.map((d, a) => (reduced.has(a) ? d : 1));
    const out = build(keptShape, (i) =>
      f(
        [...indices(inner)].map((j) =>
          at(
            x!,
            i.map((v, a) => v + j[a]!),
          ),
        ),
      ),
    );
    return keepdims ? out : { shape: x!.shape.filter((_, a) => !reduced.has(a)), data: out.data };
  };

/** Applies f to every line of x along an axis. */
function along(x: Nd, axis: number, f: (line: number[]) => number[]): Nd {
  const a = axisOf(x, axis);
  const length = x.shape[a]!;
  return build(x.shape, (i) => f(Array.from({ length }, (_, k) => at(x, withAxis(i, a, k))))[i[a]!]!);
}

const softmaxLine = (line: number[]): number[] => {
  const top = Math.max(...line);
  const e = line.map((v) => Math.exp(v - top));
  const total = e.reduce((s, v) => s + v, 0);
  return e.map((v) => v / total);
};

const matmul: Reference = ([a, b], { transA, transB, alpha = 1 }) => {
  const [ra, rb] = [a!.shape.length, b!.shape.length];
  const [m, k] = transA ? [a!.shape[ra - 1]!, a!.shape[ra - 2]!] : [a!.shape[ra - 2]!, a!.shape[ra - 1]!];
  const n = transB ? b!.shape[rb - 2]! : b!.shape[rb - 1]!;
  const batch = broadcast(a!.shape.slice(0, -2), b!.shape.slice(0, -2));
  return build([...batch, m, n], (i) => {
    const lead = i.slice(0, -2);
    const [row, column] = i.slice(-2) as [number, number];
    let total = 0;
    for (let c = 0; c < k; c++)
      total +=
        at(a!, [...lead, ...(transA ? [c, row] : [row, c])]) *
        at(b!, [...lead, ...(transB ? [column, c] : [c, column])]);
    return alpha * total;
  });
};

const matmulNBits: Reference = ([x, codes, scales], { K, N, bits, blockSize }) => {
  const blocks = Math.ceil(K / blockSize);
  const weight = (n: number, k: number): number => {
    const block = Math.floor(k / blockSize);
    const inside = k % blockSize;
    const byte = at(codes!, [n, block, bits === 8 ? inside : inside >> 1]);
    const code = bits === 8 ? byte : inside % 2 === 0 ? byte & 15 : byte >> 4;
    return (code - 2 ** (bits - 1)) * scales!.data[n * blocks + block]!;
  };
  return build([...x!.shape.slice(0, -1), N], (i) => {
    let total = 0;
    for (let k = 0; k < K; k++) total += at(x!, withAxis(i, i.length - 1, k)) * weight(i[i.length - 1]!, k);
    return total;
  });
};

/** Rows rounded to 8 bits by their largest magnitude. */
const matmulInt8: Reference = ([x, codes, scales]) => {
  const [K, N] = codes!.shape as [number, number];
  return build([...x!.shape.slice(0, -1), N], (i) => {
    const [lead, n] = [i.slice(0, -1), i[i.length - 1]!];
    const row = Array.from({ length: K }, (_, k) => at(x!, [...lead, k]));
    const scale = Math.max(...row.map(Math.abs)) / 127;
    const total = row.reduce((sum, v, k) => sum + Math.round(v / scale) * at(codes!, [k, n]), 0);
    return total * scale * at(scales!, [n]);
  });
};

/** Codes of blocks; the largest has the lowest. */
const quantizeBlocks: Reference = ([x], { bits }) => {
  const [R, block] = x!.shape as [number, number];
  const zero = 2 ** (bits - 1);
  const code = (r: number, k: number) => {
    const row = Array.from({ length: block }, (_, i) => at(x!, [r, i]));
    const largest = row.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a));
    return Math.min(2 * zero - 1, Math.round((row[k]! / largest) * -zero) + zero);
  };
  return build([R, (block * bits) / 8], ([r, b]) =>
    bits === 8 ? code(r!, b!) : code(r!, 2 * b!) + 16 * code(r!, 2 * b! + 1),
  );
};

/** Codes of columns, transposed. */
const quantizeChannels: Reference = ([x]) => {
  const [N, K] = x!.shape as [number, number];
  return build([K, N], ([k, n]) => {
    const row = Array.from({ length: K }, (_, i) => Math.abs(at(x!, [n!, i])));
    return Math.round((at(x!, [n!, k!]) / Math.max(...row)) * 127);
  });
};

const scatterAdd: Reference = ([index, updates], { axis, shape }) => {
  const out = build(shape, () => 0);
  const a = axis < 0 ? axis + shape.length : axis;
  for (const i of indices(index!.shape)) {
    const target = withAxis(i, a, at(index!, i));
    const flat = target.reduce((f, v, k) => f * shape[k] + v, 0);
    out.data[flat]! += at(updates!, i);
  }
  return out;
};

const norm =
  (center: boolean): Reference =>
  ([x, weight, bias], { epsilon }) => {
    const last = x!.shape.length - 1;
    const normed = along(x!, -1, (line) => {
      const mu = center ? line.reduce((s, v) => s + v, 0) / line.length : 0;
      const power = line.reduce((s, v) => s + (v - mu) ** 2, 0) / line.length;
      return line.map((v) => (v - mu) / Math.sqrt(power + epsilon));
    });
    return build(x!.shape, (i) => at(normed, i) * weight!.data[i[last]!]! + (bias?.data[i[last]!] ?? 0));
  };

export const REFERENCES: Readonly<Record<string, Reference>> = {
  neg: map((v) => -v),
  exp: map(Math.exp),
  log: map(Math.log),
  sqrt: map(Math.sqrt),
  reciprocal: map((v) => 1 / v),
  erf: map(erf),
  sigmoid: map((v) => 1 / (1 + Math.exp(-v))),
  tanh: map(Math.tanh),
  sin: map(Math.sin),
  cos: map(Math.cos),
  abs: map(Math.abs),
  add: zip((a, b) => a + b),
  sub: zip((a, b) => a - b),
  mul: zip((a, b) => a * b),
  div: zip((a, b) => a / b),
  maximum: zip(Math.max),
  minimum: zip(Math.min),
  less: zip((a, b) => Number(a < b)),
  equal: zip((a, b) => Number(a === b)),
  where: ([c, a, b]) =>
    build(broadcast(c!.shape, a!.shape, b!.shape), (i) => (at(c!, i) ? at(a!, i) : at(b!, i))),
  cast: map((v) => v),
  sum: reduce((values) => values.reduce((s, v) => s + v, 0)),
  max: reduce((values) => Math.max(...values)),
  argmax: ([x], { axis, keepdims }) =>
    reduce((values) => values.indexOf(Math.max(...values)))([x!], { axes: [axis], keepdims }),
  reshape: ([x], { shape }) => ({ shape, data: x!.data }),
  transpose: ([x], { perm }) =>
    build(
      perm.map((p: number) => x!.shape[p]),
      (i) =>
        at(
          x!,
          perm.map((_: number, a: number) => i[perm.indexOf(a)]!),
        ),
    ),
  expand: ([x], { shape }) => build(shape, (i) => at(x!, i)),
  slice: ([x], { axis, start, end }) => {
    const a = axisOf(x!, axis);
    return build(withAxis(x!.shape, a, end - start), (i) => at(x!, withAxis(i, a, i[a]! + start)));
  },
  pad: ([x], { axis, before, after }) => {
    const a = axisOf(x!, axis);
    const size = x!.shape[a]!;
    return build(withAxis(x!.shape, a, size + before + after), (i) => {
      const from = i[a]! - before;
      return from < 0 || from >= size ? 0 : at(x!, withAxis(i, a, from));
    });
  },
  concat: (xs, { axis }) => {
    const a = axisOf(xs[0]!, axis);
    const total = xs.reduce((s, x) => s + x.shape[a]!, 0);
    return build(withAxis(xs[0]!.shape, a, total), (i) => {
      let position = i[a]!;
      for (const x of xs) {
        if (position < x.shape[a]!) return at(x, withAxis(i, a, position));
        position -= x.shape[a]!;
      }
      throw new Error("outside");
    });
  },
  split: ([x], { axis, sizes }) => {
    const a = axisOf(x!, axis);
    return build(withAxis(x!.shape, a, sizes[0]), (i) => at(x!, i));
  },
  dim_value: (_x, { dim }) => build([], () => dim),
  range: (_x, { n }) => build([n], ([i]) => i!),
  softmax: ([x], { axis }) => along(x!, axis, softmaxLine),
  log_softmax: ([x], { axis }) => along(x!, axis, (line) => softmaxLine(line).map(Math.log)),
  gelu: map((v) => v * 0.5 * (1 + erf(v / Math.SQRT2))),
  silu: map((v) => v / (1 + Math.exp(-v))),
  layer_norm: norm(true),
  rms_norm: norm(false),
  matmul,
  matmul_nbits: matmulNBits,
  matmul_int8: matmulInt8,
  quantize_blocks: quantizeBlocks,
  quantize_channels: quantizeChannels,
  gather: ([table, ids]) =>
    build([...ids!.shape, ...table!.shape.slice(1)], (i) => {
      const cut = ids!.shape.length;
      return at(table!, [at(ids!, i.slice(0, cut)), ...i.slice(cut)]);
    }),
  take_along: ([x, index], { axis }) =>
    build(index!.shape, (i) => at(x!, withAxis(i, axisOf(x!, axis), at(index!, i)))),
  scatter_add: scatterAdd,
  top_k: ([x], { k, axis }) => {
    const a = axisOf(x!, axis);
    const sorted = along(x!, axis, (line) => line.sort((p, q) => q - p));
    return build(withAxis(x!.shape, a, k), (i) => at(sorted, i));
  },
  non_zero: ([x], { size }) => {
    const found = [...x!.data.keys()].filter((i) => x!.data[i] !== 0);
    return build([size], ([i]) => Math.floor(found[i!]! / x!.shape[1]!));
  },
  split_rows: ([rows], { sizes }) => build([sizes[0], rows!.shape[1]!], (i) => at(rows!, i)),
  join_rows: ([, ...parts], { size }) => {
    const lines = parts.flatMap((part) =>
      Array.from({ length: part.shape[0]! }, (_, n) => (d: number) => at(part, [n, d])),
    );
    return build([size, parts[0]!.shape[1]!], ([n, d]) => lines[n!]!(d!));
  },
  scatter_rows: ([rows, index], { T }) =>
    build([T, rows!.shape[1]!], ([t, d]) =>
      [...index!.data.keys()].reduce((sum, n) => sum + (index!.data[n] === t ? at(rows!, [n, d!]) : 0), 0),
    ),
  cached_attention: cachedAttention,
  causal_mask: (_x, { rows, columns, offset = 0 }) =>
    build([rows, columns], ([r, c]) => (c! <= r! + offset ? 0 : -1.7e38)),
  depend: ([x]) => x!,
  skip_rms_norm: ([x, skip, weight], attrs) => norm(false)([sumOf(x!, skip!), weight!], attrs),
  bias_gelu: ([x, bias]) => map((v) => v * 0.5 * (1 + erf(v / Math.SQRT2)))([sumOf(x!, bias!)], {}),
  gemm: ([x, weight, bias], { transB }) => sumOf(matmul([x!, weight!], { transB }), bias!),
  multi_head_attention: multiHeadAttention,
  grouped_attention: ([q, k, v, mask], { groups, ...attrs }) => {
    const repeat = (x: Nd): Nd => {
      const d = x.shape[2]! / groups;
      const times = attrs.heads / groups;
      return build([x.shape[0]!, x.shape[1]!, d * attrs.heads], ([b, l, c]) => {
        const head = Math.floor(Math.floor(c! / d) / times);
        return at(x, [b!, l!, head * d + (c! % d)]);
      });
    };
    return multiHeadAttention([q!, repeat(k!), repeat(v!), ...(mask ? [mask] : [])], attrs);
  },
  rotary_embedding: ([x, cos, sin], { heads }) => {
    const d = x!.shape[2]! / heads;
    return build(x!.shape, ([b, l, column]) => {
      const [start, j] = [column! - (column! % d), column! % d];
      const pair = (k: number) => at(x!, [b!, l!, start + k]);
      const i = j % (d / 2);
      const [a, z] = [pair(i), pair(i + d / 2)];
      const [co, si] = [at(cos!, [l!, i]), at(sin!, [l!, i])];
      return j < d / 2 ? a * co - z * si : z * co + a * si;
    });
  },
};

const sumOf = (a: Nd, b: Nd): Nd => zip((x, y) => x + y)([a, b], {});

function multiHeadAttention(
  [q, k, v, mask]: readonly Nd[],
  { heads, scale, causal }: { heads: number; scale: number; causal?: boolean },
): Nd {
  const [d, e] = [q!.shape[2]! / heads, v!.shape[2]! / heads];
  const keys = k!.shape[1]!;
  return build([q!.shape[0]!, q!.shape[1]!, v!.shape[2]!], ([b, row, column]) => {
    const h = Math.floor(column! / e);
    const scores = Array.from({ length: keys }, (_, j) => {
      let dot = 0;
      for (let c = 0; c < d; c++) dot += at(q!, [b!, row!, h * d + c]) * at(k!, [b!, j, h * d + c]);
      const hidden = causal && j > row! + keys - q!.shape[1]!;
      return hidden ? -1e30 : dot * scale + (mask ? at(mask, [b!, h, row!, j]) : 0);
    });
    return softmaxLine(scores).reduce((s, w, j) => s + w * at(v!, [b!, j, column!]), 0);
  });
}
