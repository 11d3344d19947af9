import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { UsageError } from "../core/errors.ts";
import { type Environment, type ProxyChoice, proxiesOf } from "./proxy.node.ts";

/** Where models come from and where they are kept. */
export interface HubSettings {
  /** Without a slash at its end. */
  readonly endpoint: string;
  /** The folder with models--OWNER--NAME. */
  readonly cacheDir: string;
  readonly token: string | undefined;
  /** Nothing may be asked of the network. */
  readonly offline: boolean;
  /** Throws a UsageError for a proxy that is none; where nothing is asked of the network, nothing is asked of this. */
  readonly proxies: () => ProxyChoice;
}

const YES = new Set(["1", "ON", "YES", "TRUE"]);

/**
 * The settings that the hub's own tools take from the environment (huggingface_hub, "Environment variables"): HF_ENDPOINT,
 * HF_HUB_CACHE (before it HUGGINGFACE_HUB_CACHE), HF_HOME, XDG_CACHE_HOME, HF_TOKEN, HF_TOKEN_PATH, HF_HUB_OFFLINE,
 * and the proxies of {@link proxiesOf}.
 * `@huggingface/hub` reads the cache's place from its own process only. Throws a UsageError for an endpoint that is no
 * address.
 */
export async function hubSettings(env: Environment): Promise<HubSettings> {
  const { HF_ENDPOINT, HF_HOME, HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, XDG_CACHE_HOME } = env;
  const userHome = env.HOME || env.USERPROFILE || homedir();
  const expand = (path: string) => (/^~[/\\]/.test(path) ? join(userHome, path.slice(2)) : path);
  const home = expand(HF_HOME || join(XDG_CACHE_HOME || join(userHome, ".cache"), "huggingface"));
  const endpoint = (HF_ENDPOINT || "https://huggingface.co").replace(/\/+$/, "");
  if (!URL.canParse(endpoint) || !/^https?:$/.test(new URL(endpoint).protocol))
    throw new UsageError(
      `HF_ENDPOINT: expected the http or https address of a hub, found ${JSON.stringify(endpoint)}; correct it or leave it out`,
    );
  return {
    endpoint,
    cacheDir: expand(HF_HUB_CACHE || HUGGINGFACE_HUB_CACHE || join(home, "hub")),
    token: env.HF_TOKEN?.trim() || (await savedToken(expand(env.HF_TOKEN_PATH || join(home, "token")))),
    offline: YES.has((env.HF_HUB_OFFLINE ?? "").toUpperCase()),
    proxies: () => proxiesOf(env),
  };
}

/** What `hf auth login` saved. */
const savedToken = async (file: string): Promise<string | undefined> =>
  (await readFile(file, "utf8").catch(() => "")).trim() || undefined;
