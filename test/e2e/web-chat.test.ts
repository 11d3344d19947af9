import type { Page } from "playwright-core";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { type ChatSite, gate, openChatSite, Refusal, words } from "./chat-stub.ts";
import { shown } from "./web-support.ts";

let chat: ChatSite;
beforeAll(async () => {
  chat = await openChatSite();
});
afterAll(() => chat[Symbol.asyncDispose]());
beforeEach(() => {
  chat.requests.length = 0;
  chat.gaveUp = 0;
  chat.models = ["stub-8b"];
});

const box = (page: Page) => page.getByRole("textbox", { name: "Your question" });

async function ask(page: Page, text: string): Promise<void> {
  await box(page).fill(text);
  await box(page).press("Enter");
}

const lastAnswer = (page: Page) => page.locator(".exchange").last().locator(".answer");

/** Waits until the last answer is complete; its text. */
async function answered(page: Page): Promise<string | null> {
  await page.locator(".exchange").last().locator(".answer:not([aria-busy])").waitFor();
  return lastAnswer(page).locator(".prose").textContent();
}

test("the chat stands beside the search: a tab, an address, and back to the results", async () => {
  const page = await chat.open("?q=red");
  await shown(page, "red");
  await page.getByRole("link", { name: "Chat" }).click();
  await page.waitForURL(/\?q=red&chat=new$/);
  await page.getByRole("heading", { name: "Ask about your pictures" }).waitFor();
  expect(await page.getByRole("searchbox").isVisible()).toBe(false);
  expect(await page.getByRole("link", { name: "Chat" }).getAttribute("aria-current")).toBe("page");
  // A slash in a question is a slash.
  await box(page).pressSequentially("and/or");
  expect(await box(page).inputValue()).toBe("and/or");
  await page.goBack();
  await shown(page, "red");
  expect(await page.getByRole("searchbox").inputValue()).toBe("red");
  await page.context().close();
});

test("an answer is shown as it comes, then what it cost", async () => {
  const [first, rest] = [gate(), gate()];
  chat.answer = async function* () {
    await first.opened;
    yield "A **red";
    await rest.opened;
    yield* [" disc** on ", "white", "."];
  };
  const page = await chat.open();
  await ask(page, "What is this?");
  await page.getByText("Reading the question…").waitFor();
  await page.waitForURL(/\?chat=\d+$/);
  first.open();
  await lastAnswer(page).getByText("A **red").waitFor();
  expect(await lastAnswer(page).getAttribute("aria-busy")).toBe("true");
  await page.waitForTimeout(150);
  const before = await lastAnswer(page).boundingBox();
  rest.open();
  expect(await answered(page)).toBe("A red disc on white.");
  // Nothing below or above has moved.
  expect(await lastAnswer(page).boundingBox()).toEqual(before);
  expect(await lastAnswer(page).locator("strong").textContent()).toBe("red disc");
  const facts = await lastAnswer(page).locator(".answer-facts").textContent();
  // Four tokens; three of them after a pause of 0.15 s and more.
  const [, tokens, speed] = /^(\d+) tokens · ([\d.]+) tokens per second$/.exec(facts!)!;
  expect(tokens).toBe("4");
  expect(Number(speed)).toBeGreaterThan(0);
  expect(Number(speed)).toBeLessThan(3 / 0.15 + 0.1);
  // It is told once the conversation is stored.
  await expect.poll(() => page.locator("#live").textContent()).toBe("Answer: A red disc on white.");
  expect(chat.requests).toEqual([
    expect.objectContaining({
      model: "stub-8b",
      temperature: 0,
      stream: true,
      stream_options: { include_usage: true },
      messages: [{ role: "user", content: "What is this?" }],
    }),
  ]);
  expect(await page.title()).toBe("What is this? · internvl");
  await page.context().close();
});

