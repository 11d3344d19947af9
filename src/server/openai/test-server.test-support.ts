import type { ChatModel } from "../../infer/chat-model.ts";
import { LIMITS, type Limits } from "../limits.ts";
import { type RunningServer, type ServeOptions, serve } from "../serve.ts";
import { testLibrary } from "../test-support.ts";

export interface ChatServer extends AsyncDisposable {
  readonly url: string;
  readonly server: RunningServer;
  /** Failures that are no mistake of a client. */
  readonly defects: unknown[];
}

/** A listening server with chat models, over a library without pictures. */
export async function chatServer(
  models: Readonly<Record<string, ChatModel>>,
  options: Partial<Omit<ServeOptions, "limits">> & { readonly chat?: Partial<Limits["chat"]> } = {},
): Promise<ChatServer> {
  const library = await testLibrary({ colours: [] });
  const defects: unknown[] = [];
  const { chat, ...rest } = options;
  const server = await serve({
    library: library.library,
    port: 0,
    page: false,
    chatModels: new Map(Object.entries(models)),
    limits: { chat: { ...LIMITS.chat, ...chat } },
    onDefect: (error) => defects.push(error),
    ...rest,
  });
  await server.ready;
  return {
    url: server.url,
    server,
    defects,
    async [Symbol.asyncDispose]() {
      await server.close();
      await library[Symbol.asyncDispose]();
    },
  };
}
