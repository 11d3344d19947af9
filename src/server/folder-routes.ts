import { realpath, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { isAbsolute, join, parse, sep } from "node:path";
import type { Hono } from "hono";
import { z } from "zod";
import { UsageError } from "../core/errors.ts";
import type { IndexStats } from "../search/types.ts";
import type { Env, Services } from "./context.ts";
import { HttpError, validate } from "./http-error.ts";
import type { FolderJob } from "./indexer.ts";
import { readJson } from "./upload.ts";

const pathSchema = z.object({ path: z.string().trim().min(1).max(4096) });

/** `GET`, `POST` and `DELETE /api/folders`. */
export function addFolderRoutes(app: Hono<Env>, services: Services): void {
  const mayChange = () => {
    if (!services.folderChanges)
      throw new HttpError(
        403,
        "this server is reachable from other machines, so folders cannot be changed from the page; " +
          "name them when starting it, or allow it explicitly",
      );
  };

  app.get("/api/folders", async (c) => {
    const { folders } = await services.library().index.stats();
    return c.json({ folders: withJobs(folders, services.indexer().jobs) });
  });

  app.post("/api/folders", async (c) => {
    mayChange();
    const indexer = services.indexer();
    const { path } = validate(
      "POST /api/folders",
      pathSchema,
      await readJson(c.req.raw, services.limits, c.var.signal),
    );
    const folder = await checkFolder(path);
    const outer = (await services.library().index.folders()).find((f) => contains(f, folder));
    if (outer) throw new HttpError(409, `${folder} is part of ${outer}, which is in the index already`);
    return c.json({ job: indexer.add(folder) }, 202);
  });

  app.delete("/api/folders", async (c) => {
    mayChange();
    const indexer = services.indexer();
    const { path } = validate("DELETE /api/folders", pathSchema, c.req.query());
    const folders = await services.library().index.folders();
    if (![...folders, ...indexer.jobs.map((j) => j.folder)].includes(path))
      throw new HttpError(404, `${path} is not a folder of the index`);
    await indexer.remove(path);
    return c.json({ removed: path });
  });
}

/** Stored folders with what is happening to them, and those whose first pictures are not stored yet. */
function withJobs(folders: IndexStats["folders"], jobs: readonly FolderJob[]) {
  const stored = new Set(folders.map((f) => f.path));
  const fresh = jobs.filter((j) => !stored.has(j.folder));
  return [
    ...folders.map(({ path, images, failed }) => ({
      path,
      pictures: images,
      failed,
      job: jobs.find((j) => j.folder === path),
    })),
    ...fresh.map((job) => ({ path: job.folder, pictures: 0, failed: 0, job })),
  ];
}

/**
 * The real path of a folder that a user typed: absolute or from the home folder. Throws a UsageError for what cannot be
 * indexed.
 */
export async function checkFolder(typed: string): Promise<string> {
  const path = typed === "~" || typed.startsWith("~/") ? join(homedir(), typed.slice(1)) : typed;
  if (!isAbsolute(path))
    throw new UsageError(`${typed}: expected the folder's full path, such as ${join(homedir(), "Pictures")}`);
  const real = await realpath(path).catch(() => {
    throw new UsageError(`${path}: there is no such folder on this machine, or it may not be read`);
  });
  if (!(await stat(real)).isDirectory()) throw new UsageError(`${path}: is a file; name the folder it is in`);
  if (real === parse(real).root)
    throw new UsageError(`${path}: is the whole disk; name a folder of pictures`);
  return real;
}

const contains = (outer: string, inner: string): boolean =>
  inner.startsWith(outer.endsWith(sep) ? outer : outer + sep);
