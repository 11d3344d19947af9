import { ApiError, api, type PageOptions, type Picture, type ResultPage } from "./api.ts";
import { byId, h } from "./dom.ts";
import { formatPlural, spokenName } from "./format.ts";
import type { Grid } from "./grid.ts";
import type { Query } from "./location.ts";
import { announce } from "./notices.ts";
import type { OwnPictures } from "./own-pictures.ts";

const PAGE = 36;

/** Pages load by themselves up to here; then a button keeps the foot of the page reachable. */
const LOADED_BY_SCROLLING = 180;

/** The server gives at most so many at once. */
const LARGEST_PAGE = 500;

/** What is shown for a query, page after page. A newer query ends the older one, whichever answers first. */
export class Results {
  #query: Query = { kind: "browse" };
  #abort = new AbortController();
  #more = byId<HTMLButtonElement>("more");
  #moreProblem = byId("more-problem");
  #message = byId("message");
  /** What is on show was asked for before the index changed. */
  #outdated = false;
  #asking: "query" | "more" | "again" | undefined;

  constructor(
    readonly grid: Grid,
    readonly own: OwnPictures,
    /** Is told how long the model and the index took. */
    readonly onLatency: (latencyMs: number | undefined) => void,
  ) {
    this.#more.addEventListener("click", () => void this.#loadMore(true));
    new IntersectionObserver(
      (entries) => {
        const near = entries.some((entry) => entry.isIntersecting);
        if (near && this.grid.pictures.length < LOADED_BY_SCROLLING) void this.#loadMore(false);
      },
      { rootMargin: "600px" },
    ).observe(this.#more);
  }

  get query(): Query {
    return this.#query;
  }

  /** Shows the first page of a query's results; failures become a message on the page. */
  async show(query: Query): Promise<void> {
    this.#query = query;
    this.#outdated = false;
    this.#more.hidden = true;
    this.#moreProblem.textContent = "";
    this.grid.wait();
    await this.#ask(
      "query",
      async (signal) => {
        const page = await this.#first(PAGE, signal);
        this.grid.show(page.results);
        this.#describe(page);
        announce(summary(query, page.results));
      },
      (error) => this.#fail(error),
    );
  }

  /** Asks the same again, because the index has changed: for as many pictures as are there, and without a word. */
  refresh(): void {
    this.#outdated = true;
    // What is being asked may be answered from before the change: when it is there, it is asked for again.
    if (!this.#asking) void this.#renew();
  }

  async #renew(): Promise<void> {
    this.#outdated = false;
    await this.#ask(
      "again",
      async (signal) => {
        const page = await this.#first(Math.max(PAGE, this.grid.pictures.length), signal);
        this.grid.update(page.results);
        this.#describe(page);
      },
      (error) => {
        // The picture that was searched by is gone; any other failure leaves what is there.
        const gone = error instanceof ApiError && error.status === 404;
        if (gone || this.grid.pictures.length === 0) this.#fail(error);
        else this.#moreProblem.textContent = `Not up to date: ${messageOf(error)}`;
      },
    );
  }

  async #loadMore(moveFocus: boolean): Promise<void> {
    if (this.#asking === "more" || this.#more.hidden) return;
    // It would answer for fewer pictures than there will be: it waits.
    if (this.#asking === "again") this.#outdated = true;
    const { pictures } = this.grid;
    await this.#ask(
      "more",
      async (signal) => {
        const page = await this.#fetch({
          k: PAGE,
          offset: pictures.length,
          after: pictures.at(-1)?.id,
          signal,
        });
        this.grid.append(page.results);
        this.#more.hidden = !page.more;
        this.#moreProblem.textContent = "";
        const first = page.results[0];
        if (moveFocus && first) this.grid.focusPicture(first.id);
      },
      (error) => {
        this.#moreProblem.textContent = `No more could be loaded: ${messageOf(error)}`;
      },
    );
  }

  /** One question at a time: a newer one ends the older. */
  async #ask(
    what: "query" | "more" | "again",
    task: (signal: AbortSignal) => Promise<void>,
    fail: (error: unknown) => void,
  ): Promise<void> {
    this.#abort.abort();
    this.#abort = new AbortController();
    const { signal } = this.#abort;
    this.#asking = what;
    try {
      await task(signal);
    } catch (error) {
      if (!signal.aborted) fail(error);
    }
    if (signal.aborted) return;
    this.#asking = undefined;
    if (this.#outdated) void this.#renew();
  }

  /** The first `count` results, by as many requests as that takes. */
  async #first(count: number, signal: AbortSignal): Promise<ResultPage> {
    const results: Picture[] = [];
    for (;;) {
      const k = Math.min(count - results.length, LARGEST_PAGE);
      const page = await this.#fetch({ k, offset: results.length, after: results.at(-1)?.id, signal });
      results.push(...page.results);
      if (!page.more || results.length >= count) return { ...page, results };
    }
  }

  async #fetch({
    after,
    ...options
  }: PageOptions & { readonly after: string | undefined }): Promise<ResultPage> {
    const query = this.#query;
    switch (query.kind) {
      case "browse":
        return api.browse(after, options.k, options.signal);
      case "text":
        return api.searchText(query.text, options);
      case "similar":
        return api.similar(query.id, options);
      case "picture": {
        const picture = await this.own.get(query.key);
        if (!picture)
          throw new ApiError(
            404,
            "Your browser no longer has the picture of this search. Drop it here again.",
          );
        return api.searchPicture(picture, options);
      }
    }
  }

  /** Sets what stands around the pictures. */
  #describe({ results, more, latencyMs }: ResultPage): void {
    this.#more.hidden = !more;
    this.#moreProblem.textContent = "";
    this.onLatency(latencyMs);
    byId("legend").hidden = this.#query.kind === "browse" || results.length === 0;
    byId("count").textContent = results.length > 0 ? headline(this.#query) : "";
    this.#message.hidden = results.length > 0;
    if (results.length === 0) this.#message.replaceChildren(...nothing(this.#query));
  }

  #fail(error: unknown): void {
    const text = messageOf(error);
    this.grid.show([]);
    byId("count").textContent = "";
    byId("legend").hidden = true;
    this.#more.hidden = true;
    const again = h("button", { type: "button", class: "plain", text: "Try again" });
    again.addEventListener("click", () => void this.show(this.#query));
    this.#message.replaceChildren(h("h2", { text: "That did not work" }), h("p", { text }), again);
    this.#message.hidden = false;
    announce(`That did not work. ${text}`);
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

function headline(query: Query): string {
  switch (query.kind) {
    case "browse":
      return "In this collection";
    case "text":
      return `Closest to “${query.text}”`;
    case "similar":
      return "More like this picture";
    case "picture":
      return "Closest to your picture";
  }
}

function nothing(query: Query): Node[] {
  if (query.kind === "browse")
    return [
      h("h2", { text: "No pictures yet" }),
      h("p", {
        text: "Add a folder of pictures with the button at the top; they appear here as they are indexed.",
      }),
    ];
  return [
    h("h2", { text: "Nothing to compare with" }),
    h("p", { text: "There are no pictures in the index yet. Add a folder with the button at the top." }),
  ];
}

function summary(query: Query, pictures: readonly Picture[]): string {
  const best = pictures[0];
  if (!best) return "No pictures.";
  const count = formatPlural(pictures.length, "picture");
  return query.kind === "browse"
    ? `${count} shown.`
    : `${headline(query)}: ${count}, first ${spokenName(best.path)}.`;
}
