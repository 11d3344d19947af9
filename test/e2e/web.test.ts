import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { disc, dropFile, openSite, type Site, shown } from "./web-support.ts";

let site: Site;
beforeAll(async () => {
  site = await openSite();
});
afterAll(() => site[Symbol.asyncDispose]());

test("the start page shows the collection, examples, the model and no results yet", async () => {
  const page = await site.open();
  expect(await shown(page, "black-disc-15")).toHaveLength(20);
  expect(await page.locator("#examples button").count()).toBeGreaterThan(5);
  await page.getByText("20 pictures · colours").waitFor();
  await page.context().close();
});

test("typing searches as one types, and the address follows", async () => {
  const page = await site.open();
  await page.getByRole("searchbox").pressSequentially("red", { delay: 30 });
  const names = await shown(page, "red-disc");
  expect(names.slice(0, 4).every((name) => name.startsWith("red"))).toBe(true);
  await page.waitForURL(/\?q=red$/);
  const scores = (await page.locator(".score").allTextContents()).map(Number);
  expect(scores).toEqual([...scores].sort((a, b) => b - a));
  expect(await page.locator("#live").textContent()).toMatch(/Closest to “red”: 20 pictures, first red disc/);
  await page.getByRole("searchbox").fill("");
  await shown(page, "black-disc-15");
  await page.context().close();
});

test("only the latest words count, whichever answer comes first", async () => {
  const page = await site.open();
  await shown(page, "black");
  // The answer for "red" is held back until the one for "blue" has been shown.
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  await page.route(/q=red/, async (route) => {
    await held;
    await route.continue().catch(() => {});
  });
  await page.getByRole("searchbox").fill("red");
  await page.waitForURL(/q=red/);
  await page.getByRole("searchbox").fill("blue");
  await shown(page, "blue");
  release();
  await page.waitForTimeout(300);
  expect((await shown(page, "blue"))[0]).toMatch(/^blue/);
  await page.context().close();
});

test("back, forward and reload lead to the same results", async () => {
  const page = await site.open("?q=red");
  await shown(page, "red");
  await page.getByRole("searchbox").fill("green");
  await page.keyboard.press("Enter");
  await shown(page, "green");
  await page.goBack();
  await shown(page, "red");
  expect(await page.getByRole("searchbox").inputValue()).toBe("red");
  await page.goForward();
  await shown(page, "green");
  await page.reload();
  await shown(page, "green");
  expect(await page.getByRole("searchbox").inputValue()).toBe("green");
  await page.context().close();
});

test("a dropped picture is searched by, also after a reload", async () => {
  const page = await site.open();
  await shown(page, "black");
  await dropFile(page, await disc("green", 0.5, "#ffffff"), "mine.png", "image/png");
  expect((await shown(page, "green")).slice(0, 4).every((name) => name.startsWith("green"))).toBe(true);
  await page.getByRole("img", { name: "The picture that is searched by" }).waitFor();
  await page.waitForFunction(() => Object.keys(sessionStorage).length === 1);
  await page.reload();
  await shown(page, "green");
  await page.getByRole("button", { name: "Clear this search" }).click();
  await shown(page, "black");
  await page.context().close();
});

test("a chosen picture is searched by, and a file that is none is explained", async () => {
  const page = await site.open();
  await shown(page, "black");
  const buffer = await disc("yellow", 0.5);
  await page.locator("#file").setInputFiles({ name: "y.png", mimeType: "image/png", buffer });
  await shown(page, "yellow");
  const broken = Buffer.from("no picture");
  await page.locator("#file").setInputFiles({ name: "x.png", mimeType: "image/png", buffer: broken });
  await page
    .locator("#message")
    .getByText(/expected a picture .* found/)
    .waitFor();
  await page.context().close();
});

test("more like this, from the grid and from the large view", async () => {
  const page = await site.open("?q=blue");
  await shown(page, "blue");
  await page.locator(".card").first().hover();
  const [first] = await page.locator(".card .name").allTextContents();
  await page
    .getByRole("button", { name: /^More like blue/ })
    .first()
    .click();
  await page.getByRole("heading", { name: "More like this picture" }).waitFor();
  const names = await shown(page, "blue");
  expect(names).toHaveLength(19);
  expect(names).not.toContain(first);
  await page.locator(".card .plate").first().click();
  await page.getByRole("dialog").getByRole("button", { name: "More like this" }).click();
  await page.getByRole("dialog").waitFor({ state: "hidden" });
  expect(await shown(page, "blue")).toContain(first);
  await page.context().close();
});

