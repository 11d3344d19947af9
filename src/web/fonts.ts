/** The square in which a letter is drawn, and the letter's size. */
const SIDE_PX = 32;
const SIZE_PX = 20;

/** Code points that are in no font: they look as any letter does that the system cannot draw. */
const IN_NO_FONT = ["\u{10FFFF}", "\u{378}"];

/**
 * Tells texts that the system has the fonts for from those that would be blank or boxes. Where the browser keeps pages
 * from reading what they draw, or gives every missing letter a box of its own, all texts count as drawable.
 */
export function fontCheck(): (text: string) => boolean {
  const canvas = document.createElement("canvas");
  canvas.width = SIDE_PX;
  canvas.height = SIDE_PX;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) return () => true;
  context.font = `${SIZE_PX}px ${getComputedStyle(document.body).fontFamily}`;
  const drawn = (letter: string): string => {
    context.clearRect(0, 0, SIDE_PX, SIDE_PX);
    context.fillText(letter, (SIDE_PX - SIZE_PX) / 2, SIZE_PX);
    return context.getImageData(0, 0, SIDE_PX, SIDE_PX).data.join();
  };
  const missing = new Set(IN_NO_FONT.map(drawn));
  if (missing.has(drawn("a"))) return () => true;
  // Marks are left out: alone they stand on a dotted circle.
  return (text) => !(text.match(/\p{L}/gu) ?? []).some((letter) => missing.has(drawn(letter)));
}
