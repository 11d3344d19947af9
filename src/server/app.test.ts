import { rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { crc32, gzipSync } from "node:zlib";
import sharp from "sharp";
import { afterAll, beforeAll, expect, test } from "vitest";
import { plain, put } from "../search/test-support.ts";
import { pictureId } from "./context.ts";
import type { Library } from "./ports.ts";
import { type TestLibrary, testApp, testLibrary } from "./test-support.ts";

let shared: TestLibrary;
beforeAll(async () => {
  shared = await testLibrary();
});
afterAll(() => shared[Symbol.asyncDispose]());

const ask = async (path: string, init?: RequestInit) => {
  const app = testApp(shared.library);
  const response = await app.request(path, init);
  expect(app.defects).toEqual([]);
  return response;
};

/** What the tests look at in answers of any kind. */
interface Answer {
  readonly results: { readonly path: string; readonly labels: readonly { readonly probability: number }[] }[];
  readonly more: boolean;
  readonly error: { readonly message: string; readonly type: string };
}

const json = async (response: Response) => (await response.json()) as Answer;

const idOf = (name: string) => pictureId(join(shared.pictures, name));

test("words find pictures, best first, in the promised shape", async () => {
  const response = await ask("/api/search?q=red&k=2");
  expect(response.status).toBe(200);
  const { results, more } = await json(response);
  expect(results).toMatchObject([
    {
      path: join(shared.pictures, "red.png"),
      score: expect.closeTo(1, 3),
      width: 24,
      height: 16,
      id: idOf("red.png"),
    },
    { path: expect.stringMatching(/\.png$/), score: expect.any(Number) },
  ]);
  expect(more).toBe(true);
});

test("pages of results continue each other", async () => {
  const all = await json(await ask("/api/search?q=green&k=3"));
  const second = await json(await ask("/api/search?q=green&k=1&offset=1"));
  expect(second.results).toEqual([all.results[1]]);
  expect(all.more).toBe(false);
});

test.each([
  ["/api/search", /q: expected a string, found nothing; give one/],
  ["/api/search?q=%20", /q: expected at least 1 characters, found 0/],
  ["/api/search?q=red&k=1.5", /k: expected a whole number, found 1.5; give one/],
  ["/api/search?q=red&k=0", /k: expected at least 1, found 0/],
  ["/api/search?q=red&k=1001", /k: /],
  [
    "/api/search?q=red&k=many&offset=-1",
    /k: expected a number, found other text; .*offset: expected at least 0, found -1/,
  ],
  [`/api/search?q=${"x".repeat(1001)}`, /q: expected at most 1000 characters, found 1001/],
  ["/api/similar", /id: /],
  ["/api/thumb?id=x&size=33", /size: /],
])("%s is a bad request that names its problems", async (path, problem) => {
  const response = await ask(path);
  expect(response.status).toBe(400);
  expect(await json(response)).toMatchObject({
    error: { type: "bad_request", message: expect.stringMatching(problem) },
  });
});

test("an uploaded picture finds its like, as raw body and as a form", async () => {
  const bytes = new Uint8Array(await plain("blue", 40, 40));
  const raw = await ask("/api/search?k=1", { method: "POST", body: bytes });
  expect((await json(raw)).results).toMatchObject([{ id: idOf("blue.png") }]);
  const form = new FormData();
  form.set("image", new Blob([bytes]), "anything.bin");
  const multipart = await ask("/api/search?k=1", { method: "POST", body: form });
  expect((await json(multipart)).results).toMatchObject([{ id: idOf("blue.png") }]);
});

test("uploads that are no picture, broken, empty or too large are refused", async () => {
  const post = async (body: Uint8Array | FormData, limits = {}) => {
    const app = testApp(shared.library, { limits });
    const response = await app.request("/api/search", { method: "POST", body: body as BodyInit });
    return [response.status, (await json(response)).error] as const;
  };
  const picture = new Uint8Array(await plain("red"));
  expect(await post(new TextEncoder().encode("hello"))).toMatchObject([415, {}]);
  expect(await post(new Uint8Array())).toMatchObject([400, {}]);
  expect(await post(new FormData())).toMatchObject([400, { message: /"image"/ }]);
  expect(await post(picture.subarray(0, 30))).toMatchObject([422, {}]);
  expect(await post(picture, { uploadBytes: picture.byteLength - 1 })).toMatchObject([413, {}]);
  expect(await post(picture, { uploadPixels: 24 * 16 - 1 })).toMatchObject([413, { message: /24×16/ }]);
});

test("a small file that unpacks to a huge picture is refused before it is decoded", async () => {
  // A PNG of one pixel whose header claims 12,000 × 12,000.
  const bomb = await sharp({ create: { width: 1, height: 1, channels: 3, background: "#fff" } })
    .png()
    .toBuffer();
  bomb.writeUInt32BE(12_000, 16);
  bomb.writeUInt32BE(12_000, 20);
  bomb.writeUInt32BE(crc32(bomb.subarray(12, 29)), 29);
  const response = await ask("/api/search", { method: "POST", body: new Uint8Array(bomb) });
  expect(response.status).toBe(413);
});

test("what an SVG may cost is bounded more tightly, also when it comes compressed", async () => {
  const svg = (inner: string) =>
    `<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">${inner}</svg>`;
  const post = (body: Uint8Array | string) => ask("/api/search", { method: "POST", body: body as BodyInit });
  expect((await post(svg(""))).status).toBe(200);
  const large = svg(" ".repeat(3 * 2 ** 20));
  expect((await post(large)).status).toBe(413);
  expect((await post(new Uint8Array(gzipSync(large)))).status).toBe(413);
  expect((await post(`<!DOCTYPE svg [<!ENTITY a "b">]>${svg("&a;")}`)).status).toBe(422);
});

test("bodies are read a few at a time, and one that never ends is given up", async () => {
  const app = testApp(shared.library, { limits: { uploads: 1, waiting: 0, requestMs: 1500 } });
  let asked = () => {};
  const reading = new Promise<void>((resolve) => (asked = resolve));
  const pull = () => {
    asked();
    return new Promise<void>(() => {});
  };
  const body = new ReadableStream({ pull }, new CountQueuingStrategy({ highWaterMark: 0 }));
  const first = app.request("/api/search", { method: "POST", body, duplex: "half" } as RequestInit);
  await reading;
  const second = await app.request("/api/search", { method: "POST", body: "not read" });
  expect(second.status).toBe(429);
  expect((await first).status).toBe(504);
});

test("more like this leaves the picture itself out", async () => {
  const { results } = await json(await ask(`/api/similar?id=${idOf("red.png")}`));
  const paths = results.map((r) => r.path).sort();
  expect(paths).toEqual(["blue.png", "green.png"].map((n) => join(shared.pictures, n)));
});

test("pictures can be leafed through", async () => {
  const first = await json(await ask("/api/pictures?k=2"));
  expect(first).toMatchObject({ results: [{ id: idOf("blue.png") }, { id: idOf("green.png") }], more: true });
  const rest = await json(await ask(`/api/pictures?k=2&after=${idOf("green.png")}`));
  expect(rest).toMatchObject({ results: [{ id: idOf("red.png") }], more: false });
});

test("originals and thumbnails are served with their true type and no powers", async () => {
  const image = await ask(`/api/image?id=${idOf("red.png")}`);
  expect(image.status).toBe(200);
  expect(image.headers.get("content-type")).toBe("image/png");
  expect(image.headers.get("x-content-type-options")).toBe("nosniff");
  expect(image.headers.get("content-security-policy")).toContain("sandbox");
  expect(new Uint8Array(await image.arrayBuffer())).toEqual(new Uint8Array(await plain("red")));
  const again = await ask(`/api/image?id=${idOf("red.png")}`, {
    headers: { "if-none-match": image.headers.get("etag")! },
  });
  expect(again.status).toBe(304);
  const head = await ask(`/api/image?id=${idOf("red.png")}`, { method: "HEAD" });
  expect([head.status, head.headers.get("content-length"), head.body]).toEqual([
    200,
    String((await plain("red")).length),
    null,
  ]);
  const thumb = await ask(`/api/thumb?id=${idOf("red.png")}`);
  expect(await sharp(Buffer.from(await thumb.arrayBuffer())).metadata()).toMatchObject({
    format: "webp",
    width: 24,
  });
});

test("an original is sent for as long as it moves, and its file closed when it does not", async () => {
  await using library = await testLibrary({ colours: [] });
  // More than is read ahead, so that only a reader moves it on.
  const large = Buffer.concat([await plain("red"), Buffer.alloc(4 * 2 ** 20)]);
  await put(library.pictures, { "large.png": large });
  await library.library.index.update(library.pictures);
  const path = `/api/image?id=${pictureId(join(library.pictures, "large.png"))}`;
  const body = async () =>
    (await testApp(library.library, { limits: { requestMs: 1000 } }).request(path)).body!.getReader();
  const slow = await body();
  let bytes = 0;
  for (;;) {
    const { value, done } = await slow.read();
    if (done) break;
    bytes += value.length;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  expect(bytes).toBe(large.length);
  const stalled = await body();
  await new Promise((resolve) => setTimeout(resolve, 3000));
  const rest = async () => {
    while (!(await stalled.read()).done);
  };
  await expect(rest()).rejects.toThrow(/not read/);
});

test("nothing outside the index can be had, however it is asked for", async () => {
  await put(shared.root, { "secret.png": await plain("black") });
  const outside = [
    join(shared.root, "secret.png"),
    join(shared.pictures, "..", "secret.png"),
    `${shared.pictures}/../secret.png`,
    "/etc/passwd",
    "../../../../etc/passwd",
    "",
    "' OR 1=1 --",
    `${shared.pictures}/red.png\0`,
  ];
  for (const route of ["image", "thumb", "picture", "similar"])
    for (const path of outside) {
      const response = await ask(`/api/${route}?id=${pictureId(path)}`);
      expect([400, 404], `${route} ${path}`).toContain(response.status);
    }
  for (const path of ["/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/assets/..%2f..%2fpackage.json"])
    expect((await ask(path)).status).toBe(404);
});

test("a picture that has become a link out of its folder is not followed", async () => {
  await using library = await testLibrary({ colours: ["red", "green"] });
  const app = testApp(library.library);
  const [red, green] = ["red.png", "green.png"].map((n) => join(library.pictures, n)) as [string, string];
  await put(library.root, { "secret.png": await plain("black") });
  await rm(red);
  await symlink(join(library.root, "secret.png"), red);
  expect((await app.request(`/api/image?id=${pictureId(red)}`)).status).toBe(404);
  expect((await app.request(`/api/thumb?id=${pictureId(red)}`)).status).toBe(404);
  // The same by a folder on the way.
  await rename(library.pictures, join(library.root, "elsewhere"));
  await symlink(library.root, library.pictures);
  await put(library.root, { "green.png": await plain("black") });
  expect((await app.request(`/api/image?id=${pictureId(green)}`)).status).toBe(404);
});

test("an indexed file that is no picture any more is not served as one", async () => {
  await using library = await testLibrary({ colours: ["red"] });
  const path = join(library.pictures, "red.png");
  await writeFile(path, "<script>alert(1)</script>");
  const response = await testApp(library.library).request(`/api/image?id=${pictureId(path)}`);
  expect(response.status).toBe(415);
});

test("an SVG is served as one that can do nothing", async () => {
  await using library = await testLibrary({ colours: [] });
  const svg =
    '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>alert(1)</script><path d="M0 0h9v9z"/></svg>';
  await put(library.pictures, { "a.svg": svg });
  await library.library.index.update(library.pictures);
  const id = pictureId(join(library.pictures, "a.svg"));
  const response = await testApp(library.library).request(`/api/image?id=${id}`);
  expect(response.headers.get("content-type")).toBe("image/svg+xml");
  expect(response.headers.get("content-security-policy")).toMatch(/default-src 'none'.*sandbox$/);
  expect((await testApp(library.library).request(`/api/thumb?id=${id}`)).headers.get("content-type")).toBe(
    "image/webp",
  );
});

test("own labels are ranked by probability, for pictures of the index and uploaded ones", async () => {
  const body = JSON.stringify({ ids: [idOf("red.png"), idOf("blue.png")], labels: ["blue", "red"] });
  const headers = { "content-type": "application/json" };
  const { results } = await json(await ask("/api/classify", { method: "POST", body, headers }));
  expect(results).toMatchObject([
    { id: idOf("red.png"), labels: [{ label: "red" }, { label: "blue" }] },
    { id: idOf("blue.png"), labels: [{ label: "blue" }, { label: "red" }] },
  ]);
  expect(results[0]!.labels.reduce((sum, l) => sum + l.probability, 0)).toBeCloseTo(1, 5);
  const form = new FormData();
  form.set("image", new Blob([new Uint8Array(await plain("green"))]));
  form.set("labels", "red, green ,blue");
  const uploaded = await json(await ask("/api/classify", { method: "POST", body: form }));
  expect(uploaded.results).toMatchObject([{ labels: [{ label: "green" }, {}, {}] }]);
});

test.each([
  ['{"ids":[],"labels":["a","b"]}', "application/json", 400],
  ['{"ids":["x"],"labels":["a"]}', "application/json", 400],
  ['{"ids":["x"],"labels":["a","a"]}', "application/json", 400],
  ['{"ids":["x"],"labels":["a","b"]}', "application/json", 404],
  ['{"ids":', "application/json", 400],
  ['{"ids":["x"],"labels":["a","b"]}', "text/plain", 415],
])("classify refuses %s as %s", async (body, type, status) => {
  const response = await ask("/api/classify", { method: "POST", body, headers: { "content-type": type } });
  expect(response.status).toBe(status);
});

test("unknown addresses and wrong methods are told apart, in JSON", async () => {
  const unknown = await ask("/api/nothing");
  expect([unknown.status, (await json(unknown)).error]).toMatchObject([404, { type: "not_found" }]);
  const wrong = await ask("/api/search", { method: "PUT" });
  expect([wrong.status, wrong.headers.get("allow")]).toEqual([405, "GET, HEAD, POST"]);
  expect((await json(wrong)).error).toMatchObject({ type: "method_not_allowed" });
});

test("while the library is loading the API answers 503, and then works", async () => {
  let loaded = (_: Library) => {};
  const app = testApp(new Promise<Library>((resolve) => (loaded = resolve)));
  expect(await (await app.request("/healthz")).json()).toEqual({ status: "loading" });
  expect(await json(await app.request("/api/status"))).toMatchObject({
    loading: true,
    limits: { uploadBytes: expect.any(Number) },
  });
  const early = await app.request("/api/search?q=red");
  expect([early.status, early.headers.get("retry-after")]).toEqual([503, "1"]);
  loaded(shared.library);
  await app.ready;
  expect((await app.request("/api/search?q=red")).status).toBe(200);
  expect(await json(await app.request("/api/status"))).toMatchObject({
    loading: false,
    pictures: 3,
    model: { name: "colours-1", shipped: false },
  });
});

test("a library that cannot be loaded is explained", async () => {
  const app = testApp(Promise.reject(new Error("the file is cut short")));
  await expect(app.ready).rejects.toThrow("cut short");
  const { error } = await json(await app.request("/api/search?q=red"));
  expect(error).toMatchObject({ message: expect.stringContaining("cut short") });
  expect(await (await app.request("/healthz")).json()).toEqual({ status: "failed" });
});

test("a defect is reported to the owner and only its fact to the client", async () => {
  const broken = { ...shared.library, classify: () => Promise.reject(new Error("secret path /x")) };
  const app = testApp(broken);
  const body = JSON.stringify({ ids: [idOf("red.png")], labels: ["a", "b"] });
  const response = await app.request("/api/classify", {
    method: "POST",
    body,
    headers: { "content-type": "application/json" },
  });
  expect(response.status).toBe(500);
  expect(await response.text()).not.toContain("secret");
  expect(app.defects).toHaveLength(1);
});
