import { byId } from "./dom.ts";
import { formatBytes } from "./format.ts";

export interface PictureInputEvents {
  readonly onPicture: (picture: File) => void;
  /** Takes the files for something else than a search, and says so. */
  readonly takes: (files: readonly File[]) => boolean;
  /** Is told, in words for the user, why what came in is not searched by. */
  readonly onProblem: (text: string) => void;
  /** Bytes that the server takes; undefined while it has not said so. */
  readonly maxBytes: () => number | undefined;
}

/** Pictures come in by drag and drop, paste or the file dialog. */
export function watchPictureInput(events: PictureInputEvents): void {
  const take = (picture: File) => {
    const problem = pictureProblem(picture, events.maxBytes());
    if (problem) events.onProblem(problem);
    else events.onPicture(picture);
  };
  const file = byId<HTMLInputElement>("file");
  byId("pick").addEventListener("click", () => file.click());
  file.addEventListener("change", () => {
    const chosen = file.files?.[0];
    file.value = "";
    if (chosen) take(chosen);
  });

  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    const pasted = files.find((f) => f.type.startsWith("image/"));
    // Copied cells and words bring a picture of themselves along: where one writes, the words are meant.
    const words =
      event.target instanceof HTMLTextAreaElement && event.clipboardData?.types.includes("text/plain");
    if (!pasted || words) return;
    event.preventDefault();
    if (!events.takes(files)) take(pasted);
  });

  watchDrop((transfer) => {
    const dropped = transfer.files[0];
    // A folder looks like a file of no type, and cannot be read.
    const entry = [...transfer.items].find((item) => item.kind === "file")?.webkitGetAsEntry();
    if (entry?.isDirectory) events.onProblem(folderProblem(entry.name));
    else if (dropped && !events.takes([...transfer.files])) take(dropped);
  });
}

/** Why a file cannot be searched by, as far as one can tell before sending it; undefined when nothing is against it. */
export function pictureProblem(
  { name, type, size }: Pick<File, "name" | "type" | "size">,
  maxBytes = Number.POSITIVE_INFINITY,
): string | undefined {
  // No type means one that the browser does not know: the server looks into the file.
  if (type && !type.startsWith("image/"))
    return `${name} is not a picture. Choose a JPEG, PNG, WebP, AVIF, GIF, TIFF or SVG file.`;
  if (size > maxBytes)
    return `${name} has ${formatBytes(size)}; pictures to search by may have ${formatBytes(maxBytes)}. Choose a smaller copy.`;
  return undefined;
}

const folderProblem = (name: string): string =>
  `${name} is a folder. Drop one picture to search by it; to search in a folder, add it under Folders.`;

function watchDrop(onDrop: (transfer: DataTransfer) => void): void {
  const overlay = byId("drop");
  const carriesFile = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
  // Every element on the way fires enter and leave: their balance says whether the pointer is over the page.
  let depth = 0;
  const reset = () => {
    depth = 0;
    overlay.hidden = true;
  };
  document.addEventListener("dragenter", (event) => {
    if (!carriesFile(event)) return;
    depth++;
    overlay.hidden = false;
  });
  document.addEventListener("dragleave", (event) => {
    if (carriesFile(event) && --depth <= 0) reset();
  });
  document.addEventListener("dragover", (event) => {
    if (!carriesFile(event)) return;
    event.preventDefault();
    if (event.dataTransfer) event.dataTransfer.dropEffect = "copy";
  });
  document.addEventListener("drop", (event) => {
    if (!carriesFile(event)) return;
    event.preventDefault();
    reset();
    if (event.dataTransfer) onDrop(event.dataTransfer);
  });
}
