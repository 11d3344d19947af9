import { stat } from "node:fs/promises";
import { parseHubName } from "../hub/hub-name.ts";
import { NANO, NANO_CHAT } from "../infer/nano.node.ts";
import { looksLikeMedia } from "./chat/arguments.ts";
import { type Context, note, progressOf } from "./context.ts";
import { visible } from "./terminal.ts";

/** What the options say of where models may come from. */
export interface OfflineOption {
  readonly offline?: true;
}

/** Models that come with the package, by name. */
const SHIPPED: ReadonlyMap<string, string> = new Map([
  ["nano", NANO],
  ["nano-chat", NANO_CHAT],
]);

/**
 * The folder or file of the model that was named: a path as it is, what is here before everything else; one that comes with
 * the package; a name on the hub from the hub's cache, downloaded into it where it is not there yet.
 */
export async function locateModel(
  context: Context,
  model: string,
  { offline }: OfflineOption,
): Promise<string> {
  const isHere = (await stat(model).catch(() => undefined)) !== undefined;
  if (!isHere && SHIPPED.has(model)) return SHIPPED.get(model)!;
  if (isHere || looksLikeMedia(model) || parseHubName(model) === undefined) return model;
  using bar = progressOf(context);
  return await context.services.downloadModel(model, {
    environment: context.env,
    signal: context.signal,
    ...(offline && { offline }),
    onProgress: ({ phase, done, total, file }) =>
      bar.update({ label: phase, done, total, note: file, unit: "bytes" }),
    onNote: (text) => {
      bar.clear();
      void note(context, visible(text));
    },
  });
}
