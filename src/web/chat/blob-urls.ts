/** Addresses under which an <img> shows blobs, until they are cleared. */
export class BlobUrls {
  readonly #urls = new Map<Blob, string>();

  of(blob: Blob): string {
    const url = this.#urls.get(blob) ?? URL.createObjectURL(blob);
    this.#urls.set(blob, url);
    return url;
  }

  clear(): void {
    for (const url of this.#urls.values()) URL.revokeObjectURL(url);
    this.#urls.clear();
  }
}
