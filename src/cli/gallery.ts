import { realpath } from "node:fs/promises";
import { ConfigError } from "../core/errors.ts";
import { readManifest } from "../search/manifest.ts";
import { type LibraryOptions, openLibrary } from "../server/library.ts";
import type { Library } from "../server/ports.ts";
import { GALLERY } from "./paths.ts";

/**
 * The library over an index of the gallery. One that was made with other weights, or is damaged, begins again without
 * asking as long as the gallery is all it holds, which takes seconds; the embeddings of folders that the user added
 * may have taken hours, so with these it throws what `openLibrary` throws.
 */
export async function openGallery(options: LibraryOptions, gallery: string = GALLERY): Promise<Library> {
  return openLibrary(options).catch(async (error: unknown) => {
    if (!(error instanceof ConfigError) || !(await holdsOnly(options.indexDir, gallery))) throw error;
    return openLibrary({ ...options, rebuild: true });
  });
}

async function holdsOnly(indexDir: string, folder: string): Promise<boolean> {
  const { folders } = (await readManifest(indexDir)) ?? { folders: [] };
  // The index holds real paths.
  const real = await realpath(folder);
  return folders.every((f) => f === real);
}
