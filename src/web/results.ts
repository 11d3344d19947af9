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

/** What is shown for a query, page after page. A newer query ends the older one, whichever answers first. */
export class Results {
  #query: Query = { kind: "browse" };
  #abort = new AbortController();
  #more = byId<HTMLButtonElement>("more");
  #message = byId("message");
  #loadingMore = false;

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
    this.#abort.abort();
    this.#abort = new AbortController();
    const { signal } = this.#abort;
    this.#query = query;
    this.#more.hidden = true;
    this.grid.wait();
    try {
      const page = await this.#fetch(query, { k: PAGE, offset: 0, signal });
      this.#render(query, page);
    } catch (error) {
      if (!signal.aborted) this.#fail(error);
    }
  }

  /** Asks the same again, because the index has changed. */
  refresh(): void {
    void this.show(this.#query);
  }

  async #fetch(query: Query, options: PageOptions): Promise<ResultPage> {
    switch (query.kind) {
      case "browse":
        return api.browse(
          options.offset > 0 ? this.grid.pictures.at(-1)?.id : undefined,
          options.k,
          options.signal,
        );
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

  #render(query: Query, page: ResultPage): void {
    this.grid.show(page.results);
    this.#more.hidden = !page.more;
    this.onLatency(page.latencyMs);
    byId("legend").hidden = query.kind === "browse" || page.results.length === 0;
    byId("count").textContent = page.results.length > 0 ? headline(query) : "";
    this.#message.hidden = page.results.length > 0;
    if (page.results.length === 0) this.#message.replaceChildren(...nothing(query));
    announce(summary(query, page.results));
  }

  async #loadMore(moveFocus: boolean): Promise<void> {
    if (this.#loadingMore || this.#more.hidden) return;
    this.#loadingMore = true;
    const { signal } = this.#abort;
    const offset = this.grid.pictures.length;
    try {
      const page = await this.#fetch(this.#query, { k: PAGE, offset, signal });
      if (signal.aborted) return;
      this.grid.append(page.results);
      this.#more.hidden = !page.more;
      const first = page.results[0];
      if (moveFocus && first) this.grid.focusPicture(first.id);
    } catch (error) {
      if (!signal.aborted) this.#fail(error);
    } finally {
      this.#loadingMore = false;
    }
  }

  #fail(error: unknown): void {
    const text = error instanceof Error ? error.message : String(error);
    this.grid.show([]);
    byId("count").textContent = "";
    byId("legend").hidden = true;
    this.#more.hidden = true;
    const again = h("button", { type: "button", class: "plain", text: "Try again" });
    again.addEventListener("click", () => this.refresh());
    this.#message.replaceChildren(h("h2", { text: "That did not work" }), h("p", { text }), again);
    this.#message.hidden = false;
    announce(`That did not work. ${text}`);
  }
}

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
