import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { crc32, deflateSync, gzipSync } from "node:zlib";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { MediaError } from "../core/errors.ts";
import { decodeImage, TooLargeError } from "./decode.node.ts";
import type { RgbImage } from "./image.ts";

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "decode-"));
});
afterAll(() => rmSync(dir, { recursive: true }));

const WIDTH = 32;
const HEIGHT = 16;

/** Left half red, right half blue. */
const halves = Buffer.from(
  Array.from({ length: WIDTH * HEIGHT }, (_, i) =>
    i % WIDTH < WIDTH / 2 ? [230, 20, 30] : [20, 40, 220],
  ).flat(),
);
const halvesPicture = () => sharp(halves, { raw: { width: WIDTH, height: HEIGHT, channels: 3 } });

const pixel = ({ width, data }: RgbImage, x: number, y: number) =>
  Array.from(data.subarray((y * width + x) * 3, (y * width + x) * 3 + 3));

function expectNear(found: readonly number[], expected: readonly number[], tolerance: number): void {
  expect(Math.max(...found.map((v, i) => Math.abs(v - expected[i]!)))).toBeLessThanOrEqual(tolerance);
}

describe("formats", () => {
  test.each([
    ["jpeg", () => halvesPicture().jpeg({ quality: 95 }), 6],
    ["png", () => halvesPicture().png(), 0],
    ["png with a palette", () => halvesPicture().png({ palette: true, colours: 4 }), 2],
    ["webp", () => halvesPicture().webp({ quality: 95 }), 8],
    ["lossless webp", () => halvesPicture().webp({ lossless: true }), 0],
    ["avif", () => halvesPicture().avif({ quality: 95 }), 8],
    ["gif", () => halvesPicture().gif(), 2],
    ["tiff", () => halvesPicture().tiff({ compression: "lzw" }), 0],
  ] as const)("%s", async (_, make, tolerance) => {
    const image = await decodeImage(await make().toBuffer());
    expect([image.width, image.height, image.data.length]).toEqual([WIDTH, HEIGHT, WIDTH * HEIGHT * 3]);
    expectNear(pixel(image, 4, 8), [230, 20, 30], tolerance);
    expectNear(pixel(image, 27, 8), [20, 40, 220], tolerance);
  });

  test("grey becomes three equal channels", async () => {
    const grey = sharp(Buffer.from([0, 100, 200, 255]), { raw: { width: 2, height: 2, channels: 1 } });
    const image = await decodeImage(await grey.toColourspace("b-w").png().toBuffer());
    expect(Array.from(image.data)).toEqual([0, 0, 0, 100, 100, 100, 200, 200, 200, 255, 255, 255]);
  });

  test("16-bit samples keep their high byte, in colour and in grey", async () => {
    const samples = Uint16Array.from([0x1234, 0x80ff, 0xffff, 0x0000, 0x00ff, 0x7f00]);
    const colour = await sharp(samples, { raw: { width: 2, height: 1, channels: 3 } })
      .toColourspace("rgb16")
      .png()
      .toBuffer();
    expect((await sharp(colour).metadata()).depth).toBe("ushort");
    expect(Array.from((await decodeImage(colour)).data)).toEqual([0x12, 0x80, 0xff, 0, 0, 0x7f]);
    const grey = await sharp(samples.subarray(0, 3), { raw: { width: 3, height: 1, channels: 1 } })
      .toColourspace("grey16")
      .png()
      .toBuffer();
    expect((await sharp(grey).metadata()).depth).toBe("ushort");
    expect(Array.from((await decodeImage(grey)).data)).toEqual([
      0x12, 0x12, 0x12, 0x80, 0x80, 0x80, 255, 255, 255,
    ]);
  });

  test("CMYK is converted as Pillow does, not through an ink profile", async () => {
    const golden = new URL("../../test/parity/golden/", import.meta.url);
    const { cmyk } = JSON.parse(readFileSync(new URL("pictures.json", golden), "utf8")) as { cmyk: string };
    const image = await decodeImage(readFileSync(new URL("cmyk.jpg", golden)));
    const pillow = Buffer.from(cmyk, "base64");
    expect(image.data.length).toBe(pillow.length);
    expect(Math.max(...image.data.map((v, i) => Math.abs(v - pillow[i]!)))).toBeLessThanOrEqual(1);
  });

  test("a profile in the file changes nothing", async () => {
    const wide = await halvesPicture().withIccProfile("p3").png().toBuffer();
    expect((await sharp(wide).metadata()).icc).toBeDefined();
    const stored = await sharp(wide, { ignoreIcc: true }).raw().toBuffer();
    expect(Buffer.from((await decodeImage(wide)).data)).toEqual(stored);
  });

  test("transparency is laid on white", async () => {
    const rgba = Buffer.from([255, 0, 0, 255, 255, 0, 0, 0, 0, 0, 0, 128, 7, 8, 9, 0]);
    const image = await decodeImage(
      await sharp(rgba, { raw: { width: 2, height: 2, channels: 4 } })
        .png()
        .toBuffer(),
    );
    expect(pixel(image, 0, 0)).toEqual([255, 0, 0]);
    expect(pixel(image, 1, 0)).toEqual([255, 255, 255]);
    expectNear(pixel(image, 0, 1), [127, 127, 127], 1);
    expect(pixel(image, 1, 1)).toEqual([255, 255, 255]);
  });

  // Pillow's convert("RGB") gives (10, 20, 30), (200, 100, 50) for the PNG and the WebP of these samples. For a GIF it
  // gives the palette's colour, where the library here has black.
  test.each([
    ["png", [10, 20, 30, 200, 100, 50]],
    ["webp", [10, 20, 30, 200, 100, 50]],
    ["gif", [0, 0, 0, 200, 100, 50]],
  ] as const)("alpha of a %s is dropped where that is asked for", async (format, expected) => {
    const rgba = sharp(Buffer.from([10, 20, 30, 0, 200, 100, 50, 255]), {
      raw: { width: 2, height: 1, channels: 4 },
    });
    const encoders = {
      png: () => rgba.png(),
      webp: () => rgba.webp({ lossless: true, exact: true }),
      gif: () => rgba.gif(),
    };
    const image = await decodeImage(await encoders[format]().toBuffer(), { alpha: "drop" });
    expect(Array.from(image.data)).toEqual(expected);
  });

  test.each(["gif", "webp"] as const)("the first frame of an animated %s", async (format) => {
    const frame = (background: string) =>
      sharp({ create: { width: 8, height: 8, channels: 3, background } }).png();
    const frames = await Promise.all(["#ff0000", "#0000ff"].map((c) => frame(c).toBuffer()));
    const animated = sharp(frames, { join: { animated: true } });
    const bytes = await (format === "gif" ? animated.gif() : animated.webp({ lossless: true })).toBuffer();
    expect((await sharp(bytes, { animated: true }).metadata()).pages).toBe(2);
    const image = await decodeImage(bytes);
    expect([image.width, image.height]).toEqual([8, 8]);
    expectNear(pixel(image, 4, 4), [255, 0, 0], 1);
  });

  // What is stored is turned back: in orientation 6 the stored left edge is the upright top.
  test.each([
    [1, [WIDTH, HEIGHT], "left"],
    [3, [WIDTH, HEIGHT], "right"],
    [6, [HEIGHT, WIDTH], "top"],
    [8, [HEIGHT, WIDTH], "bottom"],
  ] as const)("EXIF orientation %d", async (orientation, size, red) => {
    const image = await decodeImage(await halvesPicture().withMetadata({ orientation }).jpeg().toBuffer());
    const [w, h] = size;
    expect([image.width, image.height]).toEqual([w, h]);
    const places = {
      left: [2, h / 2],
      right: [w - 3, h / 2],
      top: [w / 2, 2],
      bottom: [w / 2, h - 3],
    } as const;
    const [x, y] = places[red];
    expectNear(pixel(image, x, y), [230, 20, 30], 12);
    expectNear(pixel(image, w - 1 - x, h - 1 - y), [20, 40, 220], 12);
  });

  test("EXIF orientation is left alone where that is asked for", async () => {
    const bytes = await halvesPicture().withMetadata({ orientation: 6 }).png().toBuffer();
    const image = await decodeImage(bytes, { orientation: "stored" });
    expect([image.width, image.height]).toEqual([WIDTH, HEIGHT]);
    expect(Buffer.from(image.data)).toEqual(halves);
  });
});

