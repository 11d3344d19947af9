const LOCALE = "en";

const integer = new Intl.NumberFormat(LOCALE);

/** 1234 -> "1,234". */
export const formatCount = (n: number): string => integer.format(n);

/** formatPlural(1, "picture") -> "1 picture". */
export const formatPlural = (n: number, noun: string): string =>
  `${formatCount(n)} ${noun}${n === 1 ? "" : "s"}`;

/** Bytes -> "1.2 MB". */
export function formatBytes(bytes: number): string {
  const units = ["bytes", "kB", "MB", "GB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${value >= 10 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** Seconds -> "about 2 min left". */
export function formatRemaining(seconds: number): string {
  if (seconds < 5) return "a few seconds left";
  if (seconds < 90) return `about ${Math.round(seconds / 5) * 5} s left`;
  if (seconds < 5400) return `about ${Math.round(seconds / 60)} min left`;
  return `about ${(seconds / 3600).toFixed(1)} h left`;
}

export const formatScore = (score: number): string => score.toFixed(3);

export const formatPercent = (share: number): string =>
  share >= 0.9995 ? "100 %" : share < 0.0005 ? "< 0.1 %" : `${(share * 100).toFixed(1)} %`;

/** The last part of a path of either platform. */
export const fileName = (path: string): string => path.split(/[\\/]/).pop() ?? path;

/** The file's name without its ending. */
export const stemName = (path: string): string => fileName(path).replace(/(?<=.)\.[a-z0-9]{2,5}$/i, "");

/** A file name as words, for people who hear it: "red-apple_2.webp" -> "red apple 2". */
export function spokenName(path: string): string {
  const words = stemName(path)
    .replace(/[-_.]+/g, " ")
    .trim();
  return words || fileName(path);
}
