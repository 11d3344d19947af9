import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { type Command, InvalidArgumentError, Option } from "commander";
import type { Device } from "../../core/devices.ts";
import { UsageError } from "../../core/errors.ts";
import { PRECISIONS, type Precision } from "../../core/precisions.ts";
import type { ChatModel } from "../../infer/chat-model.ts";
import { modelNameOf } from "../../infer/model-name.ts";
import { NANO, NANO_CHAT } from "../../infer/nano.node.ts";
import type { Progress as IndexProgress } from "../../search/progress.ts";
import type { UpdateResult } from "../../search/update.ts";
import type { FolderJob } from "../../server/indexer.ts";
import type { Library } from "../../server/ports.ts";
import { type Context, note, printJson, progressOf } from "../context.ts";
import { locateModel } from "../locate-model.ts";
import {
  collect,
  deviceOption,
  examples,
  type IndexOptions,
  integer,
  type JsonOption,
  jsonOption,
  type ModelOptions,
  modelOption,
  offlineOption,
  openModel,
  precisionOption,
  threadsOption,
  USUAL_CHAT_PRECISION,
  visionPrecisionOption,
} from "../options.ts";
import { defaultIndex, GALLERY, galleryIndex } from "../paths.ts";
import type { Progress } from "../progress.ts";
import { visible } from "../terminal.ts";

interface ServeOptions extends ModelOptions, Partial<IndexOptions>, JsonOption {
  readonly gallery?: true;
  readonly folder?: readonly string[];
  readonly host: string;
  readonly hostName?: readonly string[];
  readonly port?: number;
  readonly allowRemoteFolders?: true;
  readonly chat?: readonly string[];
  readonly chatPrecision?: Precision;
  readonly visionPrecision?: Precision;
  readonly device?: Device;
  readonly context?: number;
  readonly batch: number;
  readonly apiKey?: readonly string[];
  readonly pictureHost?: readonly string[];
  readonly allowOrigin?: readonly string[];
  readonly grace: number;
}

export function addServe(program: Command, context: Context): void {
  program
    .command("serve")
    .description("Serve a page to search, classify, chat and add folders, and an HTTP API.")
    .option("--gallery", "with the free pictures and the small chat model that come with it")
    .option("--folder <dir>", "index this folder first; repeatable", collect)
    .option("--host <address>", "address to listen on; 0.0.0.0 lets other machines in", "127.0.0.1")
    .option("--host-name <name>", "name under which it may be opened too; repeatable", hostNames)
    .option("-p, --port <n>", "port, 0 for any free one (default: PORT, or 4747)", integer(0, 65_535))
    .option("--allow-remote-folders", "let other machines add and remove folders of this one")
    .option("--index <dir>", "folder of the index (default: your own, the gallery's with --gallery)")
    .option(
      "--chat <model>",
      "answer with this chat model, on the page and under /v1; repeatable (default: none, or nano-chat with --gallery)",
      collect,
    )
    .addOption(
      new Option(
        "--chat-precision <name>",
        `how the chat models' weights are kept (default: ${USUAL_CHAT_PRECISION})`,
      ).choices(PRECISIONS),
    )
    .addOption(visionPrecisionOption())
    .addOption(
      new Option(
        "--context <n>",
        "most tokens of a conversation with its answer (default: 8192, or the positions that the model has)",
      ).argParser(integer(2)),
    )
    .addOption(
      new Option(
        "--batch <n>",
        "most answers of a model at the same time; fewer where memory is short, one on a GPU",
      )
        .default(16)
        .argParser(integer(1, 256)),
    )
    .option("--api-key <key>", "ask for this key under /v1 (or INTERNVL_API_KEY); repeatable", collect)
    .option(
      "--picture-host <host>",
      "let requests name pictures and videos on this host, *.NAME for subdomains; repeatable",
      pictureHosts,
    )
    .option(
      "--allow-origin <origin>",
      "let pages of this origin use /v1, * for all; repeatable",
      allowedOrigins,
    )
    .addOption(
      new Option("--grace <s>", "how long running requests may go on when it is stopped, in seconds")
        .argParser(integer(0, 86_400))
        .default(5),
    )
    .addOption(modelOption(context))
    .addOption(offlineOption())
    .addOption(precisionOption())
    .addOption(threadsOption())
    .addOption(deviceOption())
    .addOption(jsonOption())
    .addHelpText(
      "after",
      `
Prints the address when searches can be answered; Ctrl-C stops it, twice at once. Whoever can
reach the address can see every picture of the index: it listens on this machine only unless
--host says otherwise. It answers to IP addresses, localhost, --host and this machine's name; a
name of your network's or of a proxy before it needs --host-name. Programs for OpenAI's API find
models under /v1 (docs/server.md).
${examples(
  "internvl serve --gallery",
  "internvl serve --folder ~/Pictures --port 8080",
  "internvl serve --host 0.0.0.0 --host-name nas.lan",
  "internvl serve --chat OpenGVLab/InternVL3-1B --chat-precision w8",
  'curl "http://localhost:4747/api/search?q=a+dog&k=5"',
)}`,
    )
    .action((options: ServeOptions) => serveUntilStopped(context, options));
}

