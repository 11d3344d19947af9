import { expect, test } from "vitest";
import { modelNameOf } from "./model-name.ts";

const COMMIT = "0123456789abcdef0123456789abcdef01234567";

test.each([
  ["/models/InternVL3-1B", "InternVL3-1B"],
  ["/models/Qwen2.5", "Qwen2.5"],
  ["C:\\models\\SmolLM2-Q8_0.gguf", "SmolLM2-Q8_0"],
  ["/models/internvl_c_13b_224px.pth", "internvl_c_13b_224px"],
  [`/hub/models--OpenGVLab--InternVL3-1B/snapshots/${COMMIT}`, "InternVL3-1B"],
  [`/hub/models--gpt2/snapshots/${COMMIT}`, "gpt2"],
  [`/hub/models--a--b/snapshots/${COMMIT}/Q8_0.gguf`, "Q8_0"],
  [`/runs/${COMMIT}`, COMMIT],
])("%s is called %s", (path, name) => {
  expect(modelNameOf(path)).toBe(name);
});
