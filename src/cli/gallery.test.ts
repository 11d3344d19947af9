import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { ConfigError } from "../core/errors.ts";
import { fakeEmbedder, plain, put } from "../search/test-support.ts";
import type { Library } from "../server/ports.ts";
import { openGallery } from "./gallery.ts";

async function workplace() {
  const folder = await temporaryFolder();
  const [gallery, own, indexDir] = ["gallery", "own", "index"].map((name) => join(folder.path, name)) as [
    string,
    string,
    string,
  ];
  await put(gallery, { "red.png": await plain("red") });
  await put(own, { "blue.png": await plain("blue") });
  let embedded = 0;
  const onImages = (n: number) => {
    embedded += n;
  };
  return {
    gallery,
    own,
    indexDir,
    open: (id: string) => openGallery({ indexDir, embedder: fakeEmbedder({ id, onImages }) }, gallery),
    embedded: () => embedded,
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

const use = async (opening: Promise<Library>, work: (library: Library) => Promise<unknown>) => {
  const library = await opening;
  await work(library);
  await library.close();
};

test("an index of the gallery alone begins again for other weights", async () => {
  await using w = await workplace();
  await use(w.open("colours@1"), ({ index }) => index.update(w.gallery));
  await use(w.open("colours@2"), async ({ index }) => {
    expect(await index.stats()).toMatchObject({ images: 0, folders: [{ path: w.gallery }] });
    await index.update(w.gallery);
  });
  expect(w.embedded()).toBe(2);
});

test("with a folder of the user's in it, the embeddings stay and the change is refused with a way out", async () => {
  await using w = await workplace();
  await use(w.open("colours@1"), ({ index }) => index.update([w.gallery, w.own]));
  const opening = w.open("colours@2");
  await expect(opening).rejects.toThrow(ConfigError);
  await expect(opening).rejects.toThrow(`internvl index --rebuild --index ${w.indexDir}`);
  await use(w.open("colours@1"), async ({ index }) => {
    expect(await index.update([w.gallery, w.own])).toMatchObject({ added: 0, unchanged: 2 });
  });
  expect(w.embedded()).toBe(2);
});

test("a description of the index that cannot be read is nothing to begin again from", async () => {
  await using w = await workplace();
  await use(w.open("colours@1"), ({ index }) => index.update(w.gallery));
  await writeFile(join(w.indexDir, "index.json"), "{");
  await expect(w.open("colours@1")).rejects.toThrow(/index\.json: expected an image index/);
});
