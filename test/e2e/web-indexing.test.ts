import { join } from "node:path";
import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { FolderLock } from "../../src/core/folder-lock.node.ts";
import { patches, put } from "../../src/search/test-support.ts";
import { disc, openSite, type Site, shown } from "./web-support.ts";

const entryOf = (page: Page, folder: string) =>
  page
    .getByRole("dialog", { name: "Folders" })
    .locator(".folders > li", { has: page.getByText(folder, { exact: true }) });

/** Adds a folder by the page's own controls and returns its entry in the sheet, which stays open. */
async function addFolder(page: Page, folder: string) {
  await page.getByRole("button", { name: "Folders" }).click();
  const sheet = page.getByRole("dialog", { name: "Folders" });
  await sheet.getByRole("textbox", { name: /folder on the machine/i }).fill(folder);
  await sheet.getByRole("button", { name: "Add folder" }).click();
  return entryOf(page, folder);
}

/** Makes a folder of pictures beside the indexed one and has it indexed without the page's doing. */
async function index(site: Site, page: Page, name: string, count: number): Promise<void> {
  const folder = join(site.root, name);
  for (let i = 0; i < count; i++) await put(folder, { [`${name}-${i}.png`]: await patches(i) });
  const response = await page.request.post(`${site.server.url}api/folders`, { data: { path: folder } });
  expect(response.status()).toBe(202);
}

const names = (page: Page) => page.locator("#grid .card .name").allTextContents();

test("a folder that was added to an empty index is there when its sheet is closed", async () => {
  await using site = await openSite({ empty: true });
  const page = await site.open();
  await page.getByRole("heading", { name: "No pictures yet" }).waitFor();
  const folder = join(site.root, "holidays");
  await put(folder, { "red.png": await disc("red", 0.5) });
  const entry = await addFolder(page, folder);
  await entry.getByText("Up to date").waitFor();
  await page.keyboard.press("Escape");
  expect(await shown(page, "red")).toEqual(["red"]);
  await page.getByRole("heading", { name: "No pictures yet" }).waitFor({ state: "hidden" });
});

test("the answers to a question include the folder that was added in between", async () => {
  await using site = await openSite();
  const page = await site.open("?q=blue");
  await shown(page, "blue-disc");
  const folder = join(site.root, "holidays");
  await put(folder, { "sea.png": await disc("blue", 0.75, "#0000ff") });
  const entry = await addFolder(page, folder);
  await entry.getByText("Up to date").waitFor();
  await page.keyboard.press("Escape");
  await shown(page, "sea");
});

test("a folder that is done before the page knows that it was added is shown as done", async () => {
  await using site = await openSite();
  const page = await site.open();
  await shown(page, "black");
  const folder = join(site.root, "holidays");
  await put(folder, { "red.png": await disc("red", 0.5) });
  await page.route("**/api/folders", async (route) => {
    if (route.request().method() !== "POST") return route.continue();
    const response = await route.fetch();
    await entry.getByText("Up to date").waitFor();
    await route.fulfill({ response });
  });
  const entry = entryOf(page, folder);
  const answered = page.waitForResponse((response) => response.status() === 202);
  await addFolder(page, folder);
  await answered;
  await page
    .getByRole("textbox", { name: /folder on the machine/i })
    .and(page.locator(":placeholder-shown"))
    .waitFor();
  expect(await entry.getByText("Up to date").isVisible()).toBe(true);
});

