/** What is on a picture? `npm run -s example -- examples/chat.ts nano-chat gallery/food/lemon.webp "What is this?"` */
import { fileURLToPath } from "node:url";
import { loadChatModel, loadPicture } from "internvl";

/** The answer as it grows. `model` is a folder with InternVL-Chat's weights. */
export async function* ask(model: string, picture: string, question: string): AsyncGenerator<string> {
  await using chat = await loadChatModel(model, { context: 4096 });
  const image = await loadPicture(picture);
  const messages = [
    {
      role: "user" as const,
      content: [
        { type: "image" as const, image },
        { type: "text" as const, text: question },
      ],
    },
  ];
  for await (const { text } of chat.chat(messages, { temperature: 0, maxTokens: 256 })) yield text;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [model = "", picture = "", ...question] = process.argv.slice(2);
  for await (const text of ask(model, picture, question.join(" "))) process.stdout.write(text);
  console.log();
}
