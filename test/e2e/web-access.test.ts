import { afterAll, beforeAll, expect, test } from "vitest";
import { PHONE, violations } from "./axe.ts";
import { openSite, type Site, shown } from "./web-support.ts";

let site: Site;
beforeAll(async () => {
  site = await openSite();
});
afterAll(() => site[Symbol.asyncDispose]());

test.each(["light", "dark"] as const)("no accessibility violations in %s mode", async (colorScheme) => {
  const page = await site.open("", { colorScheme });
  await shown(page, "black");
  expect(await violations(page)).toEqual([]);
  await page.getByRole("searchbox").fill("red");
  await shown(page, "red");
  expect(await violations(page)).toEqual([]);
  await page.locator(".card .plate").first().click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("textbox").fill("red, blue");
  await dialog.getByRole("button", { name: "Classify" }).click();
  await dialog.locator(".bars li").first().waitFor();
  expect(await violations(page)).toEqual([]);
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Folders" }).click();
  await page.locator(".folders > li").first().waitFor();
  expect(await violations(page)).toEqual([]);
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: /What it can do/ }).click();
  await page.getByRole("heading", { name: "It does not know" }).waitFor();
  expect(await violations(page)).toEqual([]);
  await page.context().close();
});

test("on a phone nothing is wider than the screen and everything can be touched", async () => {
  const page = await site.open("?q=blue", PHONE);
  await shown(page, "blue");
  const fits = () =>
    page.evaluate(() => document.documentElement.scrollWidth <= 360 && visualViewport!.width >= 360);
  expect(await fits()).toBe(true);
  expect(await violations(page)).toEqual([]);
  const small = await page.evaluate(() =>
    [...document.querySelectorAll<HTMLElement>("button, a, input")]
      .filter((e) => e.checkVisibility() && !e.classList.contains("skip"))
      .map((e) => [e.outerHTML.slice(0, 80), e.getBoundingClientRect()] as const)
      .filter(([, box]) => box.width < 24 || box.height < 24)
      .map(([html]) => html),
  );
  expect(small).toEqual([]);
  await page
    .getByRole("button", { name: /^Select blue/ })
    .first()
    .tap();
  await page.getByText("1 selected").waitFor();
  expect(await fits()).toBe(true);
  await page.locator(".card .plate").first().tap();
  await page.getByRole("dialog").getByText("120 × 120 pixels").waitFor();
  expect(await fits()).toBe(true);
  await page.goBack();
  await page.getByRole("dialog").waitFor({ state: "hidden" });
  await page.getByRole("button", { name: "Folders" }).tap();
  await page.locator(".folders > li").first().waitFor();
  expect(await fits()).toBe(true);
  await page.context().close();
});

test("landmarks, headings and names are there for those who listen", async () => {
  const page = await site.open();
  await shown(page, "black");
  for (const role of ["banner", "search", "main", "contentinfo"] as const)
    expect(await page.getByRole(role).count(), role).toBe(1);
  expect(await page.getByRole("heading", { level: 1 }).textContent()).toBe("Picture search");
  expect(await page.getByRole("button", { name: "black disc 15", exact: true }).count()).toBe(1);
  expect(await page.getByRole("searchbox", { name: /Describe a picture/ }).count()).toBe(1);
  await page.context().close();
});

test("nothing comes from anywhere else, and inline code would not run", async () => {
  // Not by site.open: the refused script is an error on purpose.
  const page = await site.browser.newPage();
  const hosts = new Set<string>();
  page.on("request", (request) => hosts.add(new URL(request.url()).host));
  await page.goto(site.server.url);
  await shown(page, "black");
  expect([...hosts]).toEqual([new URL(site.server.url).host]);
  const ran = await page.evaluate(() => {
    const script = document.createElement("script");
    script.textContent = "globalThis.ran = true";
    document.body.append(script);
    return "ran" in globalThis;
  });
  expect(ran).toBe(false);
});