async function serveUntilStopped(context: Context, options: ServeOptions): Promise<void> {
  const { env, signal } = context;
  const port = options.port ?? (env.PORT ? portOf(env.PORT) : undefined);
  const folders = await checkFolders(options.folder ?? []);
  const apiKeys = options.apiKey ?? (env.INTERNVL_API_KEY ? [env.INTERNVL_API_KEY] : []);
  const { serve } = await import("../../server/serve.ts");
  using bar = progressOf(context);
  const located = await locateModels(context, options);
  const chatModels = await openChatModels(context, located, bar);
  const server = await serve({
    library: openPictures(context, located, bar),
    host: options.host,
    hostNames: options.hostName,
    port,
    folders: options.gallery ? [GALLERY, ...folders] : folders,
    remoteFolderChanges: options.allowRemoteFolders ?? false,
    chatModels,
    apiKeys,
    allowOrigins: options.allowOrigin,
    graceMs: 1000 * options.grace,
    ...(options.pictureHost && { remotePictures: { hosts: options.pictureHost } }),
  });
  try {
    await Promise.race([server.ready, aborted(signal)]);
    if (!signal.aborted) {
      bar.clear();
      if (options.json) await printJson(context, { url: server.url });
      else await context.out.write(`internvl is at ${server.url}\n`);
      // A folder that fails does not stop the server; the page tells of it too.
      server.indexed
        .then((failed) => (signal.aborted ? undefined : noteIndexed(context, failed)))
        .catch(() => {});
    }
    await aborted(signal);
  } finally {
    bar.clear();
    await server.close();
  }
}

/**
 * The options with the paths of their models, downloaded where they are not here. A chat model that was named by --model
 * answers, in the precision that was named with it, and the search has its usual model.
 */
async function locateModels(context: Context, options: ServeOptions): Promise<ServeOptions> {
  const chat: string[] = [];
  for (const name of options.chat ?? (options.gallery ? [NANO_CHAT] : []))
    chat.push(await locateModel(context, name, options));
  const model = await locateModel(context, options.model, options);
  const { isChatModel } = await import("../../infer/is-chat-model.node.ts");
  if (!(await isChatModel(model))) return { ...options, model, chat };
  const { precision, chatPrecision = precision, ...rest } = options;
  return { ...rest, model: NANO, chat: [...chat, model], ...(chatPrecision && { chatPrecision }) };
}

/** The chat models by the names of their folders or files, which is what requests call them. */
async function openChatModels(
  cli: Context,
  { chat: paths = [], chatPrecision, visionPrecision, context, batch, threads, device }: ServeOptions,
  bar: Progress,
): Promise<Map<string, ChatModel>> {
  const names = paths.map((path) => modelNameOf(resolve(path)));
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined)
    throw new UsageError(
      `--chat: two models are called ${visible(twice)}; give one of the folders another name`,
    );
  const models = new Map<string, ChatModel>();
  try {
    for (const [i, path] of paths.entries()) {
      bar.update({ label: `loading ${visible(names[i]!)}`, done: i, total: paths.length });
      models.set(
        names[i]!,
        await cli.services.loadChatModel(path, {
          batch,
          ...(threads && { threads }),
          ...(device && { device }),
          ...(chatPrecision && { precision: chatPrecision }),
          ...(visionPrecision && { visionPrecision }),
          ...(context && { context }),
        }),
      );
    }
  } catch (error) {
    for (const model of models.values()) await model[Symbol.asyncDispose]();
    throw error;
  } finally {
    bar.clear();
  }
  return models;
}

