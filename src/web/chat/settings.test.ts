import { expect, test } from "vitest";
import { ChatSettings, readSettings } from "./settings.ts";

test("settings are kept, and what is none of the choices is forgotten", () => {
  const kept = new Map<string, string>();
  const storage = {
    getItem: (name: string) => kept.get(name) ?? null,
    setItem: (name: string, text: string) => void kept.set(name, text),
  };
  const settings = new ChatSettings(() => storage);
  expect(settings.now).toEqual({ frames: 8, tiles: undefined, key: "" });
  settings.change({ frames: 16, tiles: 1 });
  settings.change({ key: "k" });
  expect(new ChatSettings(() => storage).now).toEqual({ frames: 16, tiles: 1, key: "k" });
  settings.change({ tiles: undefined });
  expect(new ChatSettings(() => storage).now).toEqual({ frames: 16, tiles: undefined, key: "k" });
  for (const odd of ["", "{", "3", "null", '{"frames":1e9,"tiles":"12","key":5}'])
    expect(readSettings(odd)).toEqual({ frames: 8, tiles: undefined, key: "" });
});

test("a browser that keeps nothing keeps them for the page", () => {
  const settings = new ChatSettings(() => {
    throw new DOMException("switched off", "SecurityError");
  });
  settings.change({ key: "k" });
  expect(settings.now.key).toBe("k");
});
