/**
 * Asks a model all questions of some conversations about pictures, each by itself, and tells how many answers are word
 * for word what the data says:
 *
 *     npx tsx recipes/nano-chat/evaluate.ts MODEL CONVERSATIONS.jsonl
 */
import { dirname } from "node:path";
import { parseArgs } from "node:util";
import { isUserError, UsageError } from "../../src/core/errors.ts";
import { readAnnotation } from "../../src/data/conversations.node.ts";
import { loadChatModel } from "../../src/infer/load-chat-model.node.ts";
import { type ChatMessage, partsOf } from "../../src/text/conversation.ts";
import { loadPicture } from "../../src/vision/load-picture.node.ts";
import { kindOf } from "./conversations.ts";

/** Answers at the same time. */
const BATCH = 16;

interface Score {
  asked: number;
  right: number;
}

const textOf = (message: ChatMessage<string>): string =>
  partsOf(message)
    .map((part) => (part.type === "text" ? part.text : ""))
    .join("");

async function main(args: readonly string[]): Promise<void> {
  const { positionals } = parseArgs({ args: [...args], allowPositionals: true });
  const [path, annotation] = positionals;
  if (path === undefined || annotation === undefined || positionals.length > 2)
    throw new UsageError("usage: npx tsx recipes/nano-chat/evaluate.ts MODEL CONVERSATIONS.jsonl");
  await using model = await loadChatModel(path, { batch: BATCH });
  const rows = (await readAnnotation(annotation, dirname(annotation))).filter(
    ({ path }) => path !== undefined,
  );
  const scores = new Map<string, Score>();
  let next = 0;
  const asker = async () => {
    for (let row = rows[next++]; row !== undefined; row = rows[next++]) {
      if (next % 200 === 0) process.stderr.write(`${next} of ${rows.length} pictures\n`);
      const image = await loadPicture(row.path!);
      for (let i = 0; i < row.messages.length; i += 2) {
        const question = textOf(row.messages[i]!).trim();
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
        if (answer === textOf(row.messages[i + 1]!)) score.right++;
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
