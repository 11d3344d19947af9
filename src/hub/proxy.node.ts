import { UsageError } from "../core/errors.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** The proxy that an address is asked through; undefined for none. */
export type ProxyChoice = (url: URL) => string | undefined;

/** This machine is never asked through another. */
const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;

/**
 * The proxies that curl and Python take from the environment: HTTPS_PROXY and HTTP_PROXY by the address's protocol, else
 * ALL_PROXY; NO_PROXY lists hosts that are asked directly, with their subdomains and perhaps a port, or "*". Lower case names
 * go first. Throws a UsageError for a proxy that is no http address.
 */
export function proxiesOf(env: Environment): ProxyChoice {
  const named = (name: string) => env[name.toLowerCase()] || env[name] || undefined;
  const proxies = Object.fromEntries(
    ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"].map((name) => [name, checked(name, named(name))]),
  );
  const direct = (named("NO_PROXY") ?? "").split(/[\s,]+/).filter((entry) => entry !== "");
  return (url) => {
    if (LOOPBACK.test(withoutDot(url.hostname)) || direct.some((entry) => covers(entry, url)))
      return undefined;
    return (url.protocol === "https:" ? proxies.HTTPS_PROXY : proxies.HTTP_PROXY) ?? proxies.ALL_PROXY;
  };
}

/** A full name may end in a dot. */
const withoutDot = (name: string): string => name.replace(/\.$/, "");

function checked(name: string, value: string | undefined): string | undefined {
  if (value === undefined) return undefined;
  const address = value.includes("://") ? value : `http://${value}`;
  if (URL.canParse(address) && /^https?:$/.test(new URL(address).protocol)) return address;
  throw new UsageError(
    `${name}: expected the address of a proxy as http://HOST:PORT, found ${JSON.stringify(value.replace(/^.*@/, "…@"))}; correct it or leave it out`,
  );
}

/** Whether an entry of NO_PROXY means a host. */
function covers(entry: string, { hostname: host, port, protocol }: URL): boolean {
  if (entry === "*") return true;
  const hostname = withoutDot(host);
  if (/^[\da-f]*:[\da-f:]*:[\da-f:.]*$/i.test(entry)) return hostname === `[${entry.toLowerCase()}]`;
  const [, rest, wanted] = /^(?:\*?\.)?(.*?)(?::(\d+))?$/.exec(entry.toLowerCase()) as unknown as string[];
  const name = withoutDot(rest!);
  if (wanted !== undefined && wanted !== (port || (protocol === "https:" ? "443" : "80"))) return false;
  return hostname === name || hostname.endsWith(`.${name}`);
}
