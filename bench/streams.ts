/** What several streams that a server answered at once came to. */
export interface Streams {
  /** Tokens of all of them. */
  readonly tokens: number;
  /** From the first request to the last token of all. */
  readonly seconds: number;
  /** Of each stream, from its request to its first token. */
  readonly firstSeconds: readonly number[];
}

export interface StreamsRequest {
  /** Where OpenAI's API is, such as http://localhost:4747/v1 */
  readonly url: string;
  readonly model: string;
  /** One stream for each. */
  readonly prompts: readonly string[];
  /** Most tokens of each. */
  readonly tokens: number;
}

/** Lets a server continue all prompts at once, as streams. Throws what it answers when it refuses. */
export async function streams({ url, model, prompts, tokens }: StreamsRequest): Promise<Streams> {
  const start = performance.now();
  const since = () => (performance.now() - start) / 1000;
  const all = await Promise.all(
    prompts.map(async (prompt) => {
      const response = await fetch(`${url}/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({
          ...{ model, prompt, max_tokens: tokens, temperature: 0 },
          ...{ stream: true, stream_options: { include_usage: true } },
        }),
      });
      if (!response.ok) throw new Error(`bench: ${url} answers ${response.status}: ${await response.text()}`);
      let [first, events, counted] = [0, 0, 0];
      for await (const event of serverEvents(response.body!)) {
        if (event === "[DONE]") continue;
        const { choices, usage } = JSON.parse(event) as {
          choices?: { text?: string }[];
          usage?: { completion_tokens?: number } | null;
        };
        if (choices?.some((c) => c.text)) {
          first ||= since();
          events++;
        }
        counted = usage?.completion_tokens ?? counted;
      }
      // A server that does not count sends an event a token.
      return { first, tokens: counted || events };
    }),
  );
  const made = all.reduce((sum, s) => sum + s.tokens, 0);
  return { tokens: made, seconds: since(), firstSeconds: all.map((s) => s.first) };
}

/** The data of each of a stream's events. */
export async function* serverEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const bytes of body) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split(/\r?\n/);
    rest = lines.pop()!;
    for (const line of lines) if (line.startsWith("data:")) yield line.slice(5).trim();
  }
}
