/** Longer side of the copy that outlives a reload. */
const KEPT_SIDE_PX = 640;

const STORAGE_PREFIX = "internvl.picture.";

/** Pictures that the user dropped, pasted or chose; a small copy lets back, forward and reload find them again. */
export class OwnPictures {
  readonly #blobs = new Map<string, Blob>();
  readonly #urls = new Map<string, string>();

  /** Keeps a picture and returns the key that stands for it in the address. */
  add(picture: Blob): string {
    const key = crypto.getRandomValues(new Uint32Array(2)).join("").slice(0, 12);
    this.#blobs.set(key, picture);
    // Best effort: a format that this browser does not decode, or a full storage, only costs the reload.
    keepCopy(STORAGE_PREFIX + key, picture).catch(() => {});
    return key;
  }

  async get(key: string): Promise<Blob | undefined> {
    const known = this.#blobs.get(key);
    if (known) return known;
    const copy = sessionStorage.getItem(STORAGE_PREFIX + key);
    if (!copy) return undefined;
    const blob = decodeDataUrl(copy);
    this.#blobs.set(key, blob);
    return blob;
  }

  /** An address under which an <img> shows the picture. */
  async url(key: string): Promise<string | undefined> {
    const blob = await this.get(key);
    if (!blob) return undefined;
    const url = this.#urls.get(key) ?? URL.createObjectURL(blob);
    this.#urls.set(key, url);
    return url;
  }
}

async function keepCopy(name: string, picture: Blob): Promise<void> {
  const bitmap = await createImageBitmap(picture);
  const scale = Math.min(1, KEPT_SIDE_PX / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  canvas.getContext("2d")?.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  sessionStorage.setItem(name, canvas.toDataURL("image/webp", 0.9));
}

/** fetch() of a data: address is kept out by the content security policy. */
function decodeDataUrl(url: string): Blob {
  const [head = "", body = ""] = url.split(",");
  const bytes = Uint8Array.from(atob(body), (c) => c.charCodeAt(0));
  return new Blob([bytes], { type: /data:([^;]+)/.exec(head)?.[1] ?? "" });
}