describe("SVG", () => {
  const svg = (inner: string, size = 'width="20" height="10"') =>
    Buffer.from(
      `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" ${size}>${inner}</svg>`,
    );
  const green = '<rect width="10" height="10" fill="#00ff00"/>';

  test("is drawn in its own size on white, or with the side that is asked for", async () => {
    const image = await decodeImage(svg(green));
    expect([image.width, image.height]).toEqual([20, 10]);
    expect([pixel(image, 5, 5), pixel(image, 15, 5)]).toEqual([
      [0, 255, 0],
      [255, 255, 255],
    ]);
    const large = await decodeImage(svg(green), { vectorSide: 300 });
    expect([large.width, large.height]).toEqual([600, 300]);
    expect(pixel(large, 295, 150)).toEqual([0, 255, 0]);
  });

  test("may be huge on paper when a side is asked for, and is refused otherwise", async () => {
    const poster = svg('<rect width="15000" height="30000" fill="#0000ff"/>', 'width="30000" height="30000"');
    const image = await decodeImage(poster, { vectorSide: 64 });
    // 1 dot per inch is the least that the library draws with.
    expect([image.width, image.height]).toEqual([417, 417]);
    expect([pixel(image, 100, 200), pixel(image, 300, 200)]).toEqual([
      [0, 0, 255],
      [255, 255, 255],
    ]);
    await expect(decodeImage(poster)).rejects.toThrow(/at most 64000000 pixels, found 30000×30000/);
    const ribbon = svg("", 'width="900000" height="1"');
    await expect(decodeImage(ribbon, { vectorSide: 448 })).rejects.toThrow(/pixels/);
  });

  test("compressed", async () => {
    expect(pixel(await decodeImage(gzipSync(svg(green))), 5, 5)).toEqual([0, 255, 0]);
    await expect(decodeImage(gzipSync(svg(" ".repeat(1e6))), { maxBytes: 10_000 })).rejects.toThrow(
      /at most 10000 bytes unpacked/,
    );
    await expect(decodeImage(gzipSync("no drawing"))).rejects.toThrow(/expected an SVG inside/);
  });

  test("loads no other file and no address, only what it carries itself", async () => {
    const hits: string[] = [];
    const server = createServer((request, response) => {
      hits.push(request.url ?? "");
      response.end();
    });
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const red = await sharp({ create: { width: 4, height: 4, channels: 3, background: "#ff0000" } })
      .png()
      .toBuffer();
    const file = join(dir, "red.png");
    writeFileSync(file, red);
    const shown = async (href: string, attribute = "href") => {
      // Through a file too: a drawing that knows its own place could load its neighbours.
      const source = join(dir, "links.svg");
      writeFileSync(source, svg(`<image ${attribute}="${href}" width="20" height="10"/>`));
      return pixel(await decodeImage(source), 10, 5);
    };
    const white = [255, 255, 255];
    expect(await shown(pathToFileURL(file).href)).toEqual(white);
    expect(await shown(pathToFileURL(file).href, "xlink:href")).toEqual(white);
    expect(await shown(file)).toEqual(white);
    expect(await shown("red.png")).toEqual(white);
    expect(await shown(`${address}/red.png`)).toEqual(white);
    expect(await shown(`data:image/png;base64,${red.toString("base64")}`)).toEqual([255, 0, 0]);
    await decodeImage(
      svg(`<style>@import url("${address}/a.css"); rect { fill: url("${address}/b.svg#c") }</style>${green}`),
    );
    await new Promise<void>((done) => server.close(() => done()));
    expect(hits).toEqual([]);
    const entity = `<!DOCTYPE svg [<!ENTITY x SYSTEM "${pathToFileURL(file).href}">]>`;
    await expect(decodeImage(Buffer.concat([Buffer.from(entity), svg("<text>&x;</text>")]))).rejects.toThrow(
      MediaError,
    );
  });

  test.each([
    ["plain", '<!DOCTYPE svg [<!ENTITY a "b">]>', /without entities of its own, found <!ENTITY/],
    ["after a comment", '<!-- --><!DOCTYPE svg [ <!ENTITY % a "b">]>', /found <!ENTITY/],
    ["in an encoding that hides markup", '<?xml version="1.0" encoding="UTF-7"?>', /encoding "UTF-7"/],
  ])("declared entities are refused: %s", async (_, prolog, message) => {
    const drawing = Buffer.concat([Buffer.from(prolog), svg(green)]);
    await expect(decodeImage(drawing)).rejects.toThrow(message);
    await expect(decodeImage(gzipSync(drawing))).rejects.toThrow(message);
  });

  test("a doctype without entities is drawn, in common encodings", async () => {
    const prolog =
      '<?xml version="1.0" encoding="iso-8859-1"?><!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">';
    expect(pixel(await decodeImage(Buffer.concat([Buffer.from(prolog), svg(green)])), 5, 5)).toEqual([
      0, 255, 0,
    ]);
  });

  test("an SVG of more bytes than drawings may have is refused, whatever maxBytes says", async () => {
    const large = svg(" ".repeat(17 * 2 ** 20));
    await expect(decodeImage(large, { maxBytes: 2 ** 30 })).rejects.toThrow(TooLargeError);
    await expect(decodeImage(gzipSync(large), { maxBytes: 2 ** 30 })).rejects.toThrow(TooLargeError);
  });

  test("entities that multiply are refused", async () => {
    const entities = Array.from(
      { length: 12 },
      (_, i) => `<!ENTITY e${i + 1} "${`&e${i};`.repeat(10)}">`,
    ).join("");
    const laughs = `<!DOCTYPE svg [<!ENTITY e0 "ha">${entities}]>${svg("<text>&e12;</text>").toString()}`;
    await expect(decodeImage(Buffer.from(laughs), { timeoutMs: 10_000 })).rejects.toThrow(MediaError);
  });
});

