import type { Hono } from "hono";
import type { Env } from "../context.ts";
import { unknownModel } from "./answers.ts";
import type { Api } from "./api.ts";

/** `GET /v1/models` and `/v1/models/{id}`: the chat models and, when it is loaded, the one that embeds. */
export function addModelRoutes(app: Hono<Env>, api: Api): void {
  const created = Math.floor(Date.now() / 1000);
  const names = () => {
    const embedder = api.services.state().loading ? [] : [api.services.library().model.name];
    return [...new Set([...api.answers.models.keys(), ...embedder])];
  };
  const modelJson = (id: string) => {
    const context = api.answers.models.get(id)?.contextLength;
    // Tokens of a conversation and its answer together, under vLLM's name.
    const more = context === undefined ? {} : { max_model_len: context };
    return { id, object: "model", created, owned_by: "internvl", ...more };
  };

  app.get("/v1/models", (c) => c.json({ object: "list", data: names().map(modelJson) }));

  // Names may have slashes, which not every client writes as %2F.
  app.get("/v1/models/:id{.+}", (c) => {
    const id = c.req.param("id");
    if (!names().includes(id)) throw unknownModel(id, names());
    return c.json(modelJson(id));
  });
}
