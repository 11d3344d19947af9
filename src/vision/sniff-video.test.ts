import { describe, expect, test } from "vitest";
import { promisedBytes, sniffVideo } from "./sniff-video.ts";

const latin1 = (text: string) => Uint8Array.from(text, (c) => c.charCodeAt(0));
const hex = (text: string) =>
  Uint8Array.from(text.match(/[0-9a-f]{2}/g)!, (byte) => Number.parseInt(byte, 16));

describe("sniffVideo", () => {
  test.each([
    ["\0\0\0\x20ftypisom\0\0\x02\0isomiso2", "mp4"],
    ["\0\0\0\x14ftypqt  \0\0\0\0qt  ", "mp4"],
    ["\0\0\0\x08wide\0\0\x10\0mdat", "mp4"],
    ["\0\0\x10\0moov\0\0\0\x6cmvhd", "mp4"],
    ["\x1a\x45\xdf\xa3\x9fB\x86\x81\x01", "matroska"],
    ["GIF89a", "gif"],
    ["GIF87a", "gif"],
  ])("%j", (text, format) => {
    expect(sniffVideo(latin1(text))).toEqual({ format });
  });

  test.each([
    ["", "an empty file"],
    ["\xff\xd8\xff\xe0", "a JPEG picture"],
    ["\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC picture"],
    ["\0\0\0\x18ftypavif\0\0\0\0mif1avif", "a AVIF picture"],
    ["RIFF\0\0\0\0AVI LIST", 'a RIFF file of type "AVI "'],
    ["OggS\0", "an Ogg file"],
  ])("%j is none", (text, found) => {
    expect(sniffVideo(latin1(text))).toEqual({ found });
  });
});

describe("promisedBytes", () => {
  // RFC 8794: an EBML header of 3 bytes, then a Segment (0x18538067) with sizes of various lengths.
  const header = "1a45dfa383 428680".replace(" ", "");
  test.each([
    ["a size of 1 byte", "18538067 85", 8 + 5 + 5],
    ["a size of 2 bytes", "18538067 4123", 8 + 6 + 0x123],
    ["a size of 8 bytes", "18538067 0100000000000ffa", 8 + 12 + 0xffa],
    ["terabytes", "18538067 01000fffffffffff", 8 + 12 + 0xfffffffffff],
    ["an unknown size", "18538067 01ffffffffffffff", undefined],
    ["an unknown size of 1 byte", "18538067 ff", undefined],
    ["another element", "1549a966 85", undefined],
    ["the end of the file", "18538067", undefined],
    ["an impossible size", "18538067 00", undefined],
  ])("%s", (_, segment, bytes) => {
    expect(promisedBytes(hex(header + segment.replace(" ", "")))).toBe(bytes);
  });

  test("nothing at all", () => {
    expect(promisedBytes(new Uint8Array(0))).toBeUndefined();
  });
});
