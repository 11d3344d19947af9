import type { Hono } from "hono";
import { z } from "zod";
import type { SearchResult } from "../search/types.ts";
import { type Env, pictureJson, pictureOf, type Services } from "./context.ts";
import { validate } from "./http-error.ts";
import { readUpload } from "./upload.ts";

/**
 * `GET` and `POST /api/search`, `GET /api/similar`, `GET /api/pictures`. The results of a search that began while
 * folders were being indexed come with `indexing: true`: there may be better ones soon.
 */
export function addSearchRoutes(app: Hono<Env>, services: Services): void {
  const { limits } = services;
  const page = {
    k: z.coerce.number().int().min(1).max(limits.k).default(24),
    offset: z.coerce.number().int().min(0).max(limits.offset).default(0),
  };
  const schema = z.object({ ...page, folder: z.string().max(4096).optional() });
  const textSchema = schema.extend({ q: z.string().trim().min(1).max(limits.queryCharacters) });
  /** `after`: the id of the last picture that one has. */
  const listSchema = z.object({ k: page.k, after: z.string().min(1).optional() });
  const similarSchema = schema.extend({ id: z.string().min(1) });

  type Find = (page: { k: number; offset: number; folder?: string }) => Promise<SearchResult[]>;

  async function answer({ k, offset, folder }: z.infer<typeof schema>, signal: AbortSignal, find: Find) {
    const started = performance.now();
    const indexing = services.indexer().busy;
    // One more than asked for tells whether there is a next page.
    const page = { k: k + 1, offset, ...(folder !== undefined && { folder }) };
    const hits = await services.gate.run(signal, () => find(page));
    const latencyMs = Math.round((performance.now() - started) * 10) / 10;
    const results = hits.slice(0, k).map(pictureJson);
    return { results, more: hits.length > k, latencyMs, ...(indexing && { indexing }) };
  }

  app.get("/api/search", async (c) => {
    const { q, ...options } = validate("GET /api/search", textSchema, c.req.query());
    const { index } = services.library();
    const { signal } = c.var;
    return c.json(await answer(options, signal, (page) => index.search({ text: q, ...page, signal })));
  });

  app.post("/api/search", async (c) => {
    const options = validate("POST /api/search", schema, c.req.query());
    const { index } = services.library();
    const { signal } = c.var;
    // From the first byte of the body to the answer: what is waiting holds no picture in memory.
    const found = await services.uploads.run(signal, async () => {
      const { image } = await readUpload(c.req.raw, limits, signal);
      return answer(options, signal, (page) => index.search({ image, ...page, signal }));
    });
    return c.json(found);
  });

  app.get("/api/similar", async (c) => {
    const { id, ...options } = validate("GET /api/similar", similarSchema, c.req.query());
    const picture = await pictureOf(services, id);
    const { index } = services.library();
    return c.json(await answer(options, c.var.signal, (page) => index.moreLikeThis(picture.path, page)));
  });

  app.get("/api/pictures", async (c) => {
    const { k, after } = validate("GET /api/pictures", listSchema, c.req.query());
    const { index } = services.library();
    const last = after === undefined ? undefined : (await pictureOf(services, after)).path;
    const pictures = await index.list({ limit: k + 1, ...(last !== undefined && { after: last }) });
    return c.json({ results: pictures.slice(0, k).map(pictureJson), more: pictures.length > k });
  });
}
