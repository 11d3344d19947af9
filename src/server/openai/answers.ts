import type { ChatChunk, ChatModel } from "../../infer/chat-model.ts";
import { FairQueue } from "../fair-queue.ts";
import type { ChatLimits } from "../limits.ts";
import type { Metrics } from "../metrics.ts";
import { ApiError } from "./api-error.ts";

/** A request that was read and waits for its model. */
export interface Job {
  /** Name of the model. */
  readonly model: string;
  /** Whose turn it takes. */
  readonly client: string;
  /** Answers to it, made at the same time. */
  readonly answers: number;
  /** Ends waiting and answering. */
  readonly signal: AbortSignal;
  /** What it holds until it is over. */
  readonly held: Disposable;
  /** Begins the answer. */
  readonly start: (model: ChatModel) => AsyncIterable<ChatChunk>;
}

const FIRST_TOKEN_SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120];
const TOKEN_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];

/** The chat models of a server, each behind a queue, and what is measured of their answers. */
export class Answers {
  readonly #queues: ReadonlyMap<string, FairQueue>;
  readonly #measures: ReturnType<typeof measuresOf>;

  constructor(
    readonly models: ReadonlyMap<string, ChatModel>,
    limits: ChatLimits,
    metrics: Metrics,
  ) {
    this.#queues = new Map(
      [...models].map(([name, model]) => [name, new FairQueue(model.concurrency, limits.waiting)]),
    );
    this.#measures = measuresOf(metrics, this.#queues);
  }

  /** The model of a name, or a 404 that lists those there are. A request that would be refused later is refused here. */
  model(name: string, client: string): ChatModel {
    const model = this.models.get(name);
    if (!model) throw unknownModel(name, [...this.models.keys()]);
    this.#queues.get(name)!.check(client);
    return model;
  }

  /**
   * The answer to a job, when its turn comes. Whoever begins to read must read to the end, or return: then the turn and
   * what the job holds are given back. Throws what the queue and the model throw.
   */
  async *run(job: Job): AsyncGenerator<ChatChunk, void> {
    using _held = job.held;
    const labels = [job.model];
    const m = this.#measures;
    const asked = performance.now();
    using _turn = await this.#queues.get(job.model)!.enter(job.client, job.signal, job.answers);
    let end = "cancelled";
    let first = true;
    // Only the model's time counts: what passes while the reader is slow does not.
    let since = performance.now();
    try {
      for await (const chunk of job.start(this.models.get(job.model)!)) {
        const now = performance.now();
        if (first) m.firstToken.observe(labels, (now - asked) / 1000);
        else if (chunk.tokens.length > 0)
          m.perToken.observe(labels, (now - since) / 1000 / chunk.tokens.length);
        first = false;
        if (chunk.usage) {
          m.tokens.add([job.model, "prompt"], chunk.usage.promptTokens);
          m.tokens.add([job.model, "cached"], chunk.usage.cachedTokens);
          m.tokens.add([job.model, "completion"], chunk.usage.completionTokens);
        }
        yield chunk;
        since = performance.now();
      }
      end = "finished";
    } catch (error) {
      if (!job.signal.aborted) end = "failed";
      throw error;
    } finally {
      m.answers.add([job.model, end]);
    }
  }

  /** Resolves when nothing is answered any more. */
  async idle(): Promise<void> {
    await Promise.all([...this.#queues.values()].map((queue) => queue.idle()));
  }
}

export function unknownModel(name: string, known: readonly string[]): ApiError {
  const list = known.length > 0 ? `there is ${known.join(", ")}` : "there is none of this kind";
  return new ApiError(404, `model: the model "${name}" does not exist here; ${list}`, {
    param: "model",
    code: "model_not_found",
  });
}

function measuresOf(metrics: Metrics, queues: ReadonlyMap<string, FairQueue>) {
  const each = (read: (queue: FairQueue) => number) => () =>
    [...queues].map(([name, queue]) => [[name], read(queue)] as const);
  metrics.gauge(
    "internvl_answers_running",
    "Answers that a model makes now.",
    ["model"],
    each((queue) => queue.running),
  );
  metrics.gauge(
    "internvl_answers_waiting",
    "Requests that wait for a model.",
    ["model"],
    each((queue) => queue.waiting),
  );
  return {
    answers: metrics.counter(
      "internvl_answers_total",
      "Answers that were begun, by how they ended: finished, cancelled, failed.",
      ["model", "end"],
    ),
    tokens: metrics.counter(
      "internvl_tokens_total",
      "Tokens of finished requests: prompt, cached (of these, not computed again), completion.",
      ["model", "kind"],
    ),
    firstToken: metrics.histogram(
      "internvl_time_to_first_token_seconds",
      "From a request that was read to the first chunk of its answer, waiting included.",
      ["model"],
      FIRST_TOKEN_SECONDS,
    ),
    perToken: metrics.histogram(
      "internvl_time_per_token_seconds",
      "Time of a token after the first.",
      ["model"],
      TOKEN_SECONDS,
    ),
  };
}
