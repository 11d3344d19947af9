/**
 * The gradient of a deep network in a process of its own: `keep | checkpoint`. Prints the peak of its memory in bytes.
 */
import { readFileSync } from "node:fs";
import { f32 } from "../core/array.ts";
import { input, type Tensor } from "../graph/tensor.ts";
import { emit } from "../onnx/emit.ts";
import { sum, tanh } from "../ops/index.ts";
import { createRuntime } from "../runtime/ort.node.ts";
import { checkpoint, grad } from "./index.ts";

const BLOCKS = 12;
const VALUES = 8;
const SIZE = 1 << 19;

/** Every tanh keeps its output for its gradient. */
const block = (x: Tensor): Tensor => {
  let y = x;
  for (let i = 0; i < VALUES; i++) y = tanh(y);
  return y;
};

/** The process's own peak: that of `resourceUsage` begins at its parent's size. */
function peak(): number {
  if (process.platform !== "linux") return process.resourceUsage().maxRSS * 1024;
  const [, kilobytes] = /VmHWM:\s+(\d+) kB/.exec(readFileSync("/proc/self/status", "utf8"))!;
  return Number(kilobytes) * 1024;
}

const x = input("x", "f32", [SIZE]);
let y: Tensor = x;
for (let i = 0; i < BLOCKS; i++)
  y = process.argv[2] === "checkpoint" ? checkpoint(`block ${i}`, block, y) : block(y);
const [g] = grad(sum(y), [x]);

await using runtime = await createRuntime({ threads: 1 });
await using session = await runtime.session(emit({ g: g! }).bytes);
await session.run({ x: f32([SIZE], new Float32Array(SIZE).fill(0.5)) });
console.log(peak());