test("stopping keeps what there is and lets the server know; the conversation goes on from there", async () => {
  const never = gate();
  chat.answer = async function* () {
    yield "One, two";
    await never.opened;
  };
  const page = await chat.open();
  await ask(page, "Count");
  await lastAnswer(page).getByText("One, two").waitFor();
  await page.getByRole("button", { name: "Stop" }).click();
  expect(await answered(page)).toBe("One, two");
  expect(await lastAnswer(page).locator(".answer-facts").textContent()).toBe("Stopped");
  await expect.poll(() => chat.gaveUp).toBe(1);
  // Escape does the same, and the focus is where one writes.
  await ask(page, "Go on");
  await expect.poll(() => chat.requests.length).toBe(2);
  expect(chat.requests[1]!.messages).toEqual([
    { role: "user", content: "Count" },
    { role: "assistant", content: "One, two" },
    { role: "user", content: "Go on" },
  ]);
  await lastAnswer(page).getByText("One, two").waitFor();
  await page.keyboard.press("Escape");
  await answered(page);
  await expect.poll(() => chat.gaveUp).toBe(2);
  expect(await box(page).evaluate((e) => e === document.activeElement)).toBe(true);
  never.open();
  await page.context().close();
});

test("nothing that an answer writes is run, loaded or followed", async () => {
  chat.answer = words(
    '<img src=x onerror="globalThis.ran = 1"> <script>globalThis.ran = 2</script>\n\n',
    "<iframe src='javascript:globalThis.ran=3'></iframe>\n\n[a](javascript:alert(1)) [b](&#106;avascript:alert(2)) ",
    "[c](data:text/html,x) [d](https://example.org/?a=1&b=2) ![e](https://example.org/track.png) &lt;b&gt;\n\n",
    "```html\n<b onclick=x>code</b>\n```\n\n| a | b |\n|---|---|\n| <u>1</u> | `<i>` |\n",
  );
  const page = await chat.open();
  const asked: string[] = [];
  page.on("request", (request) => asked.push(request.url()));
  await ask(page, "Be nasty");
  const text = await answered(page);
  const prose = lastAnswer(page).locator(".prose");
  expect(await prose.locator("img, script, iframe, b, u, i, [onclick], [onerror]").count()).toBe(0);
  expect(text).toContain('<img src=x onerror="globalThis.ran = 1">');
  expect(text).toContain("<b>");
  const links = await prose
    .locator("a")
    .evaluateAll((all) => all.map((a) => [a.textContent, a.getAttribute("href"), a.getAttribute("rel")]));
  expect(links).toEqual([
    ["d", "https://example.org/?a=1&b=2", "noopener noreferrer nofollow"],
    ["e", "https://example.org/track.png", "noopener noreferrer nofollow"],
  ]);
  expect(await prose.locator("pre code").textContent()).toBe("<b onclick=x>code</b>");
  expect(await prose.locator("td").allTextContents()).toEqual(["<u>1</u>", "<i>"]);
  expect(await page.evaluate(() => "ran" in globalThis)).toBe(false);
  expect(asked.filter((url) => !url.startsWith("http://localhost"))).toEqual([]);
  await page.context().close();
});

test("what a model thinks is folded away, in either form", async () => {
  for (const answer of [
    words({ thinking: "Hm, red." }, "Red."),
    words("<think>Hm, ", "red.</think>\nRed."),
  ]) {
    chat.answer = answer;
    const page = await chat.open();
    await ask(page, "Colour?");
    expect(await answered(page)).toBe("Red.");
    const thought = lastAnswer(page).locator(".thought");
    expect(await thought.isVisible()).toBe(false);
    await lastAnswer(page).getByText("What it thought").click();
    expect(await thought.textContent()).toBe("Hm, red.");
    await page.context().close();
  }
});

