import { afterAll, beforeAll, expect, test } from "vitest";
import { PHONE, violations } from "./axe.ts";
import { type ChatSite, gate, openChatSite, words } from "./chat-stub.ts";
import { disc } from "./web-support.ts";

let chat: ChatSite;
beforeAll(async () => {
  chat = await openChatSite();
});
afterAll(() => chat[Symbol.asyncDispose]());

const ANSWER = [
  "## A disc\n\nThe picture shows <ref>a red disc</ref><box>[[200,200,800,800]]</box> on white:\n\n",
  "- **Colour**: red\n- *Shape*: `round`\n\n> A quote with a [link](https://example.org/).\n\n",
  "| what | value |\n|:---|---:|\n| width | 120 |\n\n```ts\nconst radius = 40; // pixels, and a line that is longer than the window of a phone\n```\n\n1. one\n2. two\n",
];

test.each(["light", "dark"] as const)(
  "the chat has no accessibility violations in %s mode",
  async (colorScheme) => {
    const page = await chat.open("?chat=new", { colorScheme });
    await page.getByRole("heading", { name: "Ask about your pictures" }).waitFor();
    expect(await violations(page)).toEqual([]);
    const end = gate();
    chat.answer = async function* () {
      yield { thinking: "Round, and red." };
      yield* ANSWER;
      await end.opened;
    };
    const buffer = await disc("red", 0.3);
    await page.locator("#attach-file").setInputFiles({ name: "disc.png", mimeType: "image/png", buffer });
    await page.getByRole("img", { name: "disc.png" }).waitFor();
    expect(await violations(page)).toEqual([]);
    await page.getByRole("textbox", { name: "Your question" }).fill("What is this?");
    await page.keyboard.press("Enter");
    await page.locator("figure.pointed").waitFor();
    expect(await violations(page)).toEqual([]);
    end.open();
    await page.locator(".answer:not([aria-busy])").waitFor();
    await page.getByText("What it thought").click();
    expect(await violations(page)).toEqual([]);
    await page.getByRole("button", { name: "Edit the question" }).click();
    expect(await violations(page)).toEqual([]);
    await page.getByRole("button", { name: "Conversations" }).click();
    await page.getByRole("dialog").locator(".conversation").first().waitFor();
    expect(await violations(page)).toEqual([]);
    await page.getByRole("button", { name: "Close" }).click();
    await page.getByRole("button", { name: "Settings" }).click();
    await page.getByRole("dialog").getByLabel("API key").waitFor();
    expect(await violations(page)).toEqual([]);
    await page.context().close();
  },
);

test("on a phone nothing of the chat is wider than the screen and everything can be touched", async () => {
  chat.answer = words(...ANSWER);
  const page = await chat.open("?chat=new", PHONE);
  const fits = () =>
    page.evaluate(() => document.documentElement.scrollWidth <= 360 && visualViewport!.width >= 360);
  await page.getByRole("textbox", { name: "Your question" }).waitFor();
  expect(await fits()).toBe(true);
  const buffer = await disc("red", 0.3);
  await page.locator("#attach-file").setInputFiles({ name: "disc.png", mimeType: "image/png", buffer });
  await page.getByRole("textbox", { name: "Your question" }).fill("What is this?");
  await page.getByRole("button", { name: "Send" }).tap();
  await page.locator("figure.pointed").waitFor();
  await page.locator(".answer:not([aria-busy])").waitFor();
  expect(await fits()).toBe(true);
  expect(await violations(page)).toEqual([]);
  const small = await page.evaluate(() =>
    [...document.querySelectorAll<HTMLElement>("button, .bar a, textarea, summary, select")]
      .filter((e) => e.checkVisibility() && !e.classList.contains("skip"))
      .map((e) => [e.outerHTML.slice(0, 80), e.getBoundingClientRect()] as const)
      .filter(([, box]) => box.width < 24 || box.height < 24)
      .map(([html]) => html),
  );
  expect(small).toEqual([]);
  // The question box is in view whatever has been written.
  const composer = (await page.locator("#composer").boundingBox())!;
  expect(composer.y + composer.height).toBeLessThanOrEqual(740);
  await page.getByRole("button", { name: "Conversations" }).tap();
  await page.getByRole("dialog").locator(".conversation").first().waitFor();
  expect(await fits()).toBe(true);
  await page.getByRole("button", { name: "Close" }).tap();
  await page.getByRole("button", { name: "Settings" }).tap();
  await page.getByRole("dialog").getByLabel("API key").waitFor();
  expect(await fits()).toBe(true);
  await page.context().close();
});

test.each(["light", "dark"] as const)("a server that asks for a key, in %s mode", async (colorScheme) => {
  chat.answer = words("Hello");
  chat.key = "secret";
  const page = await chat.open("?chat=new", { colorScheme });
  await page.getByRole("heading", { name: "A key is needed" }).waitFor();
  expect(await violations(page)).toEqual([]);
  const field = page.getByLabel("API key");
  await field.fill("wrong");
  await field.press("Enter");
  await page.getByRole("alert").getByText("does not know the key").waitFor();
  expect(await field.evaluate((e) => e === document.activeElement)).toBe(true);
  await field.fill("secret");
  await field.press("Enter");
  const box = page.getByRole("textbox", { name: "Your question" });
  await box.waitFor();
  await expect.poll(() => box.evaluate((e) => e === document.activeElement)).toBe(true);
  await box.fill("Hi");
  await box.press("Enter");
  await page.locator(".prose").getByText("Hello").waitFor();
  // It is kept, and where it no longer holds the answer says what to do.
  await page.reload();
  await box.waitFor();
  chat.key = "another";
  await box.fill("Again");
  await box.press("Enter");
  await page.getByRole("alert").getByText("Enter the server's key in the settings").waitFor();
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByRole("dialog").getByLabel("API key").fill("another");
  await page.getByRole("dialog").getByRole("button", { name: "Use it" }).click();
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: /again/i }).last().click();
  await page.locator(".exchange").last().locator(".prose").getByText("Hello").waitFor();
  chat.key = undefined;
  await page.context().close();
});

test("the chat by keys alone, and what is said of it", async () => {
  const end = gate();
  chat.answer = async function* () {
    yield "Half of";
    await end.opened;
    yield " it.";
  };
  const page = await chat.open();
  const focused = () => page.evaluate(() => document.activeElement?.id);
  for (const role of ["banner", "main"] as const) expect(await page.getByRole(role).count(), role).toBe(1);
  expect(await page.getByRole("heading", { level: 1 }).textContent()).toBe("Chat about pictures");
  await page.getByRole("textbox").waitFor();
  await page.keyboard.press("Tab");
  expect(await page.evaluate(() => document.activeElement?.textContent)).toBe("Skip to your question");
  await page.keyboard.press("Enter");
  await page.keyboard.press("/");
  expect(await focused()).toBe("question");
  await page.keyboard.type("one");
  await page.keyboard.press("Shift+Enter");
  await page.keyboard.type("two");
  expect(await page.getByRole("textbox").inputValue()).toMatch(/^\/?one\ntwo$/);
  await page.keyboard.press("Enter");
  await page.locator(".prose").getByText("Half of").waitFor();
  // Words are not said while they come.
  expect(await page.locator("#live").textContent()).toBe("Asked; the answer is on its way");
  expect(await page.locator(".exchange [aria-live]").count()).toBe(0);
  expect(await focused()).toBe("question");
  end.open();
  await expect.poll(() => page.locator("#live").textContent()).toBe("Answer: Half of it.");
  await page.context().close();
});
