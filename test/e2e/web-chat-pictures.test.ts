import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { Page } from "playwright-core";
import sharp from "sharp";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { ChatMessages } from "../../src/infer/chat-model.ts";
import { fakeChatModel } from "../../src/server/openai/fake-chat-model.test-support.ts";
import { type ChatRequest, type ChatSite, gate, openChatSite, words } from "./chat-stub.ts";
import { disc, dropFile, openSite, shown } from "./web-support.ts";

let chat: ChatSite;
beforeAll(async () => {
  chat = await openChatSite();
});
afterAll(() => chat[Symbol.asyncDispose]());
beforeEach(() => {
  chat.requests.length = 0;
  chat.answer = words("I see.");
});

const box = (page: Page) => page.getByRole("textbox", { name: "Your question" });
const attached = (page: Page) => page.getByRole("list", { name: "Attached" });

async function ask(page: Page, text: string): Promise<void> {
  await box(page).fill(text);
  await page.locator("#send:enabled").waitFor();
  await box(page).press("Enter");
  await page.locator(".exchange").last().locator(".answer:not([aria-busy])").waitFor();
}

/** The parts of a request's last message: texts, and pictures as what they hold. */
async function sent({ messages }: ChatRequest) {
  const { content } = messages.at(-1)!;
  if (typeof content === "string") return [content];
  return Promise.all(
    content.map(async (part) => {
      if (part.type === "text") return part.text;
      if (part.type === "video_url") {
        const [head, ...frames] = part.video_url.url.split(",");
        return { head, frames: await Promise.all(frames.map(look)) };
      }
      const [head, body] = part.image_url.url.split(",") as [string, string];
      return { head, ...(await look(body)), tiles: part.image_url.max_dynamic_patch };
    }),
  );
}

async function look(base64: string) {
  const picture = sharp(Buffer.from(base64, "base64"));
  const { width, height, orientation } = await picture.metadata();
  const { data } = await picture.removeAlpha().raw().toBuffer({ resolveWithObject: true });
  return { size: [width, height], orientation, first: [...data.subarray(0, 3)] };
}

/** The frames of a request's only video. */
async function sentFrames(request: ChatRequest) {
  const [video] = await sent(request);
  if (typeof video !== "object" || !("frames" in video)) throw new Error("no video was sent");
  expect(video.head).toBe("data:video/jpeg;base64");
  return video.frames;
}

const solid = (width: number, height: number, background: string) =>
  sharp({ create: { width, height, channels: 3, background } });

const attach = (page: Page, name: string, mimeType: string, buffer: Buffer) =>
  page.locator("#attach-file").setInputFiles({ name, mimeType, buffer });

test("pictures are attached by button, paste and drop, taken off again, and sent before the words", async () => {
  const page = await chat.open();
  await attach(page, "chosen.png", "image/png", await disc("green", 0.9));
  await attached(page).getByRole("img", { name: "chosen.png" }).waitFor();
  await dropFile(page, await disc("red", 0.9), "dropped.png", "image/png");
  await attached(page).getByRole("img", { name: "dropped.png" }).waitFor();
  const pasted = (await solid(30, 20, "#0000ff").png().toBuffer()).toString("base64");
  await box(page).evaluate((element, base64) => {
    const data = new DataTransfer();
    const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
    data.items.add(new File([bytes], "pasted.png", { type: "image/png" }));
    element.dispatchEvent(
      new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }),
    );
  }, pasted);
  await attached(page).getByRole("img", { name: "pasted.png" }).waitFor();
  await attached(page).getByRole("button", { name: "Remove chosen.png" }).click();
  await ask(page, "What are these?");
  expect(await sent(chat.requests[0]!)).toEqual([
    expect.objectContaining({ head: "data:image/png;base64", size: [120, 120], first: [255, 255, 255] }),
    expect.objectContaining({ head: "data:image/png;base64", size: [30, 20], first: [0, 0, 255] }),
    "What are these?",
  ]);
  // They stand in the conversation, no longer in the composer, and go with the next question too.
  expect(await attached(page).count()).toBe(0);
  expect(await page.locator(".sent img").count()).toBe(2);
  await ask(page, "And now?");
  expect(chat.requests[1]!.messages.map(({ content }) => content.length)).toEqual([3, 6, 8]);
  // The search did not take the files.
  expect(new URL(page.url()).searchParams.has("picture")).toBe(false);
  // Pictures outlive a reload.
  await page.reload();
  await expect.poll(() => page.locator(".sent img").count()).toBe(2);
  const loaded = () =>
    page.locator(".sent img").evaluateAll((all) => all.map((e) => (e as HTMLImageElement).naturalWidth));
  await expect.poll(loaded).toEqual([120, 30]);
  await page.context().close();
});

