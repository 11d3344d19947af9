import { join } from "node:path";
import { expect, test } from "vitest";
import { patches, put } from "../search/test-support.ts";
import { testApp, testLibrary } from "./test-support.ts";

test("results say that folders are being indexed, and no longer when they are", async () => {
  await using library = await testLibrary({ colours: ["red"] });
  const app = testApp(library.library);
  const search = async () =>
    (await (await app.request("/api/search?q=red")).json()) as { results: unknown[]; indexing?: boolean };
  const { indexer } = await app.ready;
  expect(await search()).not.toHaveProperty("indexing");
  const more = join(library.root, "more");
  await put(more, { "a.png": await patches(1) });
  indexer.add(more);
  expect(await search()).toMatchObject({ indexing: true });
  await indexer.idle();
  const { results, ...rest } = await search();
  expect(results).toHaveLength(2);
  expect(rest).not.toHaveProperty("indexing");
});
