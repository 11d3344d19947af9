import { Readable } from "node:stream";
import { describe, expect, test } from "vitest";
import { ConfigError } from "../core/errors.ts";
import { colourEmbedder } from "../eval/colour-embedder.fixture.ts";
import type { Context } from "./context.ts";
import { fakeTerminal } from "./fake-terminal.fixture.ts";
import { Interrupted, run } from "./run.ts";
import { defaultServices, type Services } from "./services.ts";

async function runHere(
  args: readonly string[],
  services: Partial<Services> = {},
  more: Partial<Context> = {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  const [out, err] = [fakeTerminal(), fakeTerminal()];
  const context: Context = {
    out,
    err,
    input: Readable.from([]),
    env: { HOME: "/nowhere" },
    signal: new AbortController().signal,
    services: { ...defaultServices, loadEmbedder: async () => colourEmbedder(), ...services },
    exitCode: 0,
    ...more,
  };
  const code = await run(args, context);
  return { code, stdout: out.text, stderr: err.text };
}

describe("a user's mistake ends with 2, a message on stderr and no stack", () => {
  test.each([
    [["search", "cat", "--jsn"], "Did you mean --json?"],
    [["search"], "expected words"],
    [["search", "cat", "--image", "x.png"], "and not both"],
    [["search", "cat", "-k", "none"], "Expected a whole number from 1 to 10000"],
    [["search", "cat", "-k", "0"], "Expected a whole number from 1 to 10000"],
    [["embed", "--threads", "1.5"], "Expected a whole number from 1 to 1024"],
    [["embed", "--framing", "stretch"], "Allowed choices are squash, crop"],
    [["classify", "x.png"], "required option '-l, --labels <a,b,c>' not specified"],
    [["classify", "x.png", "-l", "a,,b"], "a label is empty"],
    [["classify", "x.png", "-l", "cat"], "at least two labels are needed to choose between"],
    [["classify", "-l", "a"], "missing required argument 'files'"],
    [["eval", "classify", "x", "--templates", "cifra10"], "did you mean cifar10?"],
    [["eval", "classify", "nowhere"], "nowhere: there is no such file or folder"],
    [["eval", "clasify", "x"], "Did you mean classify?"],
    [["index"], "expected an image index, found none"],
    [["index", "--remove"], "name the folders"],
    [["serve", "--allow-origin", "app.example"], "Expected scheme, name and port alone"],
    [["serve", "--allow-origin", "https://app.example/"], "Expected scheme, name and port alone"],
    [["serve", "--host-name", "http://nas.lan"], "Expected a name without scheme and port"],
    [["serve", "--picture-host", "https://img.example"], "Expected a name, such as img.example.com"],
    [["serve", "--picture-host", "*.img.example:81", "--folder", "nowhere"], "nowhere: there is no such"],
    [["serve", "--port", "65536"], "Expected a whole number from 0 to 65535"],
    [["eval"], "Usage: internvl eval"],
    [[], "Usage: internvl"],
  ])("%j", async (args, message) => {
    const { code, stdout, stderr } = await runHere(args);
    expect(stderr).toContain(message);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).not.toMatch(/\n\s+at /);
  });
});

describe("how a run ends", () => {
  const train = (train: Services["train"], more: Partial<Context> = {}) =>
    runHere(["train", "r.json"], { train }, more);

  test("well, with its summary", async () => {
    const { code, stdout, stderr } = await train(async () => ({ steps: 7, output: "model" }));
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: "", stderr: "trained 7 steps: model\n" });
  });

  test("a defect keeps its stack and its cause", async () => {
    const cause = new RangeError("deep down");
    const { code, stderr } = await train(() => Promise.reject(new TypeError("up here", { cause })));
    expect(code).toBe(70);
    expect(stderr).toMatch(/^TypeError: up here\n\s+at [\s\S]*caused by RangeError: deep down\n\s+at /);
    expect((await train(() => Promise.reject("a text"))).stderr).toBe("a text\n");
  });

  test("a user's error has a stack only when asked for", async () => {
    const fail = () => Promise.reject(new ConfigError("r.json: wrong"));
    expect((await train(fail)).stderr).toBe("error: r.json: wrong\n");
    const env = { INTERNVL_DEBUG: "1" };
    expect((await train(fail, { env })).stderr).toMatch(/^error: r.json: wrong\nConfigError: .*\n\s+at /);
  });

  test("what the system refuses is a message when it names a path, a defect otherwise", async () => {
    const full = Object.assign(new Error("ENOSPC"), { code: "ENOSPC", path: "/d/model" });
    expect(await train(() => Promise.reject(full))).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^error: \/d\/model: the disk is full/),
    });
    const taken = Object.assign(new Error("EEXIST"), { code: "EEXIST", path: "/d/model" });
    expect(await train(() => Promise.reject(taken))).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^error: \/d\/model: there is something of this name already/),
    });
    const reset = Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" });
    expect((await train(() => Promise.reject(reset))).code).toBe(70);
  });

  test.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)("%s: whatever error the cancelling raised, %i", async (name, expected) => {
    const controller = new AbortController();
    const { code, stderr } = await train(
      async () => {
        controller.abort(new Interrupted(name));
        throw new Error("a run was stopped");
      },
      { signal: controller.signal },
    );
    expect([code, stderr]).toEqual([expected, "interrupted\n"]);
  });
});
