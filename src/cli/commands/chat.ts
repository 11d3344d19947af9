import { type Command, Option } from "commander";
import { UsageError } from "../../core/errors.ts";
import type { ChatModel } from "../../infer/chat-model.ts";
import type { ChatCommandOptions } from "../chat/chat-options.ts";
import type { Media } from "../chat/media.ts";
import { VIDEO_OPTIONS } from "../chat/video-choice.ts";
import { type Context, note, printJson } from "../context.ts";
import {
  collect,
  decimal,
  deviceOption,
  examples,
  integer,
  jsonOption,
  offlineOption,
  precisionOption,
  threadsOption,
  USUAL_CHAT_PRECISION,
  visionPrecisionOption,
} from "../options.ts";
import { chatHistory } from "../paths.ts";
import { style, visible } from "../terminal.ts";

export function addChat(program: Command, context: Context): void {
  program
    .command("chat")
    .description("Ask a vision-language model about pictures and videos, once or in a conversation.")
    .argument("<model>", "OWNER/NAME of a chat model on the hub, its folder, a .gguf file, or nano-chat")
    .argument("[files and question...]", "pictures and videos, and one question in quotes")
    .addOption(precisionOption(USUAL_CHAT_PRECISION))
    .addOption(visionPrecisionOption())
    .addOption(threadsOption())
    .addOption(deviceOption())
    .addOption(
      new Option(
        "--context <n>",
        "most tokens of a conversation with its answer (default: 8192, or the positions that the model has)",
      ).argParser(integer(2)),
    )
    .option("--mmproj <file>", "the vision part of a .gguf model, a file here or on the hub")
    .addOption(offlineOption())
    .addOption(
      new Option(
        "--max-tokens <n>",
        "most tokens of an answer (default: what the context has room for)",
      ).argParser(integer(1)),
    )
    .addOption(
      new Option(
        "--temperature <t>",
        `how much is left to chance, 0 to 2 (default: 0, always the same answer, as the published evaluations; 0.6 with --think)`,
      ).argParser(decimal(0, 2)),
    )
    .addOption(
      new Option("--top-p <p>", "draw from the fewest tokens with this probability").argParser(decimal(0, 1)),
    )
    .addOption(new Option("--top-k <k>", "draw from the k most likely tokens").argParser(integer(0)))
    .addOption(
      new Option("--min-p <p>", "draw from tokens this many times as likely as the likeliest").argParser(
        decimal(0, 1),
      ),
    )
    .addOption(
      new Option("--repetition-penalty <x>", "above 1: less of what was said already").argParser(
        decimal(0.01, 100),
      ),
    )
    .addOption(new Option("--seed <n>", "the same seed gives the same answer").argParser(integer(0)))
    .option("--stop <text>", "a text that ends the answer; repeatable", collect)
    .option("--system <text>", "system message, instead of the model's own")
    .option("--think", "let InternVL3 and 3.5 think before they answer")
    .option("--show-thinking", "print on stderr what the model thinks before it answers")
    .addOption(
      new Option("--max-tiles <n>", "most tiles of a picture (default: the model's)").argParser(integer(1)),
    )
    .addOption(
      new Option("--frames <n>", "frames taken of a video").argParser(VIDEO_OPTIONS.frames).default(8),
    )
    .addOption(
      new Option("--from <s>", "where in a video to begin, in seconds").argParser(VIDEO_OPTIONS.from),
    )
    .addOption(new Option("--to <s>", "where in a video to end, in seconds").argParser(VIDEO_OPTIONS.to))
    .option("--boxes <file>", "draw the answer's boxes on the picture, into a .png or .jpg file")
    .option("--no-history", "neither read nor keep what is typed")
    .addOption(jsonOption())
    .addHelpText(
      "after",
      `
A model is a path, or a name on the Hugging Face hub: OWNER/NAME, with a branch, tag or commit
OWNER/NAME@REVISION, or one file, OWNER/NAME/FILE.gguf. What is here is used; what is not is
downloaded once, into the cache that the hub's tools share (docs/hub.md). nano-chat, which is very
small, comes with this program.
Arguments that are files are shown to the model, whatever their names; the one that is none is the
question. Text that is piped in is the question, or follows it. Without a question in a terminal a
conversation begins; /help lists its commands. What is typed there is kept in
  ${chatHistory(context.env)}
Ctrl-C stops an answer. With --json one object: answer, thinking, finish_reason, usage, seconds,
tokens_per_second, and boxes in pixels of the picture when there are any.
${examples(
  'internvl chat OpenGVLab/InternVL3-1B photo.jpg "What is on the sign?"',
  "internvl chat OpenGVLab/InternVL3-1B photo.jpg",
  'internvl chat models/InternVL3-1B clip.mp4 "What happens?" --frames 16 --from 60 --to 90',
  'internvl chat models/InternVL3-1B "Summarise in one line:" < notes.txt',
  'internvl chat InternVL3-1B.gguf --mmproj mmproj.gguf photo.jpg "Read the text." --json',
  'internvl chat models/InternVL3-1B photo.jpg "Detect all cats." --boxes cats.png',
)}`,
    )
    .action((model: string, rest: string[], options: ChatCommandOptions) =>
      chat(context, model, rest, options),
    );
}

