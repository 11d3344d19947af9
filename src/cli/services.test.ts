import { expect, test } from "vitest";
import { UsageError } from "../core/errors.ts";
import { defaultServices } from "./services.ts";

test.each([
  [
    "InternVL2_5-4B",
    /^InternVL2_5-4B: .* a name on the hub such as OpenGVLab\/InternVL2_5-4B, found none; check the path$/,
  ],
  ["./nowhere", /^\.\/nowhere: .* such as OpenGVLab\/InternVL3-1B, found none; check the path$/],
])("a chat model that is not here: %s", async (path, message) => {
  const loading = defaultServices.loadChatModel(path);
  await expect(loading).rejects.toThrow(message);
  await expect(loading).rejects.toThrow(UsageError);
});
