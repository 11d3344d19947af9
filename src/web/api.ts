/** A picture of the index, with its score where it answers a query. */
export interface Picture {
  readonly id: string;
  readonly path: string;
  readonly folder: string;
  readonly width: number;
  readonly height: number;
  readonly sizeBytes: number;
  /** ISO 8601. */
  readonly modified: string;
  readonly thumb: string;
  readonly score?: number;
}

export interface ResultPage {
  readonly results: readonly Picture[];
  readonly more: boolean;
  readonly latencyMs?: number;
}

export interface LabelProbability {
  readonly label: string;
  readonly probability: number;
}

export interface Classified {
  readonly id: string;
  readonly path: string;
  readonly labels: readonly LabelProbability[];
  /** Why this picture could not be classified, although others could. */
  readonly error?: string;
}

export interface Job {
  readonly folder: string;
  readonly state: "queued" | "indexing" | "done" | "failed";
  readonly progress?: {
    readonly phase: string;
    readonly done: number;
    readonly total?: number;
    readonly failed: number;
    readonly ratePerSecond: number;
    readonly etaSeconds?: number;
    readonly currentPath?: string;
  };
  readonly broken: readonly { readonly path: string; readonly reason: string }[];
  readonly error?: string;
}

export interface Folder {
  readonly path: string;
  readonly pictures: number;
  readonly failed: number;
  readonly job?: Job;
}

export interface Status {
  readonly loading: boolean;
  readonly error?: string;
  readonly folderChanges: boolean;
  /** What the server takes: bytes of a picture, labels of one request. */
  readonly limits: { readonly uploadBytes: number; readonly labels: number };
  readonly model?: { readonly name: string; readonly shipped: boolean };
  readonly pictures?: number;
  readonly folders?: number;
}

/** What the server answered instead of a result. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
    this.name = "ApiError";
  }
}

const RETRY_MS = 700;

/** `true` for the error of a request that this page itself gave up. */
const isAbort = (error: unknown): boolean => error instanceof DOMException && error.name === "AbortError";

/** The parsed answer. While the model is loading (503), waits and asks again. Throws an ApiError otherwise. */
async function ask<T>(url: string, init: RequestInit = {}): Promise<T> {
  for (;;) {
    const response = await fetch(url, init).catch((error: unknown) => {
      if (isAbort(error)) throw error;
      throw new ApiError(0, "The server does not answer. Is it still running?");
    });
    if (response.ok) return (await response.json()) as T;
    const body = (await response.json().catch(() => undefined)) as
      | { error?: { message?: string } }
      | undefined;
    const message = body?.error?.message ?? `The server answered ${response.status}.`;
    const retry = response.status === 503 && !message.includes("could not");
    if (!retry) throw new ApiError(response.status, message);
    await pause(RETRY_MS, init.signal ?? undefined);
  }
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

const json = (method: string, body: unknown): RequestInit => ({
  method,
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify(body),
});

export interface PageOptions {
  readonly k: number;
  readonly offset: number;
  readonly signal: AbortSignal;
}

const params = (values: Readonly<Record<string, string | number>>): string =>
  new URLSearchParams(Object.entries(values).map(([name, value]) => [name, String(value)])).toString();

/** Sending a file that was moved or changed since it was chosen fails as if the server were gone. */
async function checkReadable(picture: Blob): Promise<void> {
  await picture
    .slice(0, 1)
    .arrayBuffer()
    .catch(() => {
      throw new ApiError(0, "Your browser can no longer read this picture. Choose it or drop it here again.");
    });
}

export const api = {
  searchText: (q: string, { k, offset, signal }: PageOptions) =>
    ask<ResultPage>(`/api/search?${params({ q, k, offset })}`, { signal }),

  searchPicture: async (picture: Blob, { k, offset, signal }: PageOptions) => {
    await checkReadable(picture);
    return ask<ResultPage>(`/api/search?${params({ k, offset })}`, { method: "POST", body: picture, signal });
  },

  similar: (id: string, { k, offset, signal }: PageOptions) =>
    ask<ResultPage>(`/api/similar?${params({ id, k, offset })}`, { signal }),

  /** Pictures by path, those after the one with the id `after`. */
  browse: (after: string | undefined, k: number, signal: AbortSignal) =>
    ask<ResultPage>(`/api/pictures?${params({ k, ...(after && { after }) })}`, { signal }),

  picture: (id: string, signal: AbortSignal) => ask<Picture>(`/api/picture?${params({ id })}`, { signal }),

  classify: (ids: readonly string[], labels: readonly string[], signal: AbortSignal) =>
    ask<{ results: readonly Classified[] }>("/api/classify", { ...json("POST", { ids, labels }), signal }),

  folders: () => ask<{ folders: readonly Folder[] }>("/api/folders"),
  addFolder: (path: string) => ask<{ job: Job }>("/api/folders", json("POST", { path })),
  removeFolder: (path: string) =>
    ask<{ removed: string }>(`/api/folders?${params({ path })}`, { method: "DELETE" }),
  status: () => ask<Status>("/api/status"),

  /** Calls `onJob` now and whenever the state of a folder changes, for as long as the page is open. */
  watchJobs(onJob: (job: Job) => void): void {
    const source = new EventSource("/api/events");
    source.addEventListener("job", (event) => onJob(JSON.parse(event.data as string) as Job));
    source.addEventListener("error", () => {
      // A refused stream (503 while loading) is closed for good by the browser; an interrupted one comes back.
      if (source.readyState === EventSource.CLOSED) setTimeout(() => api.watchJobs(onJob), RETRY_MS);
    });
  },
};

export const largeThumb = (picture: Picture): string => `${picture.thumb}&size=1024`;
export const original = (picture: Picture): string => `/api/image?${params({ id: picture.id })}`;
