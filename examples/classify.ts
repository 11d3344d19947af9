/** Which label fits a picture? `npm run -s example -- examples/classify.ts PICTURE LABEL…` */
import { fileURLToPath } from "node:url";
import { loadEmbedder, loadForModel, NANO, ZeroShotClassifier } from "internvl";

export async function classify(
  picture: string,
  labels: readonly string[],
): Promise<{ label: string; probability: number }[]> {
  await using model = await loadEmbedder(NANO);
  const classifier = await ZeroShotClassifier.build(model, labels, ["{c}"]);
  const [image] = await model.embedImages([
    await loadForModel(picture, { size: model.imageSize, framing: "crop" }),
  ]);
  const probabilities = classifier.probabilities(image!);
  return labels
    .map((label, i) => ({ label, probability: probabilities[i]! }))
    .sort((a, b) => b.probability - a.probability);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [picture = "", ...labels] = process.argv.slice(2);
  for (const { label, probability } of await classify(picture, labels))
    console.log(`${(100 * probability).toFixed(1)} %`, label);
}
