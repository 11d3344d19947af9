import { UsageError } from "../core/errors.ts";
import { didYouMean } from "../core/suggest.ts";
import { PUBLISHED_NAMES } from "../models/names.ts";
import { PUBLISHED_CHAT_NAMES } from "../models/published-chat.ts";
import { HostileAnswerError, HubStatusError, NetworkError } from "./hub-fetch.node.ts";
import { type HubName, repositoryOf } from "./hub-name.ts";
import type { HubSettings } from "./settings.node.ts";

const PUBLISHER = "OpenGVLab";

/** What went wrong between us and the hub, as a UsageError that says what to do; other errors as they are. */
export function explained(error: unknown, name: HubName, settings: HubSettings): unknown {
  const text = explanation(error, name, settings);
  return text === undefined ? error : new UsageError(text, { cause: error });
}

function explanation(error: unknown, name: HubName, settings: HubSettings): string | undefined {
  const { endpoint } = settings;
  const repo = repositoryOf(name);
  if (error instanceof HubStatusError) return statusExplanation(error, name, settings);
  if (error instanceof NetworkError)
    return `${repo}: there is no such file or folder here, and the hub at ${endpoint} cannot be reached (${error.message}); check the connection or HF_ENDPOINT and run the same command again, or name a model that is on this disk`;
  if (error instanceof HostileAnswerError)
    return `${repo}: the hub at ${endpoint} ${error.message}; nothing of that was kept. Check HF_ENDPOINT, and that no proxy answers in its place`;
  return undefined;
}

/** Why nothing was asked of the network, and what to do. */
export const offlineError = (name: HubName, cacheDir: string): UsageError =>
  new UsageError(
    `${spelled(name)}: not complete in the cache (${cacheDir}), and nothing may be downloaded offline (--offline or HF_HUB_OFFLINE); run it once online, or name a model that is on this disk`,
  );

function statusExplanation(error: HubStatusError, name: HubName, settings: HubSettings): string {
  const { endpoint, token } = settings;
  const { status, code } = error;
  const repo = repositoryOf(name);
  const said = error.message ? ` (${error.message})` : "";
  if (code === "GatedRepo")
    return token === undefined
      ? `${repo}: its owner asks for consent before it may be downloaded; accept the terms at ${endpoint}/${repo}, and set HF_TOKEN to a token of yours (${endpoint}/settings/tokens)`
      : `${repo}: your token may not read it yet; accept the terms at ${endpoint}/${repo} with the account that the token belongs to`;
  if (code === "RevisionNotFound")
    return `${repo}: it has no branch, tag or commit ${name.revision}; ${endpoint}/${repo}/tree/main lists them, and without @${name.revision} it is main`;
  const unknown = status === 404 || code === "RepoNotFound" || (status === 401 && token === undefined);
  if (unknown)
    return `${repo}: there is no such file or folder here, and no public model of this name at ${endpoint}${suggestion(name)}${token === undefined ? "; one that is private needs your token in HF_TOKEN" : "; one that is private may be out of your token's reach"}`;
  if (status === 401)
    return `${repo}: the hub does not know your token${said}; set HF_TOKEN to a valid one, or leave it away (hf auth logout) for public models`;
  if (status === 403)
    return `${repo}: your token may not read it${said}; give it the right to read this repository at ${endpoint}/settings/tokens`;
  if (status === 429)
    return `${repo}: the hub had too many requests from here${said}; try again in some minutes, or set HF_TOKEN`;
  return `${repo}: the hub answers with status ${status}${said}; try again later`;
}

/** OWNER/NAME[/FILE][@REVISION]. */
const spelled = (name: HubName): string =>
  [repositoryOf(name), name.file && `/${name.file}`, name.revision !== "main" && `@${name.revision}`]
    .filter(Boolean)
    .join("");

/** The published model that was probably meant. */
function suggestion(name: HubName): string {
  const known = [...PUBLISHED_CHAT_NAMES, ...PUBLISHED_NAMES].map((model) => `${PUBLISHER}/${model}`);
  const near = didYouMean(repositoryOf(name), known);
  return near.startsWith(", did you mean") ? near.replace(/\?$/, "") : "";
}
