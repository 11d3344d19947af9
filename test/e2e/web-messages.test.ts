import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Page } from "playwright-core";
import sharp from "sharp";
import { afterAll, beforeAll, expect, test } from "vitest";
import { disc, dropFile, openSite, type Site, shown } from "./web-support.ts";

const UPLOAD_BYTES = 20_000;

let site: Site;
beforeAll(async () => {
  site = await openSite({ limits: { uploadBytes: UPLOAD_BYTES } });
});
afterAll(() => site[Symbol.asyncDispose]());

/** Counts the pictures that the page sends. */
function countUploads(page: Page): () => number {
  let uploads = 0;
  page.on("request", (request) => {
    if (request.method() === "POST") uploads++;
  });
  return () => uploads;
}

test("files that cannot be searched by are refused before they are sent, for all to see", async () => {
  const page = await site.open("?q=red");
  await shown(page, "red");
  await page.getByText("20 pictures · colours").waitFor();
  const uploads = countUploads(page);
  await dropFile(page, Buffer.from("hello"), "notes.txt", "text/plain");
  const notice = page.getByRole("alert").filter({ hasText: "is not a picture" });
  await notice.getByText("notes.txt is not a picture. Choose a JPEG").waitFor();
  await notice.getByRole("button", { name: "Dismiss this message" }).click();
  await notice.waitFor({ state: "hidden" });
  await dropFile(page, Buffer.alloc(UPLOAD_BYTES + 1000), "wall.png", "image/png");
  await page.getByText("wall.png has 21 kB; pictures to search by may have 20 kB.").waitFor();
  await shown(page, "red");
  expect(uploads()).toBe(0);
  // What can be searched by is, and the message goes.
  await dropFile(page, await disc("green", 0.5), "mine.png", "image/png");
  await shown(page, "green");
  await page.getByText(/wall\.png/).waitFor({ state: "hidden" });
  expect(uploads()).toBe(1);
  await page.context().close();
});

test("a dropped folder is told from a picture", async () => {
  const page = await site.open("?q=red");
  await shown(page, "red");
  const uploads = countUploads(page);
  const folder = join(site.root, "holidays");
  await mkdir(folder);
  // Only the browser can make a drag of a real folder.
  const browser = await page.context().newCDPSession(page);
  const data = { items: [], files: [folder], dragOperationsMask: 1 };
  for (const type of ["dragEnter", "dragOver", "drop"] as const)
    await browser.send("Input.dispatchDragEvent", { type, x: 300, y: 300, data });
  await page.getByText("holidays is a folder. Drop one picture").waitFor();
  await shown(page, "red");
  expect(uploads()).toBe(0);
  await page.context().close();
});

test("a file that can no longer be read is not taken for a server that is gone", async () => {
  const page = await site.open();
  await shown(page, "black");
  await page.evaluate(() => {
    Blob.prototype.arrayBuffer = () => Promise.reject(new DOMException("", "NotReadableError"));
  });
  await dropFile(page, await disc("green", 0.5), "mine.png", "image/png");
  await page.locator("#message").getByText("Your browser can no longer read this picture.").waitFor();
  await page.context().close();
});

test("while a dialog is open, screen readers hear from inside it: what is outside is inert", async () => {
  const page = await site.open("?q=green");
  await shown(page, "green");
  await page.locator(".card .plate").first().click();
  const dialog = page.getByRole("dialog");
  const said = dialog.getByRole("status");
  await page.keyboard.press("ArrowRight");
  await said.getByText(/^green disc \d+$/).waitFor({ state: "attached" });
  await dialog.getByRole("textbox", { name: /Labels/ }).fill("red, green");
  await dialog.getByRole("button", { name: "Classify" }).click();
  await said.getByText(/^Most likely green, /).waitFor({ state: "attached" });
  await page.context().close();
});

test.each([
  ["does", "Path copied"],
  ["does not", "The browser does not allow copying here"],
])("copying the path where the browser %s allow it", async (how, text) => {
  const page = await site.open("?q=green");
  await page.evaluate((allowed) => {
    const clipboard = allowed ? { writeText: () => Promise.resolve() } : undefined;
    Object.defineProperty(navigator, "clipboard", { value: clipboard });
  }, how === "does");
  await shown(page, "green");
  await page.locator(".card .plate").first().click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("button", { name: "Copy the path" }).click();
  const message = dialog.getByText(text);
  await message.waitFor({ state: "attached" });
  // What went well is only said; the tick shows it. What did not must be seen, too.
  const seen = await message.evaluate((element) => element.getBoundingClientRect().width > 50);
  expect(seen).toBe(how === "does not");
  await page.context().close();
});

/** How many colours there are in the middle of a button. */
async function coloursIn(png: Buffer): Promise<number> {
  const { data, info } = await sharp(png).removeAlpha().raw().toBuffer({ resolveWithObject: true });
  const colours = new Set<number>();
  for (let y = 6; y < info.height - 6; y++)
    for (let x = 14; x < info.width - 14; x++) {
      const at = (y * info.width + x) * info.channels;
      colours.add((data[at]! << 16) | (data[at + 1]! << 8) | data[at + 2]!);
    }
  return colours.size;
}

test("no example is blank because the system has no font for it", async () => {
  const page = await site.open();
  await shown(page, "black");
  const chips = await page.locator("#examples button").all();
  expect(chips.length).toBeGreaterThan(3);
  for (const chip of chips)
    expect(await coloursIn(await chip.screenshot()), (await chip.textContent()) ?? "").toBeGreaterThan(1);
  await page.context().close();
});
