import { expect, test } from "vitest";
import { type Place, readPlace, writePlace } from "./location.ts";

const PLACES: readonly Place[] = [
  { query: { kind: "browse" }, view: undefined },
  { query: { kind: "text", text: "Äpfel & Birnen + 100 % #1" }, view: undefined },
  { query: { kind: "similar", id: "L2EvYg" }, view: "L2EvYw" },
  { query: { kind: "picture", key: "k1" }, view: undefined },
];

test.each(PLACES)("an address leads back to its place: $query.kind", (place) => {
  expect(readPlace(writePlace(place).slice(1))).toEqual(place);
});

test("blank words are no query", () => {
  expect(readPlace("?q=%20%20").query).toEqual({ kind: "browse" });
});
