/** How alike are a picture and some texts? `npm run -s example -- examples/embed.ts PICTURE TEXT…` */
import { fileURLToPath } from "node:url";
import { loadEmbedder, loadForModel, NANO } from "internvl";

export async function similarities(picture: string, texts: readonly string[]): Promise<number[]> {
  await using model = await loadEmbedder(NANO);
  const [image] = await model.embedImages([
    await loadForModel(picture, { size: model.imageSize, framing: "squash" }),
  ]);
  const embeddings = await model.embedTexts(texts);
  // Embeddings are unit vectors: their dot product is the cosine.
  return embeddings.map((text) => text.reduce((sum, v, i) => sum + v * image![i]!, 0));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [picture = "", ...texts] = process.argv.slice(2);
  const cosines = await similarities(picture, texts);
  texts.forEach((text, i) => {
    console.log(cosines[i]!.toFixed(3), text);
  });
}
