import { createServer } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import { UsageError } from "../core/errors.ts";
import { plain, put } from "../search/test-support.ts";
import type { Library } from "./ports.ts";
import { type ServeOptions, serve } from "./serve.ts";
import { testLibrary } from "./test-support.ts";

const start = (library: ServeOptions["library"], options: Partial<ServeOptions> = {}) =>
  serve({ library, port: 0, page: false, ...options });

/** A library whose `classify` is replaced, so that a test decides how long a request lasts. */
const withClassify = (library: Library, classify: Library["classify"]): Library => ({ ...library, classify });

async function postClassify(url: string, signal?: AbortSignal): Promise<Response> {
  const { results } = (await (await fetch(`${url}api/pictures`)).json()) as { results: { id: string }[] };
  return fetch(`${url}api/classify`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ ids: [results[0]!.id], labels: ["a", "b"] }),
    ...(signal && { signal }),
  });
}

test("serves on this machine only and names its address", async () => {
  await using library = await testLibrary();
  const server = await start(library.library);
  expect(server.url).toBe(`http://localhost:${server.port}/`);
  await server.ready;
  const response = await fetch(`${server.url}api/search?q=red&k=1`);
  expect(await response.json()).toMatchObject({ results: [{ score: expect.closeTo(1, 3) }] });
  await server.close();
  await expect(fetch(`${server.url}healthz`)).rejects.toThrow();
});

test("a port in use is the user's mistake, with a way out", async () => {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
  const { port } = other.address() as { port: number };
  await using library = await testLibrary({ colours: [] });
  const starting = start(library.library, { port });
  await expect(starting).rejects.toThrow(UsageError);
  await expect(starting).rejects.toThrow(`port ${port} is in use on 127.0.0.1`);
  other.close();
  await expect(start(library.library, { host: "203.0.113.7" })).rejects.toThrow(/no address of this machine/);
});

test("a foreign Host header reaches nothing over a real socket", async () => {
  await using library = await testLibrary();
  const server = await start(library.library);
  const answer = await new Promise<string>((resolve) => {
    const socket = connect(server.port, "127.0.0.1");
    socket.on("data", (data) => resolve(data.toString()));
    socket.write("GET /api/search?q=red HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
  });
  expect(answer).toMatch(/^HTTP\/1\.1 403 /);
  await server.close();
});

/** The status that a Host header of that name gets from the server at 127.0.0.1. */
async function statusUnder(name: string, port: number): Promise<string | undefined> {
  const socket = connect(port, "127.0.0.1");
  socket.write(`GET /healthz HTTP/1.1\r\nHost: ${name}:${port}\r\nConnection: close\r\n\r\n`);
  const answer = await new Promise<string>((resolve) => socket.once("data", (d) => resolve(d.toString())));
  socket.destroy();
  return answer.split(" ")[1];
}

test("the host it was given and the names it may have are known, and no others", async () => {
  await using library = await testLibrary({ colours: [] });
  // 127.1 is a name to whoever compares names, and leads to this machine without any name server.
  const server = await start(library.library, { host: "127.1", hostNames: ["NAS.lan"] });
  expect(server.url).toBe(`http://127.1:${server.port}/`);
  const names = ["127.1", "nas.lan", "localhost", "evil.example"];
  expect(await Promise.all(names.map((name) => statusUnder(name, server.port)))).toEqual([
    ...["200", "200", "200", "403"],
  ]);
  await server.close();
});

test("a shutdown lets a running request finish", async () => {
  await using library = await testLibrary();
  let release = () => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  let entered = () => {};
  const running = new Promise<void>((resolve) => {
    entered = resolve;
  });
  const slow = withClassify(library.library, async () => {
    entered();
    await released;
    return [[0.25, 0.75]];
  });
  const server = await start(slow);
  const request = postClassify(server.url);
  await running;
  const closing = server.close();
  setTimeout(release, 100);
  const response = await request;
  expect(await response.json()).toMatchObject({
    results: [{ labels: [{ label: "b", probability: 0.75 }, {}] }],
  });
  await closing;
});

test("a shutdown does not wait longer than its grace, and cancels what is left", async () => {
  await using library = await testLibrary();
  let reason: unknown;
  let entered = () => {};
  const running = new Promise<void>((resolve) => {
    entered = resolve;
  });
  const endless = withClassify(library.library, (_pictures, _labels, { signal }) => {
    entered();
    return new Promise((_, reject) => {
      signal.addEventListener("abort", () => {
        reason = signal.reason;
        reject(signal.reason);
      });
    });
  });
  const server = await start(endless, { graceMs: 200 });
  const request = postClassify(server.url).catch(() => "cut off");
  await running;
  const events = await fetch(`${server.url}api/events`);
  const started = performance.now();
  await server.close();
  expect(performance.now() - started).toBeLessThan(20_000);
  expect(reason).toMatchObject({ status: 503 });
  expect(await request).toMatchObject({ status: 503 });
  // The event stream has ended too.
  await events.text().catch(() => {});
});

test("a client that goes away cancels its request", async () => {
  await using library = await testLibrary();
  const abort = new AbortController();
  let cancelled = () => {};
  const wasCancelled = new Promise<void>((resolve) => {
    cancelled = resolve;
  });
  const endless = withClassify(library.library, (_pictures, _labels, { signal }) => {
    abort.abort();
    return new Promise((_, reject) => {
      signal.addEventListener("abort", () => {
        cancelled();
        reject(signal.reason);
      });
    });
  });
  const server = await start(endless, { onDefect: (error) => expect.unreachable(String(error)) });
  await expect(postClassify(server.url, abort.signal)).rejects.toThrow(/abort/i);
  await wasCancelled;
  await server.close();
});

test("too large an upload is refused without reading it all", async () => {
  await using library = await testLibrary();
  const server = await start(library.library, { limits: { uploadBytes: 1000 } });
  // No Content-Length: the size is only known while it comes.
  const body = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(new Uint8Array(512)),
  });
  const request = fetch(`${server.url}api/search`, { method: "POST", body, duplex: "half" } as RequestInit);
  const status = await request.then(
    (response) => response.status,
    // The server may hang up before the client has heard the answer.
    () => 413,
  );
  expect(status).toBe(413);
  const ok = await fetch(`${server.url}api/search?k=1`, {
    method: "POST",
    body: new Uint8Array(await plain("red")),
  });
  expect(ok.status).toBe(200);
  await server.close();
});

