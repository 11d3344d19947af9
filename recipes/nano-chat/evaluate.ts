/**
 * Asks a model all questions of some conversations about pictures, each by itself, and tells how many answers are word
 * for word what the data says:
 *
 *     npx tsx recipes/nano-chat/evaluate.ts MODEL CONVERSATIONS.jsonl
 */
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { isUserError, UsageError } from "../../src/core/errors.ts";
import { loadChatModel } from "../../src/infer/load-chat-model.node.ts";
import { loadPicture } from "../../src/vision/load-picture.node.ts";
import { type ChatRow, kindOf } from "./conversations.ts";

/** Answers at the same time. */
const BATCH = 16;

interface Score {
  asked: number;
  right: number;
}

async function main(args: readonly string[]): Promise<void> {
  const { positionals } = parseArgs({ args: [...args], allowPositionals: true });
  const [path, annotation] = positionals;
  if (path === undefined || annotation === undefined || positionals.length > 2)
    throw new UsageError("usage: npx tsx recipes/nano-chat/evaluate.ts MODEL CONVERSATIONS.jsonl");
  await using model = await loadChatModel(path, { batch: BATCH });
  const rows = (await readFile(annotation, "utf8"))
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as ChatRow)
    .filter((row) => row.image !== undefined);
  const scores = new Map<string, Score>();
  let next = 0;
  const asker = async () => {
    for (let row = rows[next++]; row !== undefined; row = rows[next++]) {
      if (next % 200 === 0) process.stderr.write(`${next} of ${rows.length} pictures\n`);
      const image = await loadPicture(join(dirname(annotation), row.image!));
      for (let i = 0; i < row.conversations.length; i += 2) {
        const question = row.conversations[i]!.value.replace("<image>\n", "");
        const content = [
          { type: "image" as const, image },
          { type: "text" as const, text: question },
        ];
        let answer = "";
        for await (const { text } of model.chat([{ role: "user", content }], {
          temperature: 0,
          maxTokens: 48,
        }))
          answer += text;
        const kind = kindOf(question);
        const score = scores.get(kind) ?? { asked: 0, right: 0 };
        score.asked++;
        if (answer === row.conversations[i + 1]!.value) score.right++;
        scores.set(kind, score);
      }
    }
  };
  await Promise.all(Array.from({ length: BATCH }, asker));
  console.table(
    Object.fromEntries(
      [...scores]
        .sort()
        .map(([kind, { asked, right }]) => [kind, { asked, right: (right / asked).toFixed(3) }]),
    ),
  );
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  if (!isUserError(error)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 2;
}
