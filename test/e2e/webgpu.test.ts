import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { temporaryFolder } from "../temporary-folder.ts";
import { writeTinyChat } from "../tiny-chat.ts";
import { softwareGpu } from "./chromium.ts";
import { cli } from "./cli-process.ts";

vi.setConfig({ testTimeout: 300_000 });

const PICTURE = fileURLToPath(new URL("../../gallery/animals/cat-face.webp", import.meta.url));

/** A mixture with more experts than a shader binds buffers. */
const MIXTURE = {
  architectures: ["Qwen3MoeForCausalLM"],
  head_dim: 16,
  num_experts: 24,
  num_experts_per_tok: 4,
  moe_intermediate_size: 24,
};

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
beforeAll(async () => {
  folder = await temporaryFolder();
  await writeTinyChat(join(folder.path, "tiny"));
  await writeTinyChat(join(folder.path, "mixture"), { language: MIXTURE });
});
afterAll(() => folder[Symbol.asyncDispose]());

const ask = (model: string, env: Record<string, string>, ...args: string[]) =>
  cli(
    [
      "chat",
      join(folder.path, model),
      PICTURE,
      "What is this?",
      "--max-tokens",
      "12",
      "--threads",
      "1",
      ...args,
    ],
    {
      real: true,
      env: { HOME: folder.path, ...env },
    },
  );

// The packed driver is one of Linux on x86_64.
describe.runIf(process.platform === "linux" && process.arch === "x64")("chat on a GPU", () => {
  test.each(["tiny", "mixture"])(
    "%s says what it says on the CPU, with the cache in the GPU's memory",
    async (model) => {
      const onGpu = ask(model, await softwareGpu(), "--device", "webgpu");
      const [cpu, gpu] = await Promise.all([ask(model, {}), onGpu]);
      expect(gpu.stderr).not.toContain("error");
      expect(gpu.stdout).toBe(cpu.stdout);
      expect(cpu.stdout.length).toBeGreaterThan(5);
    },
  );

  test("says where there is none", async () => {
    const none = { ...(await softwareGpu()), VK_DRIVER_FILES: "/none", VK_ICD_FILENAMES: "/none" };
    const { code, stderr } = await ask("tiny", none, "--device", "webgpu");
    expect(stderr).toMatch(
      /finds no GPU here .*; install the GPU's driver, with Vulkan on Linux, or compute on the CPU/,
    );
    expect(code).toBe(2);
  });
});
