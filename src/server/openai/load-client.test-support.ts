import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";

/** A streamed answer as a client saw it. */
export interface Told {
  readonly text: string;
  readonly firstMs: number;
  readonly totalMs: number;
}

/** How a client behaves. */
export interface Client {
  readonly model: string;
  /** Before each read. */
  readonly pauseMs?: number;
  /** Hangs up after so many reads. */
  readonly leaveAfter?: number;
  /** Data URL of a picture that is asked about. */
  readonly picture?: string;
  /** Further fields of the request. */
  readonly fields?: object;
}

/** One stream, read event by event. */
export async function ask(
  url: string,
  text: string,
  { model, pauseMs = 0, leaveAfter = Number.POSITIVE_INFINITY, picture, fields }: Client,
): Promise<Told> {
  const started = performance.now();
  const content = picture
    ? [
        { type: "image_url", image_url: { url: picture } },
        { type: "text", text },
      ]
    : text;
  const response = await fetch(`${url}v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model, messages: [{ role: "user", content }], stream: true, ...fields }),
  });
  if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`);
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let raw = "";
  let firstMs = 0;
  for (let reads = 0; ; reads++) {
    if (reads >= leaveAfter) {
      await reader.cancel();
      break;
    }
    if (pauseMs > 0) await sleep(pauseMs);
    const { done, value } = await reader.read();
    firstMs ||= performance.now() - started;
    if (done) break;
    raw += value;
  }
  const events = raw.split("\n\n").flatMap((event) => (event.startsWith("data: ") ? [event.slice(6)] : []));
  if (leaveAfter === Number.POSITIVE_INFINITY) expect(events.at(-1)).toBe("[DONE]");
  const said = events
    .filter((event) => event.startsWith("{") && event.endsWith("}"))
    .map((event) => JSON.parse(event).choices[0]?.delta.content ?? "");
  return { text: said.join(""), firstMs, totalMs: performance.now() - started };
}

/** The 50th, 95th and 99th percentile, rounded. */
export const percentiles = (values: readonly number[]): number[] => {
  const sorted = [...values].sort((a, b) => a - b);
  return [50, 95, 99].map((p) => Math.round(sorted[Math.ceil((p / 100) * sorted.length) - 1]!));
};
