/**
 * Our side of the benchmarks of chat models: the first line of the input names a model, the second lets it be loaded,
 * and each further one is a question; it says how long each took.
 */
import { createInterface } from "node:readline";
import { Rng } from "../../src/core/rng.ts";
import type { ChatModel } from "../../src/infer/chat-model.ts";
import { type LoadChatOptions, loadChatModel } from "../../src/infer/load-chat-model.node.ts";
import type { RgbImage } from "../../src/vision/image.ts";
import type { Answer, Question } from "../answers.ts";

const TILE = 448;

/** Width and height in tiles of pictures that are cut into so many; more than one tile have a thumbnail with them. */
const SHAPES: Readonly<Record<number, readonly [columns: number, rows: number]>> = { 1: [1, 1], 7: [3, 2] };

function madeUp({ tiles, seed }: NonNullable<Question["picture"]>): RgbImage {
  const shape = SHAPES[tiles];
  if (!shape)
    throw new Error(`answer: pictures of ${Object.keys(SHAPES)} tiles are made up, not of ${tiles}`);
  const [width, height] = shape.map((n) => n * TILE) as [number, number];
  const rng = new Rng(seed);
  const data = Uint8Array.from({ length: width * height * 3 }, () => 256 * rng.uniform());
  return { width, height, data };
}

async function answer(model: ChatModel, { text, picture, tokens }: Question): Promise<Answer> {
  const options = { temperature: 0, maxTokens: tokens };
  const image = picture && madeUp(picture);
  const start = performance.now();
  const chunks = image
    ? model.chat(
        [
          // Another beginning for each question: nothing is known from before.
          { role: "system", content: picture.seed },
          {
            role: "user",
            content: [
              { type: "image", image },
              { type: "text", text },
            ],
          },
        ],
        { ...options, maxTiles: Math.max(1, picture.tiles - 1) },
      )
    : model.complete(text, options);
  const since = () => (performance.now() - start) / 1000;
  let [firstSeconds, seconds] = [0, 0];
  for await (const { tokens: made, usage } of chunks) {
    if (made.length > 0) seconds = since();
    firstSeconds ||= seconds;
    if (!usage) continue;
    const { promptTokens, cachedTokens, completionTokens } = usage;
    if (cachedTokens > 32) throw new Error(`answer: ${cachedTokens} tokens of the prompt were known already`);
    return { promptTokens, tokens: completionTokens, firstSeconds, seconds };
  }
  throw new Error("answer: it ended without saying what it took");
}

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const say = (what: unknown) => process.stdout.write(`${JSON.stringify(what)}\n`);

const { path, ...options } = JSON.parse((await lines.next()).value) as LoadChatOptions & {
  readonly path: string;
};
say({ version: path });
await lines.next();
const start = performance.now();
await using model = await loadChatModel(path, options);
say({ seconds: (performance.now() - start) / 1000 });
for await (const line of lines) say(await answer(model, JSON.parse(line) as Question));