test("an answer can be asked for again, and the last question changed", async () => {
  let count = 0;
  chat.answer = async function* ({ messages }) {
    yield `Answer ${++count} to ${messages.at(-1)!.content}`;
  };
  const page = await chat.open();
  await ask(page, "first");
  await answered(page);
  await ask(page, "second");
  expect(await answered(page)).toBe("Answer 2 to second");
  // Only the last exchange has these.
  expect(await page.getByRole("button", { name: "Edit the question" }).count()).toBe(1);
  await page.getByRole("button", { name: "Answer again" }).click();
  await lastAnswer(page).getByText("Answer 3 to second").waitFor();
  expect(await page.locator(".exchange").count()).toBe(2);
  await page.getByRole("button", { name: "Edit the question" }).click();
  expect(await box(page).inputValue()).toBe("second");
  await page.getByRole("button", { name: "Keep it" }).click();
  expect(await box(page).inputValue()).toBe("");
  await page.getByRole("button", { name: "Edit the question" }).click();
  await ask(page, "third");
  await lastAnswer(page).getByText("Answer 4 to third").waitFor();
  expect(await page.locator(".question-text").allTextContents()).toEqual(["first", "third"]);
  expect(chat.requests.at(-1)!.messages.map(({ content }) => content)).toEqual([
    "first",
    "Answer 1 to first",
    "third",
  ]);
  await page.context().close();
});

test("failures say what happened and what to do, and asking again mends them", async () => {
  chat.answer = async function* () {
    yield* [];
    const message = "the conversation has 9000 tokens, the model takes 8192";
    throw new Refusal(400, { message, type: "invalid_request_error", code: "context_length_exceeded" });
  };
  const page = await chat.open();
  await ask(page, "Too long");
  const problem = lastAnswer(page).getByRole("alert");
  await problem.getByText(/^The conversation has 9000 tokens, the model takes 8192\. Start a new/).waitFor();
  // In the middle of an answer.
  chat.answer = words("Half an ", { event: { error: { message: "out of memory", type: "server_error" } } });
  await page.getByRole("button", { name: "Try again" }).click();
  await problem.getByText(/^Out of memory\. Try again; .* log says more\.$/).waitFor();
  expect(await answered(page)).toBe("Half an ");
  // A connection that breaks.
  chat.answer = words("Half", { cut: true });
  await page.getByRole("button", { name: "Try again" }).click();
  await problem.getByText(/^The connection broke before the answer was complete\. Try again\.$/).waitFor();
  // Something that is no answer.
  chat.answer = words("Half", { event: "[DONE" });
  await page.getByRole("button", { name: "Try again" }).click();
  await problem.getByText(/no part of an answer/).waitFor();
  chat.answer = words("Whole.");
  await page.getByRole("button", { name: "Try again" }).click();
  await lastAnswer(page).getByText("Whole.").waitFor();
  await expect.poll(() => problem.count()).toBe(0);
  await page.context().close();
});

test("a busy model is asked again by itself", async () => {
  chat.answer = async function* () {
    if (chat.requests.length < 3)
      throw new Refusal(429, { message: "busy", type: "rate_limit_error" }, { "Retry-After": "1" });
    yield "At last.";
  };
  const page = await chat.open();
  await ask(page, "Hello?");
  await page.getByText("The model is busy with other questions. Asking again in 1 s…").waitFor();
  await lastAnswer(page).getByText("At last.").waitFor();
  expect(chat.requests).toHaveLength(3);
  await page.context().close();
});

test("conversations outlive a reload; they can be opened, renamed, deleted and brought back", async () => {
  chat.answer = words("Kept.");
  const page = await chat.open();
  await ask(page, "Remember me");
  await answered(page);
  await page.reload();
  await page.getByText("Remember me").last().waitFor();
  expect(await answered(page)).toBe("Kept.");
  await page.getByRole("button", { name: "New conversation" }).click();
  await page.waitForURL(/chat=new$/);
  expect(await page.locator(".exchange").count()).toBe(0);
  await ask(page, "Another");
  await answered(page);
  const sheet = page.getByRole("dialog", { name: "Conversations" });
  const names = () => sheet.locator(".conversation .name").allTextContents();
  await page.getByRole("button", { name: "Conversations" }).click();
  await sheet.waitFor();
  expect(await names()).toEqual(["Another", "Remember me"]);
  await sheet.getByRole("button", { name: "Rename Remember me" }).click();
  await sheet.getByRole("textbox", { name: "New name" }).fill("Old friends");
  await page.keyboard.press("Enter");
  await expect.poll(names).toContain("Old friends");
  await sheet.getByRole("button", { name: /^Old friends/ }).click();
  await page.getByRole("heading", { name: "Old friends" }).waitFor();
  await page.getByRole("button", { name: "Conversations" }).click();
  await sheet.getByRole("button", { name: "Delete Old friends" }).click();
  await page.waitForURL(/chat=new$/);
  await sheet.getByRole("button", { name: "Undo" }).click();
  await expect.poll(names).toContain("Old friends");
  await sheet.getByRole("button", { name: "Delete all" }).click();
  await sheet.getByRole("button", { name: "Delete all for good?" }).click();
  await sheet.getByText("None yet.").waitFor();
  await page.context().close();
});

