import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { fakeEmbedder, plain, put } from "../search/test-support.ts";
import { type App, type AppOptions, createApp } from "./app.ts";
import { openLibrary } from "./library.ts";
import type { Library } from "./ports.ts";

export interface TestLibrary extends AsyncDisposable {
  readonly library: Library;
  /** Holds `pictures`, indexed, and `index`. */
  readonly root: string;
  readonly pictures: string;
}

/** A library over a few pictures of one colour each, with the model of the search tests. */
export async function testLibrary(
  options: { readonly delayMs?: number; readonly colours?: readonly string[] } = {},
): Promise<TestLibrary> {
  const folder = await temporaryFolder();
  const pictures = join(folder.path, "pictures");
  await mkdir(pictures);
  for (const colour of options.colours ?? ["red", "green", "blue"])
    await put(pictures, { [`${colour}.png`]: await plain(colour) });
  const embedder = fakeEmbedder(options.delayMs === undefined ? {} : { delayMs: options.delayMs });
  const library = await openLibrary({ indexDir: join(folder.path, "index"), embedder });
  await library.index.update(pictures);
  return {
    library,
    root: folder.path,
    pictures,
    async [Symbol.asyncDispose]() {
      await library.close();
      await folder[Symbol.asyncDispose]();
    },
  };
}

/** An app without a socket; failures that are no user's mistake are collected in `defects`. */
export function testApp(
  library: AppOptions["library"],
  options: Partial<AppOptions> = {},
): App & { readonly defects: unknown[] } {
  const defects: unknown[] = [];
  const app = createApp({ library, loopback: true, onDefect: (error) => defects.push(error), ...options });
  return { ...app, defects };
}
