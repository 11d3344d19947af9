import { Lexer, type Token, type Tokens } from "marked";
import { h, icon } from "../dom.ts";
import { splitMarks } from "./grounded-text.ts";
import { decodeReferences, safeHref } from "./safe-text.ts";

/** Deeper nesting than anyone reads is shown as it was written. */
const MAX_DEPTH = 24;

export interface MarkdownOptions {
  /** What stands for the thing with this number (see grounded-text.ts). */
  readonly thing: (index: number) => Node;
  readonly onCopy: (code: string, button: HTMLButtonElement) => void;
}

/**
 * Shows Markdown that is still growing. Elements are made from the parsed tokens, never from HTML: tags in an answer are
 * text, whatever they are. Blocks that have not changed keep their elements, so that a selection in them stays.
 */
export class MarkdownView {
  #blocks: { readonly raw: string; readonly element: HTMLElement }[] = [];

  constructor(
    readonly root: HTMLElement,
    readonly options: MarkdownOptions,
  ) {}

  show(markdown: string): void {
    const tokens = parse(markdown);
    const kept = tokens.findIndex((token, i) => this.#blocks[i]?.raw !== token.raw);
    const from = kept < 0 ? tokens.length : kept;
    for (const { element } of this.#blocks.splice(from)) element.remove();
    for (const token of tokens.slice(from)) {
      const element = block(token, this.options, 0);
      this.#blocks.push({ raw: token.raw, element });
      this.root.append(element);
    }
  }
}

/** Blocks; a text that the parser cannot take (nested beyond the stack) is one paragraph. */
function parse(markdown: string): Token[] {
  try {
    return new Lexer({ gfm: true }).lex(markdown).filter(({ type }) => type !== "space" && type !== "def");
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return [{ type: "html", raw: markdown, text: markdown }];
  }
}

type Level = 3 | 4 | 5 | 6;

function block(token: Token, options: MarkdownOptions, depth: number): HTMLElement {
  if (depth > MAX_DEPTH) return h("p", { text: token.raw });
  const inside = (tokens: readonly Token[] | undefined) => inline(tokens ?? [], options, depth + 1);
  switch (token.type) {
    case "heading": {
      // The page has a heading of level 1, the conversation of level 2.
      const level = Math.min(token.depth + 2, 6) as Level;
      return h(`h${level}`, {}, ...inside(token.tokens));
    }
    case "code":
      return codeBlock(token as Tokens.Code, options);
    case "hr":
      return h("hr");
    case "blockquote":
      return h("blockquote", {}, ...blocks(token.tokens ?? [], options, depth + 1));
    case "list":
      return list(token as Tokens.List, options, depth);
    case "table":
      return table(token as Tokens.Table, inside);
    case "paragraph":
    case "text":
      return h("p", {}, ...inside(token.tokens ?? [token]));
    default:
      return h("p", { class: "as-written", text: withoutMarks(token.raw).trimEnd() });
  }
}

const blocks = (tokens: readonly Token[], options: MarkdownOptions, depth: number): HTMLElement[] =>
  tokens
    .filter(({ type }) => type !== "space" && type !== "def")
    .map((token) => block(token, options, depth));

function list(token: Tokens.List, options: MarkdownOptions, depth: number): HTMLElement {
  const items = token.items.map((item) => {
    const children = item.tokens.flatMap((child): Node[] => {
      if (child.type === "space") return [];
      if (child.type === "checkbox") return [document.createTextNode(child.checked ? "☑ " : "☐ ")];
      // The text of a tight list stands in the item itself.
      if (child.type === "text") return inline((child as Tokens.Text).tokens ?? [child], options, depth + 1);
      return [block(child, options, depth + 1)];
    });
    return h("li", {}, ...children);
  });
  if (!token.ordered) return h("ul", {}, ...items);
  const start = Number(token.start);
  return h("ol", { start: start === 1 ? undefined : start }, ...items);
}

function table(token: Tokens.Table, inside: (tokens: readonly Token[] | undefined) => Node[]): HTMLElement {
  const cell = (tag: "th" | "td", { tokens, align }: Tokens.TableCell) =>
    h(tag, align ? { class: `align-${align}` } : {}, ...inside(tokens));
  const row = (tag: "th" | "td", cells: readonly Tokens.TableCell[]) =>
    h("tr", {}, ...cells.map((c) => cell(tag, c)));
  const head = h("thead", {}, row("th", token.header));
  const body = h("tbody", {}, ...token.rows.map((cells) => row("td", cells)));
  // Keys scroll what is wider than the page.
  return h("div", { class: "scrolling", tabindex: 0 }, h("table", {}, head, body));
}

function codeBlock({ text, lang }: Tokens.Code, { onCopy }: MarkdownOptions): HTMLElement {
  const code = withoutMarks(text);
  const copy = h("button", {
    type: "button",
    class: "quiet",
    "aria-label": "Copy the code",
    title: "Copy the code",
  });
  copy.append(icon("copy"));
  copy.addEventListener("click", () => onCopy(code, copy));
  const name = (lang ?? "").trim().split(/\s/)[0]!;
  return h(
    "div",
    { class: "code" },
    h("div", { class: "code-head" }, h("span", { text: name }), copy),
    h("pre", { tabindex: 0 }, h("code", { text: code })),
  );
}

function inline(tokens: readonly Token[], options: MarkdownOptions, depth: number): Node[] {
  if (depth > MAX_DEPTH) return [document.createTextNode(tokens.map(({ raw }) => raw).join(""))];
  return tokens.flatMap((token): Node[] => {
    const children = "tokens" in token ? token.tokens : undefined;
    const inside = () => inline(children ?? [], options, depth + 1);
    switch (token.type) {
      case "text":
        return children ? inside() : words(decodeReferences(token.text), options);
      case "escape":
        return [document.createTextNode(token.text)];
      case "strong":
        return [h("strong", {}, ...inside())];
      case "em":
        return [h("em", {}, ...inside())];
      case "del":
        return [h("del", {}, ...inside())];
      case "codespan":
        return [h("code", { text: withoutMarks(token.text) })];
      case "br":
        return [h("br")];
      case "link":
        return [link(token.href, inside())];
      case "image":
        // Pictures from elsewhere are not loaded: a link, where it is one.
        return [link(token.href, [document.createTextNode(token.text || "picture")])];
      default:
        return words(token.raw, options);
    }
  });
}

function link(address: string, children: readonly Node[]): Node {
  const href = safeHref(decodeReferences(address));
  if (href === undefined) return h("span", {}, ...children);
  return h("a", { href, target: "_blank", rel: "noopener noreferrer nofollow" }, ...children);
}

/** Text with what stands for things in it. */
const words = (text: string, { thing }: MarkdownOptions): Node[] =>
  splitMarks(text).flatMap((part, i) => {
    if (i % 2 === 1) return [thing(Number(part))];
    return part === "" ? [] : [document.createTextNode(part)];
  });

/** Code has no place for what can be pressed. */
const withoutMarks = (text: string): string =>
  splitMarks(text)
    .filter((_, i) => i % 2 === 0)
    .join("");
