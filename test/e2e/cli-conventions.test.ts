import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { cli, ended, type RunOptions, startCli } from "./cli-process.ts";

// A process takes a third of a second, and ten seconds where many others run.
vi.setConfig({ testTimeout: 300_000 });

let folder: string;
let options: RunOptions;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "internvl-cli-"));
  options = { cwd: folder, env: { HOME: folder } };
});
afterAll(() => rm(folder, { recursive: true }));

const run = (...args: string[]) => cli(args, options);

const COMMANDS = [
  [],
  ["chat"],
  ["index"],
  ["search"],
  ["classify"],
  ["embed"],
  ["serve"],
  ["train"],
  ["quantize"],
  ["eval"],
  ["eval", "retrieval"],
  ["eval", "classify"],
  ["parity"],
];

describe("help", () => {
  test.each(COMMANDS.map((c) => [c.join(" "), c] as const))(
    "internvl %s --help: examples, 100 columns",
    async (_, command) => {
      const { code, stdout, stderr } = await cli([...command, "--help"], { ...options, real: true });
      expect([code, stderr]).toEqual([0, ""]);
      expect(stdout).toContain(`Usage: ${["internvl", ...command].join(" ")} `);
      expect(stdout).toMatch(/\nExamples:\n {2}\$ \S/);
      for (const line of stdout.split("\n")) expect(line.length, line).toBeLessThanOrEqual(100);
    },
  );

  test("every command is in the list above", async () => {
    const { stdout } = await run("--help");
    const listed = [
      ...stdout
        .split("\nCommands:\n")[1]!
        .split("\n\n")[0]!
        .matchAll(/^ {2}(\w+)/gm),
    ].map((m) => m[1]);
    expect(listed.filter((name) => name !== "help")).toEqual([
      ...new Set(COMMANDS.flatMap((c) => c.slice(0, 1))),
    ]);
  });

  test("--version prints the version", async () => {
    expect((await run("--version")).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

describe("mistakes", () => {
  test.each([
    [["serach", "cat"], "Did you mean search?"],
    [["eval", "retrieval", "none.jsonl"], "none.jsonl: expected a readable file"],
    [["embed", "--text", "cat", "--model", "none"], "none: expected a folder with config.json"],
  ])("%j: exit code 2, a message, nothing on stdout, no stack", async (args, message) => {
    const { code, stdout, stderr } = await run(...args);
    expect(stderr).toContain(message);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).not.toMatch(/\n\s+at /);
  });

  test("a wrong PORT is told as such", async () => {
    const { code, stderr } = await cli(["serve"], { ...options, env: { HOME: folder, PORT: "http" } });
    expect([code, stderr]).toEqual([
      2,
      'error: PORT: expected a whole number from 0 to 65535, found "http"\n',
    ]);
  });

  test("a defect keeps its stack", async () => {
    const { code, stdout, stderr } = await run("embed", "--text", "x", "--model", "defect");
    expect([code, stdout]).toEqual([70, ""]);
    expect(stderr).toMatch(/^TypeError: weights is not a function\n\s+at /);
  });

  test("INTERNVL_DEBUG shows the stack of a user's error too", async () => {
    const env = { HOME: folder, INTERNVL_DEBUG: "1" };
    const { code, stderr } = await cli(["embed", "--text", "x", "--model", "none"], { ...options, env });
    expect(code).toBe(2);
    expect(stderr).toMatch(/^error: none: .*\nConfigError: .*\n\s+at /);
  });
});

describe("the process", () => {
  test("INTERNVL_MODEL names the model", async () => {
    const env = { HOME: folder, INTERNVL_MODEL: "none" };
    expect((await cli(["embed", "--text", "x"], { ...options, env })).code).toBe(2);
    expect((await run("embed", "--text", "x")).code).toBe(0);
  });

  test.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)("%s cancels what runs and exits %i", async (signal, code) => {
    const child = startCli(["train", "slow.json", "--json"], options);
    const end = ended(child);
    await new Promise((resolve) => child.stdout!.once("data", resolve));
    child.kill(signal);
    const result = await end;
    expect([result.code, result.stderr]).toEqual([code, expect.stringMatching(/interrupted\n$/)]);
  });

  test("parity can be interrupted while it computes", async () => {
    const child = startCli(["parity", "slow"], options);
    const end = ended(child);
    await new Promise((resolve) => child.stderr!.once("data", resolve));
    child.kill("SIGINT");
    expect(await end).toMatchObject({ code: 130, stderr: "computing\ninterrupted\n" });
  });

  test("a reader that goes away ends it in silence", async () => {
    const texts = Array.from({ length: 3000 }, (_, i) => ["--text", `red ${i}`]).flat();
    const child = startCli(["embed", ...texts], options);
    const end = ended(child);
    child.stdout!.once("data", () => child.stdout!.destroy());
    const { code, stderr } = await end;
    expect([code, stderr]).toEqual([0, ""]);
  });
});
