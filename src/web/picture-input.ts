import { byId } from "./dom.ts";

/** Pictures come in by drag and drop, paste or the file dialog; `onFile` gets whatever file it is. */
export function watchPictureInput(onFile: (file: File) => void): void {
  const file = byId<HTMLInputElement>("file");
  byId("pick").addEventListener("click", () => file.click());
  file.addEventListener("change", () => {
    const chosen = file.files?.[0];
    file.value = "";
    if (chosen) onFile(chosen);
  });

  document.addEventListener("paste", (event) => {
    const pasted = [...(event.clipboardData?.files ?? [])].find((f) => f.type.startsWith("image/"));
    if (!pasted) return;
    event.preventDefault();
    onFile(pasted);
  });

  watchDrop(onFile);
}

function watchDrop(onFile: (file: File) => void): void {
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
    const dropped = event.dataTransfer?.files[0];
    if (dropped) onFile(dropped);
  });
}
