import type { FileHandle } from "node:fs/promises";
import { type Entry, fromRandomAccessReaderPromise, RandomAccessReader, type ZipFile } from "yauzl";
import { CheckpointError } from "../core/errors.ts";
import { readRange, withFile } from "./file-range.node.ts";

/** Most entries that are listed; a state dict has one per tensor. */
const MAX_ENTRIES = 1_000_000;

/** An entry of an archive and where its bytes are in the file. */
export interface ZipEntry {
  readonly name: string;
  readonly offset: number;
  readonly length: number;
  /** False when it is compressed or encrypted, so that the bytes are not its content. */
  readonly stored: boolean;
}

/**
 * The entries of a zip archive (zip64 included) by name. Reads the directory and the local headers only. Throws a
 * CheckpointError for archives that are truncated, damaged or name an entry twice.
 */
export function readZipEntries(path: string): Promise<Map<string, ZipEntry>> {
  return withFile(path, async (file, bytes) => {
    try {
      const zip = await fromRandomAccessReaderPromise(new FileReader(file, path, bytes), bytes, {
        autoClose: false,
      });
      return await listEntries(zip);
    } catch (cause) {
      throw new CheckpointError(
        `${path}: the zip archive is truncated or damaged (${(cause as Error).message}); fetch it again`,
        { cause },
      );
    }
  });
}

async function listEntries(zip: ZipFile): Promise<Map<string, ZipEntry>> {
  const entries: Entry[] = [];
  for await (const entry of zip.eachEntry())
    if (entries.push(entry) > MAX_ENTRIES) throw new Error(`more than ${MAX_ENTRIES} entries`);
  const out = new Map<string, ZipEntry>();
  for (const entry of entries) {
    const { fileName: name, uncompressedSize: length, compressedSize, compressionMethod } = entry;
    if (out.has(name)) throw new Error(`${name} occurs twice`);
    const { fileDataStart } = await zip.readLocalFileHeaderPromise(entry, { minimal: true });
    const stored = compressionMethod === 0 && !entry.isEncrypted() && compressedSize === length;
    out.set(name, { name, offset: fileDataStart, length, stored });
  }
  return out;
}

/**
 * Reads for the archive library. It passes positions on as the archive states them, and its own reader throws for
 * those that no file has, where nobody can catch it: here they are errors like any other.
 */
class FileReader extends RandomAccessReader {
  constructor(
    readonly file: FileHandle,
    readonly path: string,
    readonly bytes: number,
  ) {
    super();
  }

  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null) => void,
  ): void {
    if (!(position >= 0 && position + length <= this.bytes)) {
      setImmediate(callback, new Error(`it points at byte ${position} of ${this.bytes}`));
      return;
    }
    readRange(this.file, this.path, position, length).then(
      (bytes) => {
        buffer.set(bytes, offset);
        setImmediate(callback, null);
      },
      (error: Error) => setImmediate(callback, error),
    );
  }
}
