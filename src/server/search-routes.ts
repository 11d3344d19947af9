import type { Hono } from "hono";
import { z } from "zod";
import { type Env, pictureJson, pictureOf, type Services } from "./context.ts";
import { validate } from "./http-error.ts";
import type { PictureQuery } from "./ports.ts";
import { readUpload } from "./upload.ts";

/** `GET` and `POST /api/search`, `GET /api/similar`, `GET /api/pictures`. */
export function addSearchRoutes(app: Hono<Env>, services: Services): void {
  const { limits } = services;
  const page = {
    k: z.coerce.number().int().min(1).max(limits.k).default(24),
    offset: z.coerce.number().int().min(0).max(limits.offset).default(0),
  };
  const schema = z.object({ ...page, folder: z.string().max(4096).optional() });
  const textSchema = schema.extend({ q: z.string().trim().min(1).max(limits.queryCharacters) });
  const similarSchema = schema.extend({ id: z.string().min(1) });

  async function answer(query: PictureQuery, options: z.infer<typeof schema>, signal: AbortSignal) {
    const { k, offset, folder } = options;
    const started = performance.now();
    // One more than asked for tells whether there is a next page.
    const hits = await services.gate.run(signal, () =>
      services.library().index.query(query, { k: k + 1, offset, folder, signal }),
    );
    const latencyMs = Math.round((performance.now() - started) * 10) / 10;
    return { results: hits.slice(0, k).map(pictureJson), more: hits.length > k, latencyMs };
  }

  app.get("/api/search", async (c) => {
    const { q, ...options } = validate("GET /api/search", textSchema, c.req.query());
    return c.json(await answer({ text: q }, options, c.var.signal));
  });

  app.post("/api/search", async (c) => {
    const options = validate("POST /api/search", schema, c.req.query());
    services.library();
    const { image } = await readUpload(c.req.raw, limits);
    return c.json(await answer({ image }, options, c.var.signal));
  });

  app.get("/api/similar", async (c) => {
    const { id, ...options } = validate("GET /api/similar", similarSchema, c.req.query());
    const picture = await pictureOf(services, id);
    return c.json(await answer({ like: picture.path }, options, c.var.signal));
  });

  app.get("/api/pictures", async (c) => {
    const { k, offset } = validate("GET /api/pictures", z.object(page), c.req.query());
    const pictures = await services.library().index.list({ k: k + 1, offset });
    return c.json({ results: pictures.slice(0, k).map(pictureJson), more: pictures.length > k });
  });
}