/** A PNG whose header promises a size and whose data is one compressed byte. */
function tinyPng(width: number, height: number): Buffer {
  const chunk = (type: string, body: Buffer) => {
    const typed = Buffer.concat([Buffer.from(type, "latin1"), body]);
    const frame = Buffer.alloc(8);
    frame.writeUInt32BE(body.length, 0);
    frame.writeUInt32BE(crc32(typed) >>> 0, 4);
    return Buffer.concat([frame.subarray(0, 4), typed, frame.subarray(4)]);
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2, 0, 0, 0], 8);
  return Buffer.concat([
    Buffer.from("\x89PNG\r\n\x1a\n", "latin1"),
    chunk("IHDR", header),
    chunk("IDAT", deflateSync(Buffer.alloc(1))),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

describe("refusals name the file, what was found and what to do", () => {
  const write = (name: string, bytes: Uint8Array | string) => {
    const path = join(dir, name);
    writeFileSync(path, bytes);
    return path;
  };
  const refusal = async (source: string | Uint8Array, options = {}) => {
    const error: unknown = await decodeImage(source, options).then(
      () => new Error("it was decoded"),
      (e: unknown) => e,
    );
    expect(error).toBeInstanceOf(MediaError);
    return (error as Error).message;
  };

  test.each(["jpeg", "png", "webp", "gif", "tiff", "avif"] as const)("a truncated %s", async (format) => {
    const noise = Buffer.from(Array.from({ length: 64 * 64 * 3 }, (_, i) => (i * i * 31 + i * 17) % 256));
    const whole = await sharp(noise, { raw: { width: 64, height: 64, channels: 3 } })
      .toFormat(format)
      .toBuffer();
    await decodeImage(whole);
    for (const part of [0.6, 0.2]) {
      const path = write(`cut.${format}`, whole.subarray(0, Math.floor(whole.length * part)));
      expect(await refusal(path)).toMatch(
        new RegExp(
          `^${path}: expected a complete ${format.toUpperCase()} picture, found it damaged .*; replace`,
        ),
      );
    }
  });

  test("a bomb: a few bytes that declare 400 million pixels", async () => {
    const path = write("bomb.png", tinyPng(20_000, 20_000));
    const before = process.memoryUsage().rss;
    expect(await refusal(path)).toBe(
      `${path}: expected at most 64000000 pixels, found 20000×20000 = 400000000 (a decompression bomb?); shrink the picture or raise maxPixels (internvl index --max-pixels)`,
    );
    expect(process.memoryUsage().rss - before).toBeLessThan(100 * 2 ** 20);
    expect(await refusal(tinyPng(20_000, 20_000), { maxPixels: undefined })).toMatch(/at most 64000000/);
    expect(await refusal(tinyPng(5, 5), { maxPixels: 24 })).toMatch(/^picture in memory: .*found 5×5 = 25/);
  });

  test("a ZIP archive named .png", async () => {
    const path = write("archive.png", "PK\x03\x04\x14\x00\x00\x00rest");
    expect(await refusal(path)).toBe(
      `${path}: expected a JPEG, PNG, WebP, AVIF, GIF, TIFF or SVG picture, found a ZIP archive (or an office document); convert or remove it`,
    );
  });

  test("an empty file, a folder, a missing file", async () => {
    expect(await refusal(write("empty.jpg", ""))).toMatch(/empty\.jpg: .*found an empty file/);
    expect(await refusal(dir)).toMatch(/found a folder/);
    expect(await refusal(join(dir, "nothing.png"))).toMatch(/nothing\.png: .*ENOENT.*check the path/);
  });

  test.skipIf(process.platform === "win32")("a pipe, without waiting for a writer", async () => {
    const pipe = join(dir, "pipe.png");
    execFileSync("mkfifo", [pipe]);
    expect(await refusal(pipe)).toMatch(/found a device or pipe/);
  });

  test("too many bytes, on disk and in memory", async () => {
    const bytes = await halvesPicture().png().toBuffer();
    expect(await refusal(write("long.png", bytes), { maxBytes: 20 })).toMatch(
      /long\.png: expected at most 20 bytes, found/,
    );
    expect(await refusal(bytes, { maxBytes: 20 })).toMatch(/picture in memory: expected at most 20 bytes/);
  });

  test("too much time", async () => {
    const large = await sharp({ create: { width: 4000, height: 4000, channels: 3, background: "#123456" } })
      .png()
      .toBuffer();
    expect(await refusal(large, { timeoutMs: 1 })).toMatch(/within 1 ms.*simplify the picture/);
  });
});
