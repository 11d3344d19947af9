/**
 * Makes the conversations that nano-chat is trained on, from what nano's `fetch.ts` brought:
 *
 *     npx tsx recipes/nano-chat/make-data.ts DATA_DIR
 *
 * DATA_DIR/manifest.jsonl is read; chat-train.jsonl, chat-heldout-concepts.jsonl and chat-heldout-drawings.jsonl are
 * written beside it. The same manifest and pictures give the same files.
 */
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { isUserError, MediaError, UsageError } from "../../src/core/errors.ts";
import { Rng } from "../../src/core/rng.ts";
import { readManifest } from "../../src/data/manifest.node.ts";
import type { ManifestItem } from "../../src/data/manifest.ts";
import { loadShorterSide } from "../../src/vision/preprocess.node.ts";
import { writeJsonl } from "../nano/manifest.ts";
import { coloursOf } from "./colours.ts";
import { type ChatRow, type PictureFacts, pictureRow, textRow } from "./conversations.ts";

/** Different conversations about a picture of training whose name several drawings have; the others have one. */
const ROWS_PER_PICTURE = 3;
/** Drawings of a name from which something can be learnt that is not only this drawing's. */
const SEVERAL = 3;
/** Rows without a picture, for each row with one. */
const TEXT_SHARE = 0.03;
/** Names beyond this are titles of clip art, which say little of what is to be seen. */
const NAME_WORDS = 5;
const SIDE = 48;

async function main(args: readonly string[]): Promise<void> {
  const { positionals } = parseArgs({ args: [...args], allowPositionals: true });
  const [dataDir] = positionals;
  if (dataDir === undefined || positionals.length > 1)
    throw new UsageError("usage: npx tsx recipes/nano-chat/make-data.ts DATA_DIR");
  const folder = resolve(dataDir);
  for (const [split, rows] of [
    ["train", ROWS_PER_PICTURE],
    ["heldout-concepts", 1],
    ["heldout-drawings", 1],
  ] as const) {
    const facts = await readFacts(await readManifest(join(folder, "manifest.jsonl"), { split }), split);
    const made = makeRows(facts, rows, new Rng(`nano-chat/${split}`));
    await writeJsonl(join(folder, `chat-${split}.jsonl`), made);
    say(`${split}: ${made.length} conversations about ${facts.length} pictures`);
  }
}

/** Names, words and colours of the pictures that have a short English name. */
async function readFacts(items: readonly ManifestItem[], split: string): Promise<PictureFacts[]> {
  const facts: PictureFacts[] = [];
  for (const [i, { image, path, captions }] of items.entries()) {
    if ((i + 1) % 2000 === 0) say(`${split}: colours of ${i + 1} of ${items.length} pictures`);
    const [name, ...others] = captions.en ?? [];
    if (name === undefined || name.split(" ").length > NAME_WORDS) continue;
    const words = new Set([name, ...others].map((word) => word.toLowerCase()));
    try {
      facts.push({ image, name, words, colours: coloursOf(await loadShorterSide(path, SIDE)) });
    } catch (e) {
      if (!(e instanceof MediaError)) throw e;
      say(`not used: ${e.message}`);
    }
  }
  return facts;
}

function makeRows(facts: readonly PictureFacts[], rowsPerPicture: number, rng: Rng): ChatRow[] {
  const rows: ChatRow[] = [];
  const drawings = new Map<string, number>();
  for (const { name } of facts) drawings.set(name, (drawings.get(name) ?? 0) + 1);
  for (const picture of facts)
    for (let i = 0; i < (drawings.get(picture.name)! < SEVERAL ? 1 : rowsPerPicture); i++)
      rows.push(pictureRow(picture, facts, rng.fork(`${picture.image}/${i}`)));
  const texts = Math.round(rows.length * TEXT_SHARE);
  for (let i = 0; i < texts; i++) rows.push(textRow(rng.fork(`text/${i}`)));
  return rows;
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  if (!isUserError(error)) throw error;
  say(error.message);
  process.exitCode = 2;
}
