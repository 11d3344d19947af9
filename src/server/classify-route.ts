import type { Context, Hono } from "hono";
import { z } from "zod";
import { MediaError } from "../core/errors.ts";
import { TWO_LABELS } from "../eval/zero-shot-classifier.ts";
import { type Env, pictureOf, type Services } from "./context.ts";
import { validate } from "./http-error.ts";
import { readJson, readUpload } from "./upload.ts";

interface ClassifyRequest {
  /** Pictures by path or as bytes, each with what the answer says of it. */
  readonly pictures: readonly { readonly source: string | Uint8Array; readonly about: object }[];
  readonly labels: readonly string[];
}

/**
 * `POST /api/classify`: which of the user's labels fits, as probabilities that sum to one. JSON
 * `{ ids, labels }` for pictures of the index, or a form with a file `image` and `labels` (repeated, or separated
 * by commas). Of several pictures, one that cannot be read has no labels and an `error` that says why; when none can
 * be read, that is the answer.
 */
export function addClassifyRoute(app: Hono<Env>, services: Services): void {
  const { limits } = services;
  const label = z.string().trim().min(1).max(200);
  const labels = z
    .array(label)
    .min(2, TWO_LABELS)
    .max(limits.labels)
    .refine((list) => new Set(list).size === list.length, "each label may appear once");
  const byIds = z.object({ ids: z.array(z.string().min(1)).min(1).max(limits.classified), labels });

  async function fromIds(c: Context<Env>): Promise<ClassifyRequest> {
    const body = validate("POST /api/classify", byIds, await readJson(c.req.raw, limits, c.var.signal));
    const pictures = await Promise.all(body.ids.map((id) => pictureOf(services, id)));
    return {
      pictures: pictures.map(({ path }, i) => ({ source: path, about: { id: body.ids[i], path } })),
      labels: body.labels,
    };
  }

  async function fromUpload(c: Context<Env>): Promise<ClassifyRequest> {
    const { image, fields } = await readUpload(c.req.raw, limits, c.var.signal);
    const given = (fields.get("labels") ?? []).flatMap((s) => s.split(",")).map((s) => s.trim());
    const checked = validate("POST /api/classify", z.object({ labels }), { labels: given.filter(Boolean) });
    return { pictures: [{ source: image, about: {} }], labels: checked.labels };
  }

  app.post("/api/classify", async (c) => {
    const library = services.library();
    const isForm = (c.req.header("content-type") ?? "").startsWith("multipart/form-data");
    const { signal } = c.var;
    async function answer({ pictures, labels }: ClassifyRequest) {
      const started = performance.now();
      const sources = pictures.map((p) => p.source);
      const all = await services.gate.run(signal, () => library.classify(sources, labels, { signal }));
      if (all.every((result) => result instanceof MediaError)) throw all[0];
      const results = pictures.map(({ about }, i) => {
        const result = all[i]!;
        if (result instanceof MediaError) return { ...about, labels: [], error: result.message };
        return { ...about, labels: ranked(labels, result) };
      });
      return { results, latencyMs: Math.round(performance.now() - started) };
    }
    return c.json(
      isForm
        ? await services.uploads.run(signal, async () => answer(await fromUpload(c)))
        : await answer(await fromIds(c)),
    );
  });
}

/** Labels with their probabilities, the likeliest first. */
const ranked = (labels: readonly string[], probabilities: ArrayLike<number>) =>
  labels
    .map((label, i) => ({ label, probability: probabilities[i]! }))
    .sort((a, b) => b.probability - a.probability);
