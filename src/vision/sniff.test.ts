import { expect, test } from "vitest";
import { sniffPicture } from "./sniff.ts";

const latin1 = (s: string) => Uint8Array.from(s, (c) => c.charCodeAt(0));

test.each([
  ["\xff\xd8\xff\xe0", "jpeg"],
  ["\x89PNG\r\n\x1a\n....", "png"],
  ["GIF89a..", "gif"],
  ["RIFF....WEBPVP8 ", "webp"],
  ["II*\0....", "tiff"],
  ["MM\0*....", "tiff"],
  ["II+\0....", "tiff"],
  ["\0\0\0\x1cftypavif\0\0\0\0mif1avif", "avif"],
  ["\0\0\0\x1cftypmif1\0\0\0\0miafavif", "avif"],
  ["\x1f\x8b\x08....", "svgz"],
  ["<svg xmlns='http://www.w3.org/2000/svg'/>", "svg"],
  [`\n<?xml version="1.0"?><!--${"x".repeat(5000)}--><svg>`, "svg"],
  ["<s:svg xmlns:s='http://www.w3.org/2000/svg'/>", "svg"],
])("knows %j", (head, format) => {
  expect(sniffPicture(latin1(head))).toEqual({ format });
});

test.each([
  ["", /empty/],
  ["PK\x03\x04....", /ZIP/],
  ["%PDF-1.7", /PDF/],
  ["RIFF....WAVEfmt ", /RIFF file of type "WAVE"/],
  ["\0\0\0\x18ftypheic\0\0\0\0mif1heic", /HEIC/],
  ["\0\0\0\x18ftypisom\0\0\0\0isommp42", /brand "isom"/],
  ["<!DOCTYPE html><html><body><svg", /HTML/],
  ["<html><head>", /HTML/],
  ["version https://git-lfs.github.com/spec/v1", /Git LFS/],
  ["a note about <svg> files", /text/],
  ["\x7fELF\x02\x01\x01\0\0\0", /unknown contents beginning 7f 45 4c 46/],
])("says what %j is", (head, what) => {
  const sniffed = sniffPicture(latin1(head));
  expect("found" in sniffed ? sniffed.found : sniffed.format).toMatch(what);
});

test("a picture that is a page is not drawn", () => {
  expect(sniffPicture(latin1("<html><body><svg></svg></body></html>"))).toHaveProperty("found");
});
