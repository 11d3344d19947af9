import { appendFile, readFile, rename, writeFile } from "node:fs/promises";

/** One line of `metrics.jsonl`: always a step, and what was measured at it. */
export type MetricsLine = Readonly<Record<string, number | string>> & { readonly step: number };

/** Metrics as JSON lines. Opening it drops lines of steps that a resumed run will do again. */
export class MetricsLog {
  private constructor(readonly path: string) {}

  /** `step`: steps done so far; later lines, and a line cut off by a kill, are removed. */
  static async open(path: string, step: number): Promise<MetricsLog> {
    const text = await readFile(path, "utf8").catch((e: NodeJS.ErrnoException) => {
      if (e.code === "ENOENT") return "";
      throw e;
    });
    const kept = text.split("\n").filter((line) => {
      const found = /^\{"step":(\d+),.*\}$/.exec(line);
      return found !== null && Number(found[1]) <= step;
    });
    await writeFile(`${path}.partial`, kept.map((line) => `${line}\n`).join(""));
    await rename(`${path}.partial`, path);
    return new MetricsLog(path);
  }

  async add({ step, ...rest }: MetricsLine): Promise<void> {
    await appendFile(this.path, `${JSON.stringify({ step, ...rest })}\n`);
  }
}
