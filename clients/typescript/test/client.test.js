// The promises of the client, against the server that BOTWIRE_URL names.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import test from "node:test";

import {
  APIError, BotWireError, ConflictError, InvalidRequestError, Memory, TransportError,
} from "../src/index.js";

const url = process.env.BOTWIRE_URL ?? "http://127.0.0.1:8700";
const fresh = (options = {}) => new Memory(`ts-${crypto.randomUUID()}`, { url, ...options });

async function all(iterable) {
  const found = [];
  for await (const one of iterable) found.push(one);
  return found;
}

/** Serves what a function makes of each request until the test ends; returns the address. */
async function serve(t, answer) {
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    await answer(request, Buffer.concat(chunks), response);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${server.address().port}`;
}

const forward = (request, body) =>
  fetch(url + request.url, { method: request.method, headers: request.headers, body });

test("what comes back equals what went in", async () => {
  const memory = fresh();
  const values = [
    42, 1.5, "[1]", "", null, true, [], {}, { a: [{ b: null }] }, "ünï \u0000 😀", 2n ** 80n, -(2n ** 63n),
    { id: 9007199254740993n, text: "9007199254740993 \"12345678901234567890\" \\" }, 1e300, "__proto__", 0.12345678901234567,
    -1.2345678901234567e-200, 12345678901234567000000000,
  ];
  for (const value of values) {
    await memory.set("k", value);
    assert.deepEqual(await memory.get("k"), value);
  }
  await memory.set("k", { a: 1, b: undefined });
  assert.deepEqual(await memory.get("k"), { a: 1 });
  const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
  await memory.set("k", bytes);
  assert.deepEqual(await memory.get("k"), bytes);
});

test("any name is a name", async () => {
  const memory = fresh();
  for (const name of ["a/b", "..", ".", "%2F", "?#&", " ", "😀", "a\nb"]) {
    await memory.set(name, name);
    assert.equal(await memory.get(name), name);
  }
  assert.equal((await all(memory.keys())).length, 8);
});

test("what JSON cannot hold is refused with its place, and nothing is written", async () => {
  const memory = fresh();
  const circle = {};
  circle.self = circle;
  const refused = [
    [{ a: [undefined] }, /value\.operations\[0\]\.value\.a\[0\] is undefined/],
    [NaN, /is NaN/],
    [new Date(), /is a Date/],
    [new Map(), /is a Map/],
    [() => 1, /is function/],
    [2 ** 60, /use a bigint/],
    [circle, /contains itself/],
  ];
  for (const [value, message] of refused) {
    await assert.rejects(memory.set("k", value), (error) => {
      assert(error instanceof TypeError);
      assert.match(error.message, message);
      return true;
    });
  }
  await assert.rejects(memory.set("k", undefined), TypeError);
  await assert.rejects(memory.set("k", NaN), TypeError);
  assert.deepEqual(await all(memory.keys()), []);
});

test("nobody is overwritten in silence", async () => {
  const memory = fresh();
  const version = await memory.set("plan", "draft");
  await memory.set("plan", "final", { ifVersion: version });
  await assert.rejects(memory.set("plan", "lost", { ifVersion: version }), (error) => {
    assert(error instanceof ConflictError && error instanceof APIError);
    assert.equal(error.status, 409);
    return true;
  });
  assert.equal(await memory.get("plan"), "final");
  await assert.rejects(memory.set("plan", "new", { ifVersion: 0 }), ConflictError);
});

test("eight updates at once are eight updates", async () => {
  const memory = fresh();
  await Promise.all(
    Array.from({ length: 8 }, (_, i) =>
      memory.update("seen", (seen) => [...seen, i], { fallback: [] }),
    ),
  );
  assert.equal((await memory.get("seen")).length, 8);
  await Promise.all(Array.from({ length: 8 }, () => memory.increment("count")));
  assert.equal(await memory.get("count"), 8);
});

test("keys are listed over pages", async () => {
  const memory = fresh();
  const operations = Array.from({ length: 1500 }, (_, i) => ({
    op: "put_key", key: `k${String(i).padStart(4, "0")}`, value: i,
  }));
  await memory.batch(...operations);
  const keys = await all(memory.keys({ prefix: "k" }));
  assert.equal(keys.length, 1500);
  assert.equal(keys.at(-1), "k1499");
  assert.equal(await memory.has("k0000"), true);
  assert.equal(await memory.delete("k0000"), true);
  assert.equal(await memory.get("k0000", "none"), "none");
});

test("a batch is applied completely or not at all", async () => {
  const memory = fresh();
  await assert.rejects(
    memory.batch({ op: "put_key", key: "a", value: 1 }, { op: "check_key", key: "b", version: 7 }),
    ConflictError,
  );
  assert.equal(await memory.get("a"), undefined);
  const [version, seqs] = await memory.batch(
    { op: "put_key", key: "a", value: 1 },
    { op: "extend_history", name: "log", values: ["a is set"] },
  );
  assert.equal(typeof version, "number");
  assert.deepEqual(seqs, [1]);
});

test("a history keeps its order, and an id is stored once", async () => {
  const chat = fresh().history("chat");
  assert.equal(await chat.append("hi", { id: "m1" }), 1);
  assert.equal(await chat.append("hi", { id: "m1" }), 1);
  await chat.extend(["a", "b", "c"], { ifLast: 1 });
  await assert.rejects(chat.extend(["lost"], { ifLast: 1 }), ConflictError);
  assert.deepEqual((await chat.tail(2)).map(({ value }) => value), ["b", "c"]);
  assert.deepEqual(await chat.tail(0), []);
  assert.equal((await chat.pop()).value, "c");
  await chat.update(2, "A");
  const copy = await chat.fork("copy", { upTo: 2 });
  assert.deepEqual((await all(copy)).map(({ value }) => value), ["hi", "A"]);
  assert.equal(await chat.archive(1), 1);
  assert.deepEqual((await all(chat)).map(({ seq }) => seq), [2, 3]);
  assert.equal((await all(chat.read({ archived: true }))).length, 3);
  assert.equal((await chat.info()).count, 2);
  assert.equal(await chat.delete(3), 1);
  await chat.replace(["summary"]);
  assert.deepEqual((await all(chat)).map(({ value }) => value), ["summary"]);
  assert.equal(await chat.clear(), 1);
});

test("a long history is read over pages, from either end", async () => {
  const memory = fresh();
  const chat = memory.history("chat");
  await chat.extend(Array.from({ length: 1200 }, (_, i) => i));
  assert.equal((await all(chat)).length, 1200);
  assert.deepEqual((await chat.tail(250)).map(({ value }) => value).slice(0, 2), [950, 951]);
  assert.deepEqual((await all(memory.histories())).map(({ name }) => name), ["chat"]);
});

test("records are found by words, by embedding and by what they are", async () => {
  const notes = fresh().records("notes");
  const [tea] = await notes.put(
    { text: "Ada likes green tea", metadata: { year: 2026 }, tags: ["taste"], scope: "/people/ada" },
    { id: "x", text: "Bob drives", embedding: [1, 0] },
  );
  const found = await notes.search({ text: "tea", scope: "/people", filter: { year: { $gte: 2020 } } });
  assert.deepEqual(found.map(({ record }) => record.id), [tea]);
  assert.equal((await notes.search({ vector: [1, 0] }))[0].record.id, "x");
  assert.equal((await notes.get("x")).text, "Bob drives");
  assert.equal(await notes.get("y"), null);
  assert.equal((await all(notes.list())).length, 2);
  assert.equal((await notes.info()).count, 2);
  assert.equal(await notes.delete({ tags: ["taste"] }), 1);
  await assert.rejects(notes.delete({}), InvalidRequestError);
  assert.equal(await notes.delete({ all: true }), 1);
});

test("namespaces are apart, over one connection", async () => {
  const memory = fresh();
  await memory.set("k", 1);
  assert.equal(await memory.withNamespace(`${memory.namespace}-2`).get("k"), undefined);
});

test("who wrote is stored", async () => {
  const memory = fresh({ author: { agent: "planner", framework: "mastra" } });
  await memory.set("k", 1);
  const { author } = await memory.entry("k");
  assert.equal(author.agent, "planner");
});

test("changes are seen as they happen, and after a lost connection once each", async (t) => {
  let cuts = 0;
  const front = await serve(t, async (request, body, response) => {
    const gone = new AbortController();
    response.on("close", () => gone.abort());
    const { signal } = gone;
    try {
      const answer = await fetch(url + request.url, { headers: request.headers, signal });
      response.writeHead(answer.status, { "Content-Type": "text/event-stream" });
      for await (const chunk of answer.body) {
        response.write(chunk);
        if (cuts === 0 && String.fromCharCode(...chunk).includes("event: change")) {
          cuts += 1;
          response.destroy();
        }
      }
    } catch (error) {
      if (error.name !== "AbortError") throw error;
    }
  });
  const memory = fresh();
  const stop = new AbortController();
  const seen = [];
  await memory.set("a", 1);
  for await (const change of new Memory(memory.namespace, { url: front }).watch({ signal: stop.signal })) {
    seen.push(change.name);
    if (seen.length === 1) await memory.set("b", 2);
    if (seen.length === 2) break;
  }
  stop.abort();
  assert.deepEqual(seen, ["a", "b"]);
  assert.equal(cuts, 1);
});

test("a write whose answer was lost lands once", async (t) => {
  const ids = [];
  const front = await serve(t, async (request, body, response) => {
    ids.push(request.headers["idempotency-key"]);
    const answer = await forward(request, body);
    const text = await answer.text();
    if (ids.length < 3) return void response.destroy();
    response.writeHead(answer.status, { "Content-Type": "application/json" });
    response.end(text);
  });
  const memory = fresh();
  const other = new Memory(memory.namespace, { url: front });
  assert.equal(await other.increment("visits"), 1);
  assert.equal(await memory.get("visits"), 1);
  assert.equal(ids.length, 3);
  assert.equal(new Set(ids).size, 1);
});

test("a server that is busy is asked again when it says", async (t) => {
  let asked = 0;
  const problem = {
    type: "urn:botwire:problem:server-error", title: "", status: 503, detail: "busy", retry_after: 0.01,
  };
  const front = await serve(t, async (request, body, response) => {
    const answer = asked++ ? await forward(request, body) : null;
    response.writeHead(answer?.status ?? 503, { "Content-Type": "application/json" });
    response.end(answer ? await answer.text() : JSON.stringify(problem));
  });
  assert.equal(await fresh({ url: front }).get("k", "none"), "none");
  assert.equal(asked, 2);
});

test("a server that is down is an error that names it, never an empty history", async () => {
  const down = fresh({ url: "http://127.0.0.1:9", timeout: 0.3 });
  await assert.rejects(down.history("chat").tail(5), (error) => {
    assert(error instanceof TransportError);
    assert.match(error.message, /http:\/\/127\.0\.0\.1:9 within 0\.3 seconds/);
    assert(error.cause);
    return true;
  });
});

test("what answers instead of the server is not taken for it", async (t) => {
  const front = await serve(t, (request, body, response) => {
    response.writeHead(404, { "Content-Type": "text/html" });
    response.end("<h1>Not here</h1>");
  });
  await assert.rejects(fresh({ url: front }).get("k"), /answered 404, and not as a BotWire server/);
  const other = await serve(t, (request, body, response) => response.end("<h1>Welcome</h1>"));
  await assert.rejects(fresh({ url: other }).get("k"), /does not answer as a BotWire server/);
});

test("a wrong request is refused with words", async () => {
  assert.throws(() => new Memory(""), BotWireError);
  assert.throws(() => new Memory("a", { url: "sqlite:///x.db" }), /must begin with http/);
  assert.throws(() => new Memory("a", { url, timeout: 0 }), /timeout/);
  await assert.rejects(fresh().set("", 1), InvalidRequestError);
  await assert.rejects(fresh().set("k", 1, { ttl: -1 }), InvalidRequestError);
});