test("large pictures are made smaller and turned upright before they are sent", async () => {
  const page = await chat.open();
  // Red above white as stored; EXIF 6 turns it by 90° clockwise, so that white is on the left.
  const stored = await solid(3000, 1500, "#ffffff")
    .composite([{ input: await solid(3000, 750, "#ff0000").png().toBuffer(), top: 0, left: 0 }])
    .withMetadata({ orientation: 6 })
    .jpeg()
    .toBuffer();
  await attach(page, "photo.jpg", "image/jpeg", stored);
  await ask(page, "Upright?");
  const [photo] = await sent(chat.requests[0]!);
  expect(photo).toMatchObject({ head: "data:image/jpeg;base64", size: [1024, 2048] });
  expect((photo as { orientation?: number }).orientation ?? 1).toBe(1);
  expect((photo as { first: number[] }).first.every((value) => value > 240)).toBe(true);
  await page.context().close();
});

test("files that are no pictures, and pictures that cannot be opened, are explained", async () => {
  const page = await chat.open();
  await attach(page, "notes.txt", "text/plain", Buffer.from("hello"));
  await page.getByRole("alert").getByText("notes.txt is neither a picture nor a video.").waitFor();
  await attach(page, "broken.png", "image/png", Buffer.from("hello"));
  await page.getByRole("alert").getByText("broken.png cannot be opened by this browser.").waitFor();
  await attach(page, "broken.webm", "video/webm", Buffer.from("hello"));
  await page.getByRole("alert").getByText("broken.webm cannot be played by this browser.").waitFor();
  expect(await page.getByRole("button", { name: "Send" }).isEnabled()).toBe(false);
  await page.context().close();
});

test("a video is sent as its published frames", async () => {
  const page = await chat.open();
  // 20 frames at 10 per second, the k-th of grey level 8 + 12 k, made with FFmpeg (VP8).
  const video = await readFile(fileURLToPath(new URL("../fixtures/grey-ramp.webm", import.meta.url)));
  await attach(page, "ramp.webm", "video/webm", video);
  await attached(page).getByText("8 frames").waitFor();
  await ask(page, "What happens?");
  expect((await sent(chat.requests[0]!)).slice(1)).toEqual(["What happens?"]);
  const frames = await sentFrames(chat.requests[0]!);
  expect(frames.every(({ size }) => size.join() === "64,48")).toBe(true);
  // get_index of the InternVL README for 20 frames and 8 segments, by Python.
  const grey = frames.map(({ first }) => Math.round((first[0]! - 8) / 12));
  expect(grey).toEqual([1, 3, 6, 8, 11, 13, 15, 18]);
  // As many as the settings say, from then on.
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByLabel("Frames of a video").selectOption("4");
  await page.getByLabel("Detail of a picture").selectOption("Up to 6 tiles");
  await page.getByRole("button", { name: "Close" }).click();
  await attach(page, "ramp.webm", "video/webm", video);
  await attached(page).getByText("4 frames").waitFor();
  await attach(page, "small.png", "image/png", await solid(30, 20, "#0000ff").png().toBuffer());
  await attached(page).getByRole("img", { name: "small.png" }).waitFor();
  await ask(page, "And now?");
  expect(await sent(chat.requests[1]!)).toMatchObject([{ frames: { length: 4 } }, { tiles: 6 }, "And now?"]);
  await page.context().close();
});

