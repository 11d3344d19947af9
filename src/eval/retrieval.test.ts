import { expect, test } from "vitest";
import { colourEmbedder, loadColour } from "./colour-embedder.fixture.ts";
import { CONCEPT_PROTOCOL, evaluateRetrieval, queriesOf, type RetrievalItem } from "./retrieval.ts";

const items: RetrievalItem[] = [
  { path: "red.png", captions: { en: ["a red thing"], de: ["blue, wrongly"] } },
  { path: "green.png", captions: { en: ["a green thing", "a blue thing"] } },
  { path: "blue.png", captions: { en: ["a blue thing"], de: ["blue"] } },
];

test("recall both ways, per language, with all pictures as candidates", async () => {
  const { model, languages } = await evaluateRetrieval(colourEmbedder(), items, { loadImage: loadColour });
  expect(model).toBe("colours-1");
  // Of four English captions, "a blue thing" of the green picture finds the blue one first and its own second.
  expect(languages.en).toEqual({
    "image_retrieval_recall@1": 3 / 4,
    "image_retrieval_recall@5": 1,
    "image_retrieval_recall@10": 1,
    "text_retrieval_recall@1": 2 / 3,
    "text_retrieval_recall@5": 1,
    "text_retrieval_recall@10": 1,
    mean_recall: (3 / 4 + 2 / 3 + 4) / 6,
    images: 3,
    texts: 4,
    images_with_text: 3,
  });
  expect(languages.de).toMatchObject({
    "image_retrieval_recall@1": 1 / 2,
    images: 3,
    texts: 2,
    images_with_text: 2,
  });
});

test("pictures are embedded once for all languages, equal captions once per language", async () => {
  const embedder = colourEmbedder();
  await evaluateRetrieval(embedder, items, { loadImage: loadColour, languages: ["en"] });
  expect(embedder.calls.images).toBe(3);
  expect(embedder.calls.texts).toEqual(["a red thing", "a green thing", "a blue thing"]);
});

test("captions are cleaned before they are queries", async () => {
  const embedder = colourEmbedder();
  await evaluateRetrieval(embedder, [{ path: "red.png", captions: { und: ["RED!"] } }], {
    loadImage: loadColour,
    protocol: { queries: "all", hit: "own", cleanCaption: (c) => c.toLowerCase().replace("!", "") },
  });
  expect(embedder.calls.texts).toEqual(["red"]);
});

test("concepts: the first caption is the query, any picture of its group or with its text is a hit", () => {
  const drawings: RetrievalItem[] = [
    { path: "a.png", captions: { en: ["apple", "fruit"] }, group: "1F34E" },
    { path: "b.png", captions: { en: ["apple"] } },
    { path: "c.png", captions: { en: ["fruit"] } },
    { path: "d.png", captions: { de: ["Apfel"] }, group: "1F34E" },
    { path: "e.png", captions: { en: [] } },
  ];
  expect(queriesOf(drawings, "en", CONCEPT_PROTOCOL)).toEqual({
    texts: ["apple", "apple", "fruit"],
    positives: [[0, 1, 3], [0, 1], [2]],
  });
  expect(queriesOf(drawings, "de", CONCEPT_PROTOCOL)).toEqual({ texts: ["Apfel"], positives: [[3, 0]] });
});

test("a language without captions and a manifest without any are refused", async () => {
  const options = { loadImage: loadColour };
  await expect(
    evaluateRetrieval(colourEmbedder(), items, { ...options, languages: ["en", "fr"] }),
  ).rejects.toThrow("no captions in fr; the manifest has de, en");
  await expect(
    evaluateRetrieval(colourEmbedder(), [{ path: "red.png", captions: {} }], options),
  ).rejects.toThrow("no picture has a caption");
});

test("pictures that cannot be read are all named in one error, and nothing more is embedded", async () => {
  const embedder = colourEmbedder();
  const captions = { en: ["red"] };
  const many = ["red.png", "broken1.png", ...Array.from({ length: 40 }, () => "red.png"), "broken2.png"];
  const run = evaluateRetrieval(
    embedder,
    many.map((path) => ({ path, captions })),
    { loadImage: loadColour },
  );
  await expect(run).rejects.toThrow(
    /^2 of 43 pictures cannot be read.*\n {2}broken1.png: .*\n {2}broken2.png: /,
  );
  expect(embedder.calls.images).toBe(0);
});

test("a defect in decoding is not taken for a broken picture", async () => {
  const loadImage = () => Promise.reject(new TypeError("undefined is not a function"));
  await expect(evaluateRetrieval(colourEmbedder(), items, { loadImage })).rejects.toThrow(TypeError);
});

test("cancelling stops with the signal's reason; progress covers pictures, texts and ranking", async () => {
  const phases = new Set<string>();
  const onProgress = ({ phase }: { phase: string }) => phases.add(phase);
  await evaluateRetrieval(colourEmbedder(), items, { loadImage: loadColour, onProgress });
  expect([...phases]).toEqual(["pictures", "texts", "ranking"]);

  const controller = new AbortController();
  const run = evaluateRetrieval(colourEmbedder(), items, {
    loadImage: loadColour,
    signal: controller.signal,
    onProgress: ({ phase }) => phase === "ranking" && controller.abort(new Error("stopped")),
  });
  await expect(run).rejects.toThrow("stopped");
});