async function chat(
  context: Context,
  path: string,
  rest: readonly string[],
  options: ChatCommandOptions,
): Promise<void> {
  const { checkInteractive, checkMedia, checkOptions } = await import("../chat/chat-options.ts");
  checkOptions(options);
  const { sortArguments } = await import("../chat/arguments.ts");
  const { readPiped } = await import("../chat/piped-text.ts");
  const { files, question } = await sortArguments(rest);
  if (files.length > 0 && /\.gguf(@|$)/.test(path) && options.mmproj === undefined)
    throw new UsageError(
      `${visible(path)}: a .gguf file of the language model alone sees nothing; name its vision part with --mmproj FILE`,
    );
  const piped = await readPiped(context);
  const text = [question, piped].filter((part) => part !== undefined && part.trim() !== "").join("\n\n");
  if (text === "") checkInteractive(context, options);
  const media = await openAll(context, files, options);
  if (text !== "") checkMedia(media, options);
  if (options.boxes !== undefined) {
    const { checkOutput } = await import("../output-file.ts");
    await checkOutput("--boxes", options.boxes);
  }
  await using model = await load(context, path, options);
  if (text === "") await converse(context, model, media, options);
  else await askOnce(context, model, media, text, options);
}

async function openAll(
  context: Context,
  files: readonly string[],
  options: ChatCommandOptions,
): Promise<Media[]> {
  if (files.length === 0) return [];
  const { openMedia } = await import("../chat/media.ts");
  const { videoChoice } = await import("../chat/chat-options.ts");
  const media: Media[] = [];
  for (const file of files) media.push(await openMedia(file, videoChoice(options), context.signal));
  return media;
}

async function load(context: Context, name: string, options: ChatCommandOptions): Promise<ChatModel> {
  const { whileWaiting } = await import("../progress.ts");
  const { locateModel } = await import("../locate-model.ts");
  const { threads, device, precision, visionPrecision, context: length } = options;
  const path = await locateModel(context, name, options);
  const mmproj = options.mmproj && (await locateModel(context, options.mmproj, options));
  const loading = context.services.loadChatModel(path, {
    // The conversation, and the one before /clear.
    batch: 2,
    ...(threads !== undefined && { threads }),
    ...(device !== undefined && { device }),
    ...(precision !== undefined && { precision }),
    ...(visionPrecision !== undefined && { visionPrecision }),
    ...(length !== undefined && { context: length }),
    ...(mmproj !== undefined && { mmproj }),
  });
  return whileWaiting(context.err, "loading", context.signal, loading);
}

async function askOnce(
  context: Context,
  model: ChatModel,
  media: readonly Media[],
  text: string,
  options: ChatCommandOptions,
): Promise<void> {
  const { answer, replyFacts } = await import("../chat/answer.ts");
  const { messagesOf, usageJson } = await import("../chat/conversation.ts");
  const { chatOptions, systemOf } = await import("../chat/chat-options.ts");
  const { boxesOf, drawInto, pictureOf } = await import("../chat/boxes.ts");
  const messages = messagesOf({ system: systemOf(options), turns: [{ media, text }] });
  const reply = await answer(context, model, messages, {
    ...chatOptions(options),
    signal: context.signal,
    showThinking: options.showThinking === true,
    quiet: options.json === true,
  });
  const { thinking, usage, seconds, tokensPerSecond, finishReason } = reply;
  const boxes = boxesOf(media, reply.answer);
  if (options.json)
    await printJson(context, {
      model: model.id,
      answer: reply.answer,
      thinking,
      finish_reason: finishReason,
      usage: usage && usageJson(usage),
      seconds,
      tokens_per_second: tokensPerSecond ?? null,
      ...(boxes.length > 0 && { boxes }),
    });
  const picture = pictureOf(media);
  if (options.boxes !== undefined && picture)
    await note(context, `${visible(options.boxes)}: ${await drawInto(options.boxes, picture, boxes)}`);
  if (context.err.isTTY) await note(context, style(context.err, "dim", replyFacts(reply)));
}

async function converse(
  context: Context,
  model: ChatModel,
  media: readonly Media[],
  options: ChatCommandOptions,
): Promise<void> {
  const { chatOptions, systemOf, videoChoice } = await import("../chat/chat-options.ts");
  const { LineReader } = await import("../chat/line-reader.ts");
  const { Session } = await import("../chat/session.ts");
  const { HISTORY_LINES, readHistory, writeHistory } = await import("../chat/history.ts");
  const file = options.history ? chatHistory(context.env) : undefined;
  let typed: readonly string[] | undefined;
  {
    using reader = new LineReader(context.input, context.out.isTTY ? context.out : context.err, {
      history: file === undefined ? [] : await readHistory(file),
      historySize: HISTORY_LINES,
      onHistory: (lines) => {
        typed = lines;
      },
      signal: context.signal,
    });
    const session = new Session(context, model, reader, {
      answer: { ...chatOptions(options), showThinking: options.showThinking === true },
      video: videoChoice(options),
      system: systemOf(options),
      media,
    });
    try {
      await session.run();
    } finally {
      if (file !== undefined && typed) await writeHistory(file, typed).catch(() => {});
    }
  }
}
