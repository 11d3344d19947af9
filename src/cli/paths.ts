import { createHash } from "node:crypto";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { NANO } from "../infer/nano.node.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** Both `src/cli/` of a clone and `dist/cli/` of the package lie two folders below the root. */
const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** The pictures that come with the package. */
export const GALLERY = join(ROOT, "gallery");

export const defaultModel = (env: Environment): string => env.INTERNVL_MODEL || NANO;

/** Where a program of this user keeps data, by the platform's convention. */
function userData(env: Environment, platform: NodeJS.Platform): string {
  const home = env.HOME || env.USERPROFILE || homedir();
  if (platform === "darwin") return join(home, "Library", "Application Support", "internvl");
  if (platform === "win32") return join(env.LOCALAPPDATA || join(home, "AppData", "Local"), "internvl");
  return join(env.XDG_DATA_HOME || join(home, ".local", "share"), "internvl");
}

/**
 * The user's own index, so that `search` finds what `index` put there from whatever folder either runs in.
 * INTERNVL_INDEX names another.
 */
export const defaultIndex = (env: Environment, platform: NodeJS.Platform = process.platform): string =>
  env.INTERNVL_INDEX || join(userData(env, platform), "index");

/** What the embeddings of an index depend on. */
export interface IndexModel {
  readonly model: string;
  readonly precision?: string | undefined;
}

/**
 * The index of a shipped gallery, apart from the user's own: its pictures are nobody's search results. Each clone or
 * installation has its own, or two of them would show every picture twice; and so has each model, or a change of the
 * model and back would embed everything twice, the folders that were added on the page included.
 */
export function galleryIndex(
  env: Environment,
  { model, precision }: IndexModel,
  platform: NodeJS.Platform = process.platform,
  gallery = GALLERY,
): string {
  const what = JSON.stringify([gallery, resolve(model), precision ?? null]);
  const digest = createHash("sha256").update(what).digest("hex").slice(0, 12);
  return join(userData(env, platform), "galleries", digest);
}

/** What was typed in chats. */
export const chatHistory = (env: Environment, platform: NodeJS.Platform = process.platform): string =>
  join(userData(env, platform), "chat-history");

/** Embeddings that an evaluation keeps for its next run. */
export const evalCache = (env: Environment, platform: NodeJS.Platform = process.platform): string =>
  join(userData(env, platform), "eval-cache");
