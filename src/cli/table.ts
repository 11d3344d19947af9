import { cells, shorten, style, type Terminal, visible } from "./terminal.ts";

export interface Column {
  readonly title: string;
  /** Default left. */
  readonly align?: "left" | "right";
  /** The column that gives way when the terminal is too narrow. */
  readonly flexible?: boolean;
}

const GAP = "  ";
const MIN_FLEXIBLE = 12;

/**
 * An aligned table with a line of titles, ending in a newline; control characters in the cells are made visible.
 * On a terminal the flexible column is shortened to fit; elsewhere nothing is cut.
 */
export function table(
  terminal: Terminal,
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
): string {
  const clean = rows.map((row) => row.map(visible));
  const widths = columns.map(({ title }, c) =>
    Math.max(cells(title), ...clean.map((row) => cells(row[c] ?? ""))),
  );
  const flexible = columns.findIndex((column) => column.flexible);
  if (terminal.isTTY && flexible >= 0) {
    const total = widths.reduce((a, b) => a + b, 0) + GAP.length * (columns.length - 1);
    const room = widths[flexible]! - Math.max(0, total - terminal.columns);
    widths[flexible] = Math.min(widths[flexible]!, Math.max(MIN_FLEXIBLE, room));
  }
  const line = (row: readonly string[]) =>
    columns
      .map(({ align }, c) => {
        const text = shorten(row[c] ?? "", widths[c]!);
        const padding = " ".repeat(widths[c]! - cells(text));
        return align === "right" ? padding + text : text + padding;
      })
      .join(GAP)
      .trimEnd();
  const titles = style(terminal, "dim", line(columns.map((column) => column.title)));
  return `${[titles, ...clean.map(line)].join("\n")}\n`;
}

/** A share as a percentage with two decimals, as the published tables give it; "n/a" for NaN. */
export const percent = (share: number): string => (Number.isNaN(share) ? "n/a" : (100 * share).toFixed(2));

/** A count with thousands set apart. */
export const count = (n: number): string => n.toLocaleString("en-US");

/** Bytes as "340 kB", "1.9 GB", by thousands. */
export function bytes(n: number): string {
  const power = Math.min(4, Math.floor(Math.log10(Math.max(n, 1)) / 3));
  const value = n / 1000 ** power;
  return `${value < 10 && power > 0 ? value.toFixed(1) : Math.round(value)} ${["B", "kB", "MB", "GB", "TB"][power]}`;
}

/** "1 picture", "2,000 pictures". */
export const counted = (n: number, noun: string): string => `${count(n)} ${noun}${n === 1 ? "" : "s"}`;
