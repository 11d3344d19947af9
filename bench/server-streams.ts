import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { UsageError } from "../src/core/errors.ts";
import { temporaryFolder } from "../test/temporary-folder.ts";
import { MemoryWatch, summarizeMemory } from "./memory.ts";
import { type BenchContext, type BenchResult, median, summarize } from "./pair.ts";
import { englishText, model } from "./smollm2.ts";
import { type Streams, streams } from "./streams.ts";

const COUNTS = [1, 4, 16];
const TOKENS = 64;
const WORDS = 40;
/** Tokens of a conversation. */
const CONTEXT = 1024;
const START_MS = 120_000;

const CLI = fileURLToPath(new URL("../src/cli/main.ts", import.meta.url));

/** A server in a process of its own; it ends with this. */
class Served implements AsyncDisposable {
  constructor(
    readonly process: ChildProcess,
    readonly url: string,
    /** What it calls the model. */
    readonly model: string,
    readonly version: string,
  ) {}

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.process.exitCode !== null) return;
    const ended = once(this.process, "exit");
    this.process.kill("SIGTERM");
    await ended;
  }
}

/**
 * SmolLM2-135M behind OpenAI's API: tokens a second of 1, 4 and 16 streams together, ours against `llama-server` where
 * LLAMA_SERVER names one, else against llama-cpp-python's own server.
 */
export async function serverStreams({
  python,
  threads,
  rounds,
  versions,
}: BenchContext): Promise<BenchResult[]> {
  const path = await model();
  const words = (await englishText()).split(" ");
  // Every request has a prompt of its own: none is known from before.
  let next = 0;
  const prompt = () => {
    const at = (next++ * WORDS) % (words.length - WORDS);
    return `${next}. ${words.slice(at, at + WORDS).join(" ")}`;
  };
  await using home = await temporaryFolder();
  await using ours = await startOurs(path, threads, home.path);
  using ourMemory = new MemoryWatch(ours.process.pid!);
  await using peer = await startPeer(path, threads, python);
  using theirMemory = new MemoryWatch(peer.process.pid!);
  const ask = (served: Served, prompts: readonly string[]) =>
    streams({ url: served.url, model: served.model, prompts, tokens: TOKENS });
  const pairs = new Map(COUNTS.map((count) => [count, [] as { ours: Streams; peer: Streams }[]]));
  // The first round warms up.
  for (let round = 0; round <= rounds; round++)
    for (const count of COUNTS) {
      const prompts = Array.from({ length: count }, prompt);
      const both = { ours: await ask(ours, prompts), peer: await ask(peer, prompts) };
      if (round > 0) pairs.get(count)!.push(both);
    }
  const rate = (s: Streams) => s.tokens / s.seconds;
  const alone = pairs.get(1)!;
  const scaling = (count: number, side: "ours" | "peer") =>
    median(pairs.get(count)!.map((p, i) => rate(p[side]) / rate(alone[i]![side]))).toFixed(2);
  const about = { versions: `${versions}; ${peer.version}` };
  const results = [...pairs].flatMap(([count, both]) => {
    const name = `server-streams/${count}`;
    const rates = both.map((p) => ({ ours: rate(p.ours), peer: rate(p.peer) }));
    const firsts = both.map((p) => ({
      ours: median(p.ours.firstSeconds),
      peer: median(p.peer.firstSeconds),
    }));
    const note = `all streams together, up to ${TOKENS} tokens each; ours ${scaling(count, "ours")} times one stream, the peer ${scaling(count, "peer")} times`;
    return [
      summarize(`${name}/decode`, "tokens/s", rates, { ...about, note }),
      summarize(`${name}/first-token`, "s", firsts, { ...about, note: "median of the streams" }),
    ];
  });
  return [...results, ...summarizeMemory("server-streams", ourMemory, theirMemory, about)];
}

/** Our server, as a user starts it; it also has the search library with nano. */
async function startOurs(path: string, threads: number, home: string): Promise<Served> {
  const args = ["serve", "--chat", path, "--threads", String(threads), "--context", String(CONTEXT)];
  const child = spawn(process.execPath, ["--import", import.meta.resolve("tsx"), CLI, ...args], {
    env: { ...process.env, HOME: home, PORT: "0" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  for await (const line of createInterface({ input: child.stdout })) {
    const url = /http:\S+/.exec(line)?.[0];
    if (url) return served(child, new URL("v1", url).href, "ours");
  }
  throw new UsageError("bench: our server did not start; see its message above");
}

async function startPeer(path: string, threads: number, python: string): Promise<Served> {
  const port = await freePort();
  const binary = process.env.LLAMA_SERVER;
  const most = Math.max(...COUNTS);
  const args = binary
    ? [
        ...["-m", path, "-c", String(CONTEXT * most), "-np", String(most)],
        ...["-t", String(threads), "-tb", String(threads), "--host", "127.0.0.1", "--port", String(port)],
      ]
    : [
        ...["-m", "llama_cpp.server", "--model", path, "--n_ctx", String(CONTEXT), "--verbose", "false"],
        // Otherwise each request ends the one before.
        ...["--interrupt_requests", "false"],
        ...["--n_threads", String(threads), "--n_threads_batch", String(threads)],
        ...["--host", "127.0.0.1", "--port", String(port)],
      ];
  const child = spawn(binary ?? python, args, { stdio: ["ignore", "ignore", "ignore"] });
  child.on("error", () => {});
  return served(child, `http://127.0.0.1:${port}/v1`, binary ? "llama-server" : "llama_cpp.server");
}

/** Waits until the server lists its model. */
async function served(child: ChildProcess, url: string, version: string): Promise<Served> {
  for (
    let waited = 0;
    waited < START_MS && child.exitCode === null && child.pid !== undefined;
    waited += 200
  ) {
    const listed = await fetch(`${url}/models`).catch(() => undefined);
    if (listed?.ok) {
      const { data } = (await listed.json()) as { data: { id: string }[] };
      return new Served(child, url, data[0]!.id, version);
    }
    await sleep(200);
  }
  child.kill();
  throw new UsageError(
    `bench: ${version} did not start; name a llama-server with LLAMA_SERVER, or install bench/peers/requirements.txt into the Python that PEER_PYTHON names`,
  );
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}
