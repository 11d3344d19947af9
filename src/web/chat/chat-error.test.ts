import { expect, test } from "vitest";
import { ChatError, problemText, readErrorObject } from "./chat-error.ts";

test("error objects in all their forms", () => {
  expect(readErrorObject({ error: { message: "m", type: "t", code: null } })).toEqual({
    message: "m",
    code: "t",
  });
  expect(readErrorObject({ error: { message: "m", type: "t", code: "c" } })).toEqual({
    message: "m",
    code: "c",
  });
  expect(readErrorObject({ error: "m" })).toEqual({ message: "m", code: "" });
  expect(readErrorObject({ error: {} })?.message).toBe("the server reports a failure");
  for (const none of [undefined, null, "x", {}, { error: null }])
    expect(readErrorObject(none)).toBeUndefined();
});

test("a failure says what to do", () => {
  expect(problemText(new ChatError(413, "the request has 90 MB"))).toBe(
    "The request has 90 MB. Send fewer or smaller pictures.",
  );
  expect(problemText(new ChatError(400, "Too long.", "context_length_exceeded"))).toMatch(
    /^Too long\. Start a new conversation/,
  );
  expect(problemText(new ChatError(401, "no API key was sent"))).toMatch(/ in the settings/);
  expect(new ChatError(429, "x").isBusy).toBe(true);
  expect(new ChatError(503, "x").isBusy).toBe(false);
  expect(new ChatError(503, "x", "", 1).isBusy).toBe(true);
});
