import fc from "fast-check";
import { expect, test } from "vitest";
import { eventStreamReader } from "./event-stream.ts";

test("events come out whole, wherever the stream is cut", () => {
  const stream =
    ": hello\r\ndata: one\r\n\r\nevent: x\ndata:two\ndata: lines\n\ndata\n\nid: 3\n\ndata: cut off";
  fc.assert(
    fc.property(fc.array(fc.nat(stream.length), { maxLength: 8 }), (cuts) => {
      const reader = eventStreamReader();
      const at = [0, ...cuts.sort((a, b) => a - b), stream.length];
      const events = at.slice(1).flatMap((end, i) => reader.push(stream.slice(at[i], end)));
      expect(events).toEqual(["one", "two\nlines", ""]);
    }),
  );
});

test("an event without an end does not fill the memory", () => {
  const reader = eventStreamReader();
  const chunk = "data: x".padEnd(1_000_000, "x");
  expect(() => {
    for (let i = 0; i < 10; i++) reader.push(chunk);
  }).toThrow(/more than 4000000 characters/);
});