test("folders are indexed at the start, and the known ones brought up to date", async () => {
  await using library = await testLibrary({ colours: ["red"] });
  await put(library.pictures, { "later.png": await plain("green") });
  const more = join(library.root, "more");
  await put(more, { "yellow.png": await plain("yellow") });
  const server = await start(library.library, { folders: [more] });
  await server.indexed;
  const status = await (await fetch(`${server.url}api/status`)).json();
  expect(status).toMatchObject({ loading: false, pictures: 3, folders: 2 });
  await server.close();
  const wrong = await start(library.library, { folders: [join(library.root, "missing")] });
  await expect(wrong.ready).rejects.toThrow(/no such folder/);
  await wrong.close();
  const whole = await start(library.library, { folders: ["/"] });
  await expect(whole.ready).rejects.toThrow(UsageError);
  await whole.close();
});

test("a library that fails to load leaves a server that says so", async () => {
  const server = await start(Promise.reject(new UsageError("model: expected a file, found none")));
  await expect(server.ready).rejects.toThrow(/expected a file/);
  const status = await (await fetch(`${server.url}api/status`)).json();
  expect(status).toMatchObject({ loading: true, error: "model: expected a file, found none" });
  await server.close();
});

test("a library that fails before the page is there is no unhandled rejection", async () => {
  const unhandled: unknown[] = [];
  const note = (reason: unknown) => unhandled.push(reason);
  process.on("unhandledRejection", note);
  try {
    const library = Promise.reject(new UsageError("model: expected a file, found none"));
    // The package's own page: reading it takes longer than the rejection.
    const server = await start(library, { page: undefined });
    await expect(server.ready).rejects.toThrow(/expected a file/);
    await server.close();
    expect(unhandled).toEqual([]);
  } finally {
    process.off("unhandledRejection", note);
  }
});

test("a shutdown while the model is loading is bounded and closes the library when it comes", async () => {
  await using library = await testLibrary();
  let closed = false;
  let load = (_: Library) => {};
  const loading = new Promise<Library>((resolve) => {
    load = resolve;
  });
  const server = await start(loading, { graceMs: 100 });
  await server.close();
  load({
    ...library.library,
    close: async () => {
      closed = true;
    },
  });
  await expect.poll(() => closed).toBe(true);
});
