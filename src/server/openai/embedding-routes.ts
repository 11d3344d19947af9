import type { Hono } from "hono";
import { z } from "zod";
import type { Env } from "../context.ts";
import { unknownModel } from "./answers.ts";
import { type Api, withBody } from "./api.ts";
import { ApiError } from "./api-error.ts";
import { checkTexts } from "./chat-request.ts";
import { EMBEDDING_FIELDS, withoutIgnored } from "./fields.ts";
import { modelName } from "./generation-fields.ts";
import { parseRequest } from "./parse-request.ts";

/** `POST /v1/embeddings`: texts as the search embeds them, L2-normalised. */
export function addEmbeddingRoute(app: Hono<Env>, api: Api): void {
  const { limits, gate } = api.services;
  const text = z.string().min(1);
  const schema = z.strictObject({
    model: modelName,
    input: z.union([text, z.array(text).min(1).max(limits.chat.embedded)]),
    encoding_format: z.enum(["float", "base64"]).nullish(),
    dimensions: z.int().min(1).nullish(),
  });

  app.post("/v1/embeddings", async (c) => {
    const { signal } = c.var;
    const request = await withBody(c, api, async (body) =>
      parseRequest(schema, withoutIgnored(body, EMBEDDING_FIELDS)),
    );
    const texts = [request.input].flat();
    checkTexts("input", texts, limits.chat);
    const library = api.services.library();
    if (request.model !== library.model.name) throw unknownModel(request.model, [library.model.name]);
    const { embeddings, tokens } = await gate.run(signal, () => library.embedTexts(texts, { signal }));
    const dimension = embeddings[0]!.length;
    if (request.dimensions != null && request.dimensions !== dimension)
      throw new ApiError(400, `dimensions: the model's embeddings have ${dimension}; leave it out`, {
        param: "dimensions",
      });
    const written = request.encoding_format === "base64" ? base64 : (e: Float32Array) => [...e];
    return c.json({
      object: "list",
      data: embeddings.map((e, index) => ({ object: "embedding", index, embedding: written(e) })),
      model: request.model,
      usage: { prompt_tokens: tokens, total_tokens: tokens },
    });
  });
}

/** Little-endian f32, which is every machine's order that Node runs on with ONNX Runtime. */
const base64 = (e: Float32Array): string =>
  Buffer.from(e.buffer, e.byteOffset, e.byteLength).toString("base64");
