/** What the page shows, as its address says it. */
export type Query =
  | { readonly kind: "browse" }
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "similar"; readonly id: string }
  /** A picture of the user's own, kept under this key. */
  | { readonly kind: "picture"; readonly key: string };

export interface Place {
  readonly query: Query;
  /** The id of the picture in the large view. */
  readonly view?: string | undefined;
  /** The conversation that is shown in place of the pictures: its id, or "new". */
  readonly chat?: string | undefined;
}

export function readPlace(search: string): Place {
  const params = new URLSearchParams(search);
  const [text, id, key] = [params.get("q")?.trim(), params.get("like"), params.get("picture")];
  const query: Query = text
    ? { kind: "text", text }
    : id
      ? { kind: "similar", id }
      : key
        ? { kind: "picture", key }
        : { kind: "browse" };
  return { query, view: params.get("view") ?? undefined, chat: params.get("chat") ?? undefined };
}

export function writePlace({ query, view, chat }: Place): string {
  const params = new URLSearchParams();
  if (query.kind === "text") params.set("q", query.text);
  if (query.kind === "similar") params.set("like", query.id);
  if (query.kind === "picture") params.set("picture", query.key);
  if (view) params.set("view", view);
  if (chat) params.set("chat", chat);
  const text = params.toString();
  return text ? `/?${text}` : "/";
}

export const sameQuery = (a: Query, b: Query): boolean =>
  writePlace({ query: a }) === writePlace({ query: b });
