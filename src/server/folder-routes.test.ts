import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { patches, plain, put } from "../search/test-support.ts";
import { type TestLibrary, testApp, testLibrary } from "./test-support.ts";

type TestApp = ReturnType<typeof testApp>;

const add = (app: TestApp, path: string, headers: Record<string, string> = {}) =>
  app.request("/api/folders", {
    method: "POST",
    body: JSON.stringify({ path }),
    headers: { "content-type": "application/json", ...headers },
  });

async function folders(app: TestApp) {
  const response = await app.request("/api/folders");
  const body = (await response.json()) as {
    folders: { path: string; pictures: number; job?: { state: string; broken: unknown[] } }[];
  };
  return body.folders;
}

async function settled(app: TestApp, path: string) {
  for (let i = 0; i < 4000; i++) {
    const folder = (await folders(app)).find((f) => f.path === path);
    if (folder?.job?.state === "done" || folder?.job?.state === "failed") return folder;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`${path} was not indexed in time`);
}

async function opened(library: TestLibrary, options: Parameters<typeof testApp>[1] = {}): Promise<TestApp> {
  const app = testApp(library.library, options);
  await app.ready;
  return app;
}

test("a folder is added, indexed with its broken files listed, found, and removed", async () => {
  await using library = await testLibrary();
  const app = await opened(library);
  const more = join(library.root, "more pictures");
  await put(more, { "sun/yellow.png": await plain("yellow"), "broken.png": "no picture" });
  const response = await add(app, more);
  expect([response.status, await response.json()]).toMatchObject([
    202,
    { job: { folder: more, state: "queued" } },
  ]);
  expect(await settled(app, more)).toMatchObject({
    pictures: 1,
    failed: 1,
    job: { state: "done", broken: [{ path: join(more, "broken.png"), reason: expect.any(String) }] },
  });
  const found = (await (await app.request("/api/search?q=yellow&k=1")).json()) as { results: object[] };
  expect(found.results).toMatchObject([{ path: join(more, "sun/yellow.png") }]);
  const removed = await app.request(`/api/folders?path=${encodeURIComponent(more)}`, { method: "DELETE" });
  expect(removed.status).toBe(200);
  expect((await folders(app)).map((f) => f.path)).toEqual([library.pictures]);
  expect(app.defects).toEqual([]);
});

test("paths that cannot be indexed are refused with the reason", async () => {
  await using library = await testLibrary();
  const app = await opened(library);
  await mkdir(join(library.pictures, "inner"));
  await symlink(join(library.pictures, "inner"), join(library.root, "link"));
  await writeFile(join(library.root, "file"), "");
  const cases = [
    ["relative/path", 400, /full path/],
    [join(library.root, "missing"), 400, /no such folder/],
    [join(library.root, "file"), 400, /is a file/],
    ["/", 400, /whole disk/],
    [join(library.pictures, "inner"), 409, /part of/],
    [join(library.root, "link"), 409, /part of/],
    ["", 400, /path: /],
  ] as const;
  for (const [path, status, reason] of cases) {
    const response = await add(app, path);
    const { error } = (await response.json()) as { error: { message: string } };
    expect([response.status, error.message], path).toEqual([status, expect.stringMatching(reason)]);
  }
  const unknown = await app.request("/api/folders?path=/nowhere", { method: "DELETE" });
  expect(unknown.status).toBe(404);
});

test("other sites, forms and other machines cannot change folders", async () => {
  await using library = await testLibrary();
  const app = await opened(library);
  const host = "localhost:4747";
  expect((await add(app, library.root, { host, origin: "https://evil.example" })).status).toBe(403);
  expect((await add(app, library.root, { host: "evil.example:4747" })).status).toBe(403);
  expect((await add(app, library.root, { host, "content-type": "text/plain" })).status).toBe(415);
  const open = await opened(library, { loopback: false });
  expect((await add(open, library.root, { host: "10.0.0.5" })).status).toBe(403);
  expect(
    (await open.request("/api/folders?path=/x", { method: "DELETE", headers: { host: "10.0.0.5" } })).status,
  ).toBe(403);
  expect((await folders(app)).map((f) => f.path)).toEqual([library.pictures]);
});

test("events tell every job when one connects and then how it goes on", async () => {
  await using library = await testLibrary();
  const app = await opened(library, { limits: { eventStreams: 1 } });
  const more = join(library.root, "more");
  for (let i = 0; i < 5; i++) await put(more, { [`${i}.png`]: await patches(i) });
  const abort = new AbortController();
  const response = await app.request("/api/events", { signal: abort.signal });
  expect(response.headers.get("content-type")).toBe("text/event-stream");
  expect((await app.request("/api/events")).status).toBe(429);
  await add(app, more);
  const states = new Set<string>();
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  while (!states.has("done")) {
    const { value = "" } = await reader.read();
    for (const [, data] of value.matchAll(/^event: job\ndata: (.*)$/gm)) states.add(JSON.parse(data!).state);
  }
  expect([...states]).toEqual(["queued", "indexing", "done"]);
  abort.abort();
  const next = await app.request("/api/events");
  expect(next.status).toBe(200);
  await app.close();
  // Closing the app ends the stream.
  expect(await next.text()).toContain(": connected");
});