function noteIndexed(context: Context, failed: readonly FolderJob[]): Promise<void> {
  if (failed.length === 0) return note(context, "all folders are indexed");
  return note(context, failed.map((job) => visible(`${job.folder}: not indexed: ${job.error}`)).join("\n"));
}

/** The library behind the server, which shows its indexing on the terminal. */
async function openPictures(context: Context, options: ServeOptions, bar: Progress): Promise<Library> {
  const { openLibrary } = await import("../../server/library.ts");
  const { openGallery } = await import("../gallery.ts");
  const { showIndexing, unsupportedLine } = await import("./index-folders.ts");
  const { env } = context;
  const embedder = await openModel(context, options);
  const shipped = options.model === NANO;
  const opened =
    options.gallery && options.index === undefined
      ? await openGallery({ embedder, shipped, indexDir: galleryIndex(env, options) })
      : await openLibrary({ embedder, shipped, indexDir: options.index ?? defaultIndex(env) });
  const index = watched(opened.index, {
    onProgress: (progress) => showIndexing(bar, progress),
    onResult(folders, { unsupported }) {
      const line = unsupportedLine(unsupported);
      if (line) void note(context, visible(`${[folders ?? "the index"].flat().join(", ")}: ${line}`));
    },
  });
  return { ...opened, index };
}

interface Watcher {
  onProgress(progress: IndexProgress): void;
  onResult(folders: string | readonly string[] | undefined, result: UpdateResult): void;
}

/** The same index, of whose updates the watcher is told too. */
function watched(index: Library["index"], watcher: Watcher): Library["index"] {
  const update: Library["index"]["update"] = async (folders, options = {}) => {
    const result = await index.update(folders, {
      ...options,
      onProgress(progress) {
        options.onProgress?.(progress);
        watcher.onProgress(progress);
      },
    });
    watcher.onResult(folders, result);
    return result;
  };
  return new Proxy(index, {
    get(target, name) {
      if (name === "update") return update;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** The folders as absolute paths; one UsageError names all that are none. */
async function checkFolders(folders: readonly string[]): Promise<string[]> {
  const infos = await Promise.all(folders.map((folder) => stat(folder).catch(() => undefined)));
  const wrong = folders.filter((_, i) => !infos[i]?.isDirectory());
  if (wrong.length > 0)
    throw new UsageError(wrong.map((folder) => `${folder}: there is no such folder`).join("\n"));
  return folders.map((folder) => resolve(folder));
}

/** Parser of --host-name, which may be given several times. */
function hostNames(name: string, earlier: readonly string[] | undefined): readonly string[] {
  if (!/^[\w.-]+$/.test(name))
    throw new InvalidArgumentError("Expected a name without scheme and port, such as nas.lan.");
  return collect(name, earlier);
}

/** Parser of --picture-host, which may be given several times. */
function pictureHosts(host: string, earlier: readonly string[] | undefined): readonly string[] {
  if (!/^(\*\.)?[\w.-]+(:\d+)?$/.test(host))
    throw new InvalidArgumentError(
      "Expected a name, such as img.example.com, *.example.com or img.example.com:8443.",
    );
  return collect(host, earlier);
}

/** Parser of --allow-origin, which may be given several times. */
function allowedOrigins(origin: string, earlier: readonly string[] | undefined): readonly string[] {
  if (origin !== "*" && !(URL.canParse(origin) && new URL(origin).origin === origin))
    throw new InvalidArgumentError("Expected scheme, name and port alone, such as https://app.example.");
  return collect(origin, earlier);
}

function portOf(text: string): number {
  try {
    return integer(0, 65_535)(text);
  } catch {
    throw new UsageError(`PORT: expected a whole number from 0 to 65535, found "${text}"`);
  }
}

/** Resolves when the signal is aborted. */
const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