test("the real routes read what the page sends, once it has their key", async () => {
  const fake = fakeChatModel();
  await using site = await openSite({ chatModels: new Map([["fake", fake]]), apiKeys: ["secret"] });
  const page = await site.open("?chat=new");
  await page.getByLabel("API key").fill("secret");
  await page.getByRole("button", { name: "Use it" }).click();
  await box(page).waitFor();
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByLabel("Frames of a video").selectOption("4");
  await page.getByLabel("Detail of a picture").selectOption("1 tile");
  await page.getByRole("button", { name: "Close" }).click();
  const video = await readFile(fileURLToPath(new URL("../fixtures/grey-ramp.webm", import.meta.url)));
  await attach(page, "ramp.webm", "video/webm", video);
  await attached(page).getByText("4 frames").waitFor();
  await attach(page, "small.png", "image/png", await solid(30, 20, "#0000ff").png().toBuffer());
  await attached(page).getByRole("img", { name: "small.png" }).waitFor();
  await ask(page, "What?");
  await page.locator(".prose").getByText("[30×20 0,0,255] What?").waitFor();
  expect((fake.calls[0]!.messages as ChatMessages)[0]!.content).toMatchObject([
    { type: "video", frames: Array(4).fill({ width: 64, height: 48 }) },
    { type: "image", maxTiles: 1 },
    { type: "text", text: "What?" },
  ]);
});

test("a recording that does not say how long it is has its frames taken too", async () => {
  const page = await chat.open();
  // Browsers record so: red for the first second, green for the next.
  const base64 = await page.evaluate(async () => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [64, 48];
    const context = canvas.getContext("2d")!;
    const recorder = new MediaRecorder(canvas.captureStream(20), { mimeType: "video/webm;codecs=vp8" });
    const parts: Blob[] = [];
    recorder.addEventListener("dataavailable", ({ data }) => parts.push(data));
    const stopped = new Promise((resolve) => recorder.addEventListener("stop", resolve));
    recorder.start();
    const start = performance.now();
    for (let at = 0; at < 2000; at = performance.now() - start) {
      context.fillStyle = at < 1000 ? "#ff0000" : "#00ff00";
      context.fillRect(0, 0, 64, 48);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    recorder.stop();
    await stopped;
    const bytes = new Uint8Array(await new Blob(parts).arrayBuffer());
    return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  });
  await attach(page, "recording.webm", "video/webm", Buffer.from(base64, "base64"));
  await attached(page).getByText("8 frames").waitFor();
  await ask(page, "Colours?");
  const frames = await sentFrames(chat.requests[0]!);
  const colours = frames.map(({ first: [r, g] }) => (r! > g! ? "red" : "green"));
  expect(colours[0]).toBe("red");
  expect(colours[7]).toBe("green");
  expect(colours).toEqual([...colours].sort().reverse());
  await page.context().close();
});

test("a search result is asked about, from the grid and from the large view", async () => {
  const page = await chat.open("?q=red");
  await shown(page, "red");
  await page.locator(".card").first().hover();
  const [name] = await page.locator(".card .name").allTextContents();
  await page
    .getByRole("button", { name: /^Ask about red/ })
    .first()
    .click();
  await page.waitForURL(/chat=new/);
  await attached(page)
    .getByRole("img", { name: `${name}.png` })
    .waitFor();
  expect(await box(page).evaluate((e) => e === document.activeElement)).toBe(true);
  await ask(page, "What colour is it?");
  const [picture, text] = await sent(chat.requests[0]!);
  expect(picture).toMatchObject({ head: "data:image/png;base64", size: [120, 120] });
  expect(text).toBe("What colour is it?");
  await page.getByRole("link", { name: "Search" }).click();
  await shown(page, "red");
  await page.locator(".card .plate").nth(1).click();
  await page.getByRole("dialog").getByRole("button", { name: "Ask about it" }).click();
  await page.getByRole("dialog").waitFor({ state: "hidden" });
  // A conversation of its own.
  expect(await page.locator(".exchange").count()).toBe(0);
  await attached(page).getByRole("img", { name: /^red/ }).waitFor();
  expect(await box(page).evaluate((e) => e === document.activeElement)).toBe(true);
  await page.context().close();
});

