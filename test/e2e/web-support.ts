import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import sharp from "sharp";
import { expect } from "vitest";
import { fakeEmbedder, put } from "../../src/search/test-support.ts";
import { openLibrary } from "../../src/server/library.ts";
import { type RunningServer, type ServeOptions, serve } from "../../src/server/serve.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { launchChromium } from "./chromium.ts";

const COLOURS = { red: "#ff0000", green: "#00ff00", blue: "#0000ff", yellow: "#ffff00", black: "#000000" };
export type Colour = keyof typeof COLOURS;

/** A picture mostly of one colour: a disc on a ground of another, `share` of it, so that scores differ. */
export async function disc(colour: Colour, share: number, ground = "#ffffff"): Promise<Buffer> {
  const radius = Math.sqrt((share * 120 * 120) / Math.PI);
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="120" height="120"><rect width="120" height="120" fill="${ground}"/><circle cx="60" cy="60" r="${radius}" fill="${COLOURS[colour]}"/></svg>`;
  return sharp(Buffer.from(svg)).png().toBuffer();
}

export interface Site extends AsyncDisposable {
  readonly server: RunningServer;
  readonly browser: Browser;
  /** Holds `pictures`, which is indexed, and whatever a test puts beside it. */
  readonly root: string;
  /** A page in a context of its own, opened at `path` (or another address), whose errors fail the test when the site is closed. */
  open(path?: string, options?: BrowserContextOptions): Promise<Page>;
}

/** The real server and page over generated pictures and a model that knows colours, in a real browser. */
export async function openSite(
  options: Partial<ServeOptions> & { readonly delayMs?: number; readonly empty?: boolean } = {},
): Promise<Site> {
  const { delayMs = 0, empty = false, ...serveOptions } = options;
  const folder = await temporaryFolder();
  const pictures = join(folder.path, "pictures");
  await mkdir(pictures);
  if (!empty)
    for (const colour of Object.keys(COLOURS) as Colour[])
      for (const share of [0.15, 0.3, 0.45, 0.6])
        await put(pictures, { [`${colour}-disc-${share * 100}.png`]: await disc(colour, share) });
  const embedder = fakeEmbedder({ delayMs });
  const library = await openLibrary({
    indexDir: join(folder.path, "index"),
    embedder,
    modelName: "colours",
    shipped: true,
  });
  if (!empty) await library.index.update(pictures);
  const server = await serve({ library, port: 0, ...serveOptions });
  await server.ready;
  const browser = await launchChromium();
  const problems: string[] = [];
  return {
    server,
    browser,
    root: folder.path,
    async open(path = "", contextOptions = {}) {
      const context = await browser.newContext({
        viewport: { width: 1280, height: 860 },
        reducedMotion: "reduce",
        ...contextOptions,
      });
      const page = await context.newPage();
      // A machine that is busy with other tests is slow, not broken.
      page.setDefaultTimeout(90_000);
      page.on("pageerror", (error) => problems.push(String(error)));
      page.on("console", (message) => {
        // Chromium reports every answer of 400 and more; the tests provoke some.
        if (message.type() === "error" && !message.text().startsWith("Failed to load resource"))
          problems.push(message.text());
      });
      await page.goto(new URL(path, server.url).href);
      return page;
    },
    async [Symbol.asyncDispose]() {
      await browser.close();
      await server.close();
      await folder[Symbol.asyncDispose]();
      if (problems.length > 0) throw new Error(`the page reported errors:\n${problems.join("\n")}`);
    },
  };
}

/** File names of the pictures on show, without their endings, once `first` comes first. */
export async function shown(page: Page, first: string | RegExp): Promise<string[]> {
  await page.locator("#grid:not(.waiting) .card .name").first().filter({ hasText: first }).waitFor();
  return page.locator("#grid .card .name").allTextContents();
}

/** Drops a file on the page as a person does; the browser's own drag cannot start outside of it. */
export async function dropFile(page: Page, bytes: Buffer, name: string, type: string): Promise<void> {
  const transfer = await page.evaluateHandle(
    ([base64, fileName, fileType]) => {
      const data = new DataTransfer();
      const content = Uint8Array.from(atob(base64!), (c) => c.charCodeAt(0));
      data.items.add(new File([content], fileName!, { type: fileType! }));
      return data;
    },
    [bytes.toString("base64"), name, type],
  );
  await page.dispatchEvent("body", "dragenter", { dataTransfer: transfer });
  expect(await page.locator("#drop").isVisible()).toBe(true);
  await page.dispatchEvent("body", "drop", { dataTransfer: transfer });
  expect(await page.locator("#drop").isVisible()).toBe(false);
}
