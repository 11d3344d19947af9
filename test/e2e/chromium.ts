import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { homedir, tmpdir, userInfo } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { type Browser, chromium } from "playwright-core";

const SYSTEM_BROWSERS = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe",
];

interface BrowserFiles {
  readonly executablePath: string;
  readonly env: Record<string, string>;
  readonly args: readonly string[];
}

/**
 * A real headless Chromium: the system's where there is one, otherwise the one packed in `@sparticuz/chromium`,
 * which brings its shared libraries and a font, so that a machine with nothing but Node and npm can run the tests.
 */
export async function launchChromium(): Promise<Browser> {
  const system = SYSTEM_BROWSERS.find((path) => existsSync(path));
  const files = system ? { executablePath: system, env: {}, args: [] } : await packedChromium();
  return chromium.launch({
    executablePath: files.executablePath,
    // Root in a container has no user namespaces for Chromium's sandbox; the pages under test are our own.
    args: ["--no-sandbox", "--font-render-hinting=none", "--disable-dev-shm-usage", ...files.args],
    env: { ...definedEnv(), ...files.env },
  });
}

function definedEnv(): Record<string, string> {
  return Object.fromEntries(
    Object.entries(process.env).filter((e): e is [string, string] => e[1] !== undefined),
  );
}

/**
 * Environment of a process that finds one GPU, computed by the CPU: SwiftShader and the Vulkan loader, which come with the
 * packed browser.
 */
export async function softwareGpu(): Promise<Record<string, string>> {
  const { executablePath } = await packedChromium();
  const dir = dirname(executablePath);
  const driver = join(dir, "vk_swiftshader_icd.json");
  return { LD_LIBRARY_PATH: dir, VK_DRIVER_FILES: driver, VK_ICD_FILENAMES: driver };
}

/** Unpacks the packed browser once per version and user, atomically: two test workers may come here at once. */
async function packedChromium(): Promise<BrowserFiles> {
  const entry = createRequire(import.meta.url).resolve("@sparticuz/chromium");
  const manifest = join(entry.slice(0, entry.lastIndexOf("build")), "package.json");
  const { version } = JSON.parse(await readFile(manifest, "utf8")) as { version: string };
  const dir = join(tmpdir(), `internvl-chromium-${version}-${userInfo().uid}`);
  if (!existsSync(dir)) await unpackInto(dir);
  return {
    executablePath: join(dir, "chromium"),
    env: {
      LD_LIBRARY_PATH: [join(dir, "al2023", "lib"), process.env.LD_LIBRARY_PATH].filter(Boolean).join(":"),
      FONTCONFIG_FILE: join(dir, "fonts.conf"),
      HOME: homedir(),
    },
    args: ["--no-zygote", "--in-process-gpu", "--disable-gpu"],
  };
}

async function unpackInto(dir: string): Promise<void> {
  const scratch = await mkdtemp(`${dir}-`);
  // The package unpacks into TMPDIR and adds its libraries only where it believes to be in its usual place.
  const script = 'import c from "@sparticuz/chromium"; await c.executablePath();';
  await promisify(execFile)(process.execPath, ["--input-type=module", "-e", script], {
    cwd: import.meta.dirname,
    env: { ...definedEnv(), TMPDIR: scratch, AWS_EXECUTION_ENV: "AWS_Lambda_nodejs20.x" },
  });
  await mkdir(join(scratch, "font-cache"));
  await writeFile(
    join(scratch, "fonts.conf"),
    `<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>
<dir>${dir}/fonts</dir><dir>/usr/share/fonts</dir>
<alias binding="same"><family>system-ui</family><prefer><family>Open Sans</family></prefer></alias>
<alias binding="same"><family>sans-serif</family><prefer><family>Open Sans</family></prefer></alias>
<cachedir>${dir}/font-cache</cachedir></fontconfig>\n`,
  );
  await rename(scratch, dir).catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
    await rm(scratch, { recursive: true, force: true });
  });
}
