import { join } from "node:path";
import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { patches, put } from "../../src/search/test-support.ts";
import { disc, openSite, shown } from "./web-support.ts";

/** Everything that the matching elements say from now on: what is on show for a moment is not missed. */
async function collectTexts(page: Page, selector: string): Promise<() => Promise<string[]>> {
  await page.evaluate((css) => {
    const texts = new Set<string>();
    Object.assign(globalThis, { collectedTexts: texts });
    const look = () => {
      for (const element of document.querySelectorAll(css)) texts.add(element.textContent ?? "");
    };
    new MutationObserver(look).observe(document.body, {
      subtree: true,
      childList: true,
      characterData: true,
    });
  }, selector);
  return () =>
    page.evaluate(() => [...(globalThis as unknown as { collectedTexts: Set<string> }).collectedTexts]);
}

test("a folder is added, watched while it is indexed, searched and removed", async () => {
  await using site = await openSite({ delayMs: 400 });
  const folder = join(site.root, "holidays");
  for (let i = 0; i < 90; i++) await put(folder, { [`${i}.png`]: await patches(i) });
  await put(folder, { "sea.png": await disc("blue", 0.75, "#0000ff"), "torn.jpg": "not a picture" });
  const page = await site.open();
  await page.getByRole("button", { name: "Folders" }).click();
  const sheet = page.getByRole("dialog", { name: "Folders" });
  const input = sheet.getByRole("textbox", { name: /folder on the machine/i });
  await input.fill("/no/such/folder");
  await page.keyboard.press("Enter");
  await sheet.getByText(/no such folder/).waitFor();
  await input.fill(folder);
  const progress = await collectTexts(page, ".job p, #activity-text");
  await sheet.getByRole("button", { name: "Add folder" }).click();
  const entry = sheet.locator(".folders > li", { hasText: "holidays" });
  await entry.getByText("Up to date").waitFor();
  const told = await progress();
  expect(told).toContainEqual(expect.stringMatching(/^\d+ of \d+ · [\d.]+ pictures\/s · /));
  expect(told).toContainEqual(expect.stringMatching(/^Indexing holidays: \d+ of \d+/));
  await entry.getByText("91 pictures").waitFor();
  await entry.getByText("1 file could not be read").click();
  await entry.getByText(join(folder, "torn.jpg")).waitFor();
  await entry.getByText(/expected a .* picture, found/).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("searchbox").fill("blue");
  await shown(page, "sea");
  await page.getByText("111 pictures · colours").waitFor();
  await page.getByRole("button", { name: "Folders" }).click();
  await sheet.getByRole("button", { name: "Remove holidays from the index" }).click();
  await entry.waitFor({ state: "detached" });
  await page.keyboard.press("Escape");
  await shown(page, "blue-disc");
});

test("an empty index says what to do, and fills while one looks", async () => {
  await using site = await openSite({ empty: true });
  const page = await site.open();
  await page.getByRole("heading", { name: "No pictures yet" }).waitFor();
  await put(join(site.root, "pictures"), { "red.png": await disc("red", 0.5) });
  const response = await page.request.post(`${site.server.url}api/folders`, {
    data: { path: join(site.root, "pictures") },
  });
  expect(response.status()).toBe(202);
  expect(await shown(page, "red")).toHaveLength(1);
});

test("another site in the same browser can neither read nor change anything", async () => {
  await using site = await openSite();
  const page = await site.open();
  const foreign = await page.context().newPage();
  // 127.0.0.1 and localhost are the same server and different origins.
  const other = site.server.url.replace("localhost", "127.0.0.1");
  await foreign.goto(`${other}healthz`);
  const attempt = (path: string, method: string, body?: string, type?: string) =>
    foreign.evaluate(
      async ([url, how, what, as]) => {
        const init: RequestInit = { method: how!, mode: "no-cors", ...(what && { body: what }) };
        if (as) init.headers = { "content-type": as };
        return fetch(url!, init).then(
          (r) => r.type,
          () => "blocked",
        );
      },
      [site.server.url + path, method, body, type],
    );
  const folder = JSON.stringify({ path: site.root });
  await attempt("api/folders", "POST", folder, "text/plain");
  await attempt("api/folders", "POST", folder);
  await attempt(`api/folders?path=${encodeURIComponent(join(site.root, "pictures"))}`, "DELETE");
  const { folders } = (await (await page.request.get(`${site.server.url}api/folders`)).json()) as {
    folders: { path: string }[];
  };
  expect(folders.map((f) => f.path)).toEqual([join(site.root, "pictures")]);
  const readable = await foreign.evaluate(
    (url) =>
      fetch(url).then(
        () => true,
        () => false,
      ),
    `${site.server.url}api/search?q=red`,
  );
  expect(readable).toBe(false);
});

test("the page says when the server has gone", async () => {
  await using site = await openSite();
  const page = await site.open();
  await shown(page, "black");
  await site.server.close();
  await page.getByRole("searchbox").fill("red");
  await page.locator("#message").getByText("The server does not answer. Is it still running?").waitFor();
});
