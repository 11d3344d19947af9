import { join } from "node:path";
import { expect, test } from "vitest";
import { NANO } from "../infer/nano.node.ts";
import { chatHistory, defaultIndex, defaultModel, evalCache, galleryIndex } from "./paths.ts";

test("data is kept where the platform's programs keep it", () => {
  expect(defaultIndex({ HOME: "/home/a" }, "linux")).toBe(
    join("/home/a", ".local", "share", "internvl", "index"),
  );
  expect(defaultIndex({ HOME: "/home/a", XDG_DATA_HOME: "/d" }, "linux")).toBe(
    join("/d", "internvl", "index"),
  );
  expect(defaultIndex({ HOME: "/Users/a" }, "darwin")).toContain(
    join("Library", "Application Support", "internvl"),
  );
  expect(defaultIndex({ LOCALAPPDATA: "/l" }, "win32")).toBe(join("/l", "internvl", "index"));
  expect(chatHistory({ XDG_DATA_HOME: "/d" }, "linux")).toBe(join("/d", "internvl", "chat-history"));
});

test("the environment names another index and model; the gallery's index is apart from the user's", () => {
  const env = { HOME: "/home/a", INTERNVL_INDEX: "/i", INTERNVL_MODEL: "/m" };
  expect([defaultIndex(env, "linux"), defaultModel(env)]).toEqual(["/i", "/m"]);
  expect(defaultModel({})).toBe(NANO);
  const home = { HOME: "/home/a" };
  const gallery = (model: string, precision?: string, path = "/one/gallery") =>
    galleryIndex(home, { model, precision }, "linux", path);
  const galleries = [
    gallery("/m"),
    gallery("/m", "w8"),
    gallery("/n"),
    gallery("/m", undefined, "/two/gallery"),
  ];
  const places = [defaultIndex(home, "linux"), evalCache(home, "linux"), ...galleries];
  expect(new Set(places).size).toBe(places.length);
  expect(gallery("/x/../m/")).toBe(galleries[0]);
});
