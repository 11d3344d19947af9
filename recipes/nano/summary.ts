import type { ManifestLine } from "./manifest.ts";
import type { Skipped } from "./picture.ts";

/** The tables printed at the end and written to SUMMARY.md. */
export function summarise(
  lines: readonly ManifestLine[],
  skipped: readonly Skipped[],
  seconds: number,
): string {
  const splits = ["train", "heldout-concepts", "heldout-drawings", "heldout-surplus"] as const;
  const sources = [...new Set([...lines.map((l) => l.source), ...skipped.map((s) => s.source)])].sort();
  const of = (source: string, split: string) =>
    lines.filter((l) => (source === "" || l.source === source) && l.split === split).length;
  const row = (source: string, licence: string) => [
    source === "" ? "all" : source,
    ...splits.map((split) => of(source, split)),
    source === "" ? lines.length : lines.filter((l) => l.source === source).length,
    source === "" ? skipped.length : skipped.filter((s) => s.source === source).length,
    licence,
  ];
  const licenceOf = (source: string) => lines.find((l) => l.source === source)?.licence ?? "";
  return [
    "# nano's data",
    `${lines.length} pictures, ${groups(lines)} groups, made in ${Math.round(seconds)} s.`,
    table(
      ["source", ...splits, "pictures", "left out", "licence"],
      [...sources.map((s) => row(s, licenceOf(s))), row("", "")],
    ),
    "Groups per split: " +
      splits.map((s) => `${s} ${groups(lines.filter((l) => l.split === s))}`).join(", ") +
      ".",
    "## Captions by language",
    table(["language", "pictures", "captions"], languages(lines)),
    "## Left out",
    table(["reason", "source", "pictures"], reasons(skipped)),
    "",
  ].join("\n\n");
}

function groups(lines: readonly ManifestLine[]): number {
  return new Set(lines.map((l) => l.group)).size;
}

function languages(lines: readonly ManifestLine[]): (string | number)[][] {
  const counts = new Map<string, [number, number]>();
  for (const line of lines) {
    for (const [language, phrases] of Object.entries(line.captions)) {
      const [pictures, captions] = counts.get(language) ?? [0, 0];
      counts.set(language, [pictures + 1, captions + phrases.length]);
    }
  }
  return [...counts].sort((a, b) => b[1][0] - a[1][0]).map(([language, n]) => [language, ...n]);
}

/** Reasons without the numbers and names in them, most frequent first. */
function reasons(skipped: readonly Skipped[]): (string | number)[][] {
  const counts = new Map<string, number>();
  for (const { reason, source } of skipped) {
    const key = `${reason.replace(/"[^"]*"/g, "…").replace(/\|/g, "/")}|${source}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return [...counts].sort((a, b) => b[1] - a[1]).map(([key, n]) => [...key.split("|"), n]);
}

function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const line = (cells: readonly (string | number)[]) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}