test("what an answer points at is drawn where it is, as soon as it is known", async () => {
  const rest = gate();
  chat.answer = async function* () {
    yield "There is <ref>the left half</ref><box>[[0, 0, 500, 1000]]</box> and <ref>a cor";
    await rest.opened;
    yield "ner</ref><box>[[750, 250, 1000, 500]]</box>, and <box>[[1,2]]</box>.";
  };
  const page = await chat.open();
  await attach(page, "wide.png", "image/png", await solid(400, 200, "#808080").png().toBuffer());
  await box(page).fill("Where?");
  await page.locator("#send:enabled").click();
  const figure = page.locator("figure.pointed");
  await figure.locator("polygon.line").waitFor();
  expect(await page.locator(".prose").textContent()).toBe("There is 1 the left half and ");
  rest.open();
  await page.locator(".answer:not([aria-busy])").waitFor();
  expect(await page.locator(".prose").textContent()).toBe(
    "There is 1 the left half and 2 a corner, and <box>[[1,2]]</box>.",
  );
  expect(await figure.locator("figcaption li").allTextContents()).toEqual(["1 the left half", "2 a corner"]);
  // The picture's own pixels: twice as wide as high. Lines lie on the borders of the boxes.
  const image = (await figure.locator("img").boundingBox())!;
  expect(image.width / image.height).toBeCloseTo(2, 1);
  const box2 = await figure
    .locator("polygon.line")
    .nth(1)
    .evaluate((polygon) => {
      const matrix = (polygon as SVGPolygonElement).getScreenCTM()!;
      const { x, y, width, height } = (polygon as SVGPolygonElement).getBBox();
      const [a, b] = [new DOMPoint(x, y), new DOMPoint(x + width, y + height)].map((p) =>
        p.matrixTransform(matrix),
      );
      return [a!.x, a!.y, b!.x, b!.y];
    });
  const expected = [0.75, 0.25, 1, 0.5].map((share, i) =>
    i % 2 === 0 ? image.x + share * image.width : image.y + share * image.height,
  );
  for (const [i, value] of box2.entries()) expect(value).toBeCloseTo(expected[i]!, 0);
  // What one sees: at the left border of the second box the colour of its line, a little further the picture.
  await page.mouse.move(0, 0);
  const view = await sharp(await page.screenshot())
    .removeAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  const pixel = (x: number, y: number) => {
    const at = 3 * (Math.round(y) * view.info.width + Math.round(x));
    return [...view.data.subarray(at, at + 3)];
  };
  const y = image.y + 0.45 * image.height;
  expect(pixel(expected[0]! - 0.5, y)).toEqual([0x12, 0x57, 0xc9]);
  expect(pixel(expected[0]! + 12, y)).toEqual([0x80, 0x80, 0x80]);
  expect(pixel(expected[0]! - 12, y)).toEqual([0x80, 0x80, 0x80]);
  expect(pixel(image.x + 0.5 * image.width - 0.5, y)).toEqual([0xc2, 0x26, 0x1c]);
  // Pointing at a name shows which one it is.
  await page
    .locator(".prose")
    .getByRole("button", { name: /^2 a corner/ })
    .hover();
  expect(await figure.locator(".line.on").count()).toBe(1);
  expect(await figure.locator(".line.on").getAttribute("data-thing")).toBe("1");
  await page.context().close();
});

test("with several pictures one chooses which is drawn over", async () => {
  chat.answer = words("<ref>it</ref><box>[[100,100,200,200]]</box>");
  const page = await chat.open();
  for (const colour of ["red", "green"] as const)
    await attach(page, `${colour}.png`, "image/png", await disc(colour, 0.5));
  await expect.poll(() => attached(page).getByRole("img").count()).toBe(2);
  await ask(page, "Where?");
  const alt = () => page.locator("figure.pointed img").getAttribute("alt");
  expect(await alt()).toBe("red.png: 1 it");
  await page.getByRole("button", { name: "Picture 2" }).click();
  expect(await alt()).toBe("green.png: 1 it");
  expect(await page.getByRole("button", { name: "Picture 2" }).getAttribute("aria-pressed")).toBe("true");
  await page.context().close();
});
