import { join } from "node:path";
import { expect, test } from "vitest";
import { NANO } from "../infer/nano.node.ts";
import { defaultIndex, defaultModel, evalCache, galleryIndex } from "./paths.ts";

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
});

test("the environment names another index and model; the gallery's index is apart from the user's", () => {
  const env = { HOME: "/home/a", INTERNVL_INDEX: "/i", INTERNVL_MODEL: "/m" };
  expect([defaultIndex(env, "linux"), defaultModel(env)]).toEqual(["/i", "/m"]);
  expect(defaultModel({})).toBe(NANO);
  const home = { HOME: "/home/a" };
  const galleries = ["/one/gallery", "/two/gallery"].map((path) => galleryIndex(home, "linux", path));
  const places = [defaultIndex(home, "linux"), evalCache(home, "linux"), ...galleries];
  expect(new Set(places).size).toBe(4);
  expect(galleryIndex(home, "linux", "/one/gallery")).toBe(galleries[0]);
});
