/** The address of a link in an answer, if following it can do no more than open a page or a letter; else undefined. */
export function safeHref(href: string): string | undefined {
  // Browsers ignore line breaks and tabs anywhere in an address.
  if (!/^(https?:\/\/|mailto:)/i.test(href) || /[\p{Cc}\s]/u.test(href)) return undefined;
  return URL.canParse(href) ? href : undefined;
}

const NAMED: Readonly<Record<string, string>> = {
  amp: "&",
  lt: "<",
  gt: ">",
  quot: '"',
  apos: "'",
  nbsp: "\u00a0",
  hellip: "…",
  ndash: "–",
  mdash: "—",
  times: "×",
  deg: "°",
  euro: "€",
  copy: "©",
  rarr: "→",
  larr: "←",
};

/** Markdown's character references as characters: the numeric ones and the most common names; others stay as they are. */
export function decodeReferences(text: string): string {
  return text.replace(/&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z]{2,6}));/gi, (whole, decimal, hex, name) => {
    if (name) return NAMED[name] ?? whole;
    const code = decimal ? Number(decimal) : Number.parseInt(hex, 16);
    const bad = code === 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff);
    return bad ? "\ufffd" : String.fromCodePoint(code);
  });
}