test("the large view tells about the picture, and its original is the file", async () => {
  const page = await site.open("?q=red");
  await shown(page, "red");
  const [name] = await page.locator(".card .name").allTextContents();
  await page.locator(".card .plate").first().click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("120 × 120 pixels").waitFor();
  const path = join(site.root, "pictures", `${name}.png`);
  expect(await dialog.locator(".path").textContent()).toBe(path);
  const href = await dialog.getByRole("link", { name: "Original" }).getAttribute("href");
  const response = await page.request.get(new URL(href!, site.server.url).href);
  expect(Buffer.compare(await response.body(), await readFile(path))).toBe(0);
  await page.reload();
  await dialog.getByText("120 × 120 pixels").waitFor();
  await dialog.getByRole("button", { name: "Close" }).click();
  await page.waitForURL(/\?q=red$/);
  await page.context().close();
});

test("own labels are ranked for one picture and for several", async () => {
  const page = await site.open("?q=green");
  await shown(page, "green");
  await page.locator(".card .plate").first().click();
  const dialog = page.getByRole("dialog");
  const labels = dialog.getByRole("textbox", { name: /Labels/ });
  await labels.fill("red");
  await dialog.getByRole("button", { name: "Classify" }).click();
  await dialog.getByText(/at least two labels/).waitFor();
  await labels.fill("red, green, blue");
  await dialog.getByRole("button", { name: "Classify" }).click();
  await dialog.locator(".bars li").first().getByText("green").waitFor();
  expect(await dialog.locator(".bars li").count()).toBe(3);
  await page.keyboard.press("Escape");

  await page.getByRole("searchbox").fill("");
  await shown(page, "black");
  for (const name of ["black disc 15", "red disc 60"]) {
    await page.locator(".card", { has: page.getByRole("button", { name: `Select ${name}` }) }).hover();
    await page.getByRole("button", { name: `Select ${name}` }).click();
  }
  await page.getByText("2 selected").waitFor();
  await page
    .getByRole("region", { name: "Selected pictures" })
    .getByRole("button", { name: "Classify" })
    .click();
  const sheet = page.getByRole("dialog", { name: "Classify 2 pictures" });
  // The labels of last time are still there.
  expect(await sheet.getByRole("textbox").inputValue()).toBe("red, green, blue");
  await sheet.getByRole("textbox").fill("red, black");
  await sheet.getByRole("button", { name: "Classify" }).click();
  await sheet.locator(".classified > li").nth(1).locator(".first").getByText("red").waitFor();
  await page.context().close();
});

test("keys alone are enough: search, move, open, look through, close, and be where one was", async () => {
  const page = await site.open();
  await shown(page, "black");
  const focused = () => page.evaluate(() => document.activeElement?.getAttribute("aria-label"));
  await page.keyboard.press("/");
  await page.keyboard.type("blue");
  await shown(page, "blue");
  await page.keyboard.press("ArrowDown");
  expect(await focused()).toMatch(/^blue disc/);
  await page.keyboard.press("ArrowRight");
  const second = await focused();
  await page.keyboard.press("ArrowDown");
  expect(await focused()).not.toBe(second);
  await page.keyboard.press("ArrowUp");
  expect(await focused()).toBe(second);
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("heading", { level: 2 }).waitFor();
  const title = () => dialog.getByRole("heading", { level: 2 }).textContent();
  const opened = await title();
  await page.keyboard.press("ArrowRight");
  await expect.poll(title).not.toBe(opened);
  const moved = await title();
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "hidden" });
  // The focus is on the picture that one looked at last; for a moment the browser puts it back where it was before.
  const stem = moved!.replace(".png", "").replaceAll("-", " ");
  await expect.poll(focused).toContain(stem);
  await page.keyboard.press("Tab");
  expect(await focused()).toMatch(/^More like blue disc/);
  await page.context().close();
});