test("a browser that refuses storage only costs the history", async () => {
  chat.answer = words("Fine.");
  const page = await chat.open();
  await page.addInitScript(() => {
    Object.defineProperty(globalThis, "indexedDB", {
      get() {
        throw new DOMException("no storage", "SecurityError");
      },
    });
  });
  await page.reload();
  await ask(page, "Hello");
  expect(await answered(page)).toBe("Fine.");
  await page.getByRole("button", { name: "Conversations" }).click();
  await page.getByText("This browser keeps nothing for this page").waitFor();
  await page
    .getByRole("dialog")
    .getByRole("button", { name: /^Hello/ })
    .waitFor();
  await page.context().close();
});

test("a server without a chat model offers nothing that would fail", async () => {
  chat.models = [];
  const page = await chat.open("?q=red");
  await shown(page, "red");
  await page.locator(".card").first().hover();
  expect(await page.getByRole("button", { name: /^Ask about/ }).count()).toBe(0);
  await page.getByRole("link", { name: "Chat" }).click();
  await page.getByRole("heading", { name: "No chat model here" }).waitFor();
  expect(await box(page).count()).toBe(0);
  await page.context().close();
});

test("while the model is loaded the page says so and goes on by itself", async () => {
  chat.models = "loading";
  const page = await chat.open();
  await page.getByText("Loading the chat model…").waitFor();
  expect(await box(page).count()).toBe(0);
  chat.models = ["stub-8b"];
  await box(page).waitFor();
  await page.context().close();
});

test("Markdown beyond any sense is shown as it is written", async () => {
  chat.answer = words(`${">".repeat(30_000)} deep`, `\n\n${"- ".repeat(200)}item`);
  const page = await chat.open();
  await ask(page, "Nest");
  expect(await answered(page)).toContain("deep");
  expect(await lastAnswer(page).locator(".prose").textContent()).toContain("item");
  await page.context().close();
});

test("of several models the chosen one is asked", async () => {
  chat.models = ["stub-8b", "stub-38b"];
  const page = await chat.open();
  await page.getByRole("combobox", { name: "Model" }).selectOption("stub-38b");
  await ask(page, "Who are you?");
  await answered(page);
  expect(chat.requests[0]!.model).toBe("stub-38b");
  await page.context().close();
});

test("the page follows a growing answer only while one is at its end", async () => {
  const line = "Line after line of an answer that is longer than the window.\n\n";
  const more = gate();
  const most = gate();
  chat.answer = async function* () {
    yield line.repeat(40);
    await more.opened;
    yield line.repeat(20);
    await most.opened;
    yield `${line.repeat(20)}The end.`;
  };
  const page = await chat.open();
  await ask(page, "Write");
  const below = () => page.evaluate(() => document.documentElement.scrollHeight - scrollY - innerHeight);
  const paragraphs = () => lastAnswer(page).locator("p:has-text('Line after')").count();
  await expect.poll(paragraphs).toBe(40);
  await expect.poll(below).toBeLessThan(2);
  more.open();
  await expect.poll(paragraphs).toBe(60);
  await expect.poll(below).toBeLessThan(2);
  await page.mouse.move(640, 300);
  await page.mouse.wheel(0, -600);
  await expect.poll(below).toBeGreaterThan(500);
  const at = await page.evaluate(() => scrollY);
  most.open();
  await answered(page);
  expect(await page.evaluate(() => scrollY)).toBe(at);
  await page.context().close();
});