test("what is wrong with the index is said where one looks", async () => {
  await using site = await openSite();
  const page = await site.open();
  await shown(page, "black");
  const folder = join(site.root, "holidays");
  await put(folder, { "red.png": await disc("red", 0.5) });
  await site.server.indexed;
  const lock = await FolderLock.acquire(join(site.root, "index"));
  const entry = await addFolder(page, folder);
  await entry.getByText(new RegExp(`^Waiting for its turn: .*process ${process.pid}`)).waitFor();
  const sheet = page.getByRole("dialog", { name: "Folders" });
  const other = sheet.locator(".folders > li", { hasText: join(site.root, "pictures") });
  const remove = other.getByRole("button", { name: "Remove pictures from the index" });
  await remove.click();
  const problem = other.getByRole("alert");
  await problem.getByText(new RegExp(`^Not removed: .*process ${process.pid}`)).waitFor();
  await lock[Symbol.asyncDispose]();
  await entry.getByText("Up to date").waitFor();
  expect(await problem.isVisible()).toBe(true);
  await remove.click();
  await other.waitFor({ state: "detached" });
  // The button that had the focus is gone.
  expect(await page.evaluate(() => document.activeElement?.id)).toBe("folder-path");
});

test("an open list of unreadable files stays open, with the focus on it, while the indexing goes on", async () => {
  await using site = await openSite({ delayMs: 400 });
  const page = await site.open();
  await shown(page, "black");
  const folder = join(site.root, "holidays");
  await put(folder, { "torn.jpg": "not a picture" });
  const entry = await addFolder(page, folder);
  const summary = entry.getByText("1 file could not be read");
  await summary.click();
  await index(site, page, "holidays", 90);
  await entry.getByText(/^\d+ of \d+ · /).waitFor();
  expect(await entry.getByText(join(folder, "torn.jpg")).isVisible()).toBe(true);
  await entry.getByText("Up to date").waitFor();
  await entry.getByText("90 pictures").waitFor();
  expect(await entry.getByText(join(folder, "torn.jpg")).isVisible()).toBe(true);
  expect(await summary.evaluate((element) => element === document.activeElement)).toBe(true);
});

test("while a folder is being indexed, the pictures that are loaded and the focus among them stay", async () => {
  await using site = await openSite({ delayMs: 300 });
  const page = await site.open();
  await shown(page, "black");
  await index(site, page, "zoo", 80);
  await page.getByText("100 pictures · colours").waitFor();
  await expect.poll(async () => (await names(page)).length).toBe(36);
  await page.locator("#more").scrollIntoViewIfNeeded();
  await expect.poll(async () => (await names(page)).length).toBeGreaterThanOrEqual(72);
  const before = await names(page);
  const card = page.locator("#grid .card").nth(30);
  await card.getByRole("button").first().focus();
  await index(site, page, "animals", 40);
  // They come first, for pictures are sorted by their paths, and before the folder is complete.
  await shown(page, "animals");
  await page.getByText("140 pictures · colours").waitFor();
  const after = await names(page);
  expect(after.filter((name) => name.startsWith("animals"))).toHaveLength(40);
  // Scrolling may have loaded one page more.
  expect(after.length).toBeGreaterThanOrEqual(before.length);
  const focused = () => page.evaluate(() => document.activeElement?.closest("li")?.textContent);
  expect(await focused()).toBe(before[30]);
  await page.keyboard.press("ArrowRight");
  expect(await focused()).toBe(before[31]);
});

test("pictures that cannot be loaded in addition leave those that are there", async () => {
  await using site = await openSite();
  const page = await site.open();
  await shown(page, "black");
  await index(site, page, "zoo", 80);
  await page.getByText("100 pictures · colours").waitFor();
  await expect.poll(async () => (await names(page)).length).toBe(36);
  await page.route(/\/api\/pictures\?.*after=/, (route) => route.abort());
  await page.getByRole("button", { name: "Show more" }).click();
  await page.getByText("No more could be loaded: The server does not answer").waitFor();
  expect(await names(page)).toHaveLength(36);
  await page.unroute(/\/api\/pictures\?.*after=/);
  await page.getByRole("button", { name: "Show more" }).click();
  await expect.poll(async () => (await names(page)).length).toBeGreaterThanOrEqual(72);
  await page.getByText("No more could be loaded").waitFor({ state: "hidden" });
});
