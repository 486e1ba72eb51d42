// Requests to a server: where it is, who asks, and when to ask again.

import { APIError, BotWireError, TransportError, errorOf } from "./errors.js";
import { WRITES } from "./generated.js";
import { decode, encode } from "./json.js";

/**
 * @typedef {object} Options
 * @property {string} [url] The server; by default `BOTWIRE_URL`, or else this machine, port 8700.
 * @property {string} [apiKey] By default `BOTWIRE_API_KEY`.
 * @property {number} [timeout] Seconds for a call with all its retries; 10 by default.
 * @property {string | import("./generated.js").Author} [author] Who writes.
 * @property {typeof globalThis.fetch} [fetch] Instead of the runtime's own.
 */

const RETRIED = new Set([408, 429, 502, 503, 504]);
/** @type {Record<string, string | undefined>} */
const environment = /** @type {any} */ (globalThis).process?.env ?? {};

/** A server, as one program sees it. */
export class Connection {
  /** @type {string} */ #url;
  /** @type {string | undefined} */ #apiKey;
  /** @type {number} */ #timeout;
  /** @type {typeof globalThis.fetch} */ #fetch;
  /** @type {Options["author"]} */ #author;

  /** @param {Options} options */
  constructor({ url, apiKey, timeout = 10, author, fetch = globalThis.fetch } = {}) {
    const given = url ?? environment.BOTWIRE_URL ?? "http://127.0.0.1:8700";
    if (!/^https?:\/\//.test(given)) {
      throw new BotWireError(
        `This client talks to a BotWire server: url must begin with http:// or https://, not ` +
          `${given.split(":")[0]}:. Start one with \`botwire serve\`.`,
      );
    }
    if (!(timeout > 0)) throw new BotWireError(`timeout must be a number of seconds, not ${timeout}`);
    this.#url = given.replace(/\/+$/, "");
    this.#apiKey = apiKey ?? environment.BOTWIRE_API_KEY;
    this.#timeout = timeout;
    this.#author = author;
    this.#fetch = fetch;
  }

  /**
   * Applies operations as one transaction; returns the result of each.
   *
   * A request that got no answer is sent again under the same id, so it lands once.
   *
   * @param {string} namespace
   * @param {readonly import("./generated.js").AnyOperation[]} operations
   * @returns {Promise<any[]>}
   */
  async apply(namespace, operations) {
    const body = encode({
      namespace,
      ...(this.#author === undefined ? {} : { author: this.#author }),
      operations,
    });
    /** @type {Record<string, string>} */
    const headers = { "Content-Type": "application/json" };
    if (operations.some(({ op }) => WRITES.has(op))) {
      headers["Idempotency-Key"] = crypto.randomUUID();
    }
    const ends = Date.now() + this.#timeout * 1000;
    for (let pause = 0.05; ; pause = Math.min(pause * 2, 1)) {
      const left = ends - Date.now();
      /** @type {unknown} */
      let failure;
      try {
        const signal = AbortSignal.timeout(Math.max(left, 1));
        const answer = await this.#send("/v1/batch", { method: "POST", body, headers, signal });
        return this.#results(await this.#text(answer));
      } catch (error) {
        if (error instanceof APIError && !RETRIED.has(error.status)) throw error;
        if (error instanceof BotWireError && !(error instanceof APIError)) throw error;
        failure = error;
      }
      const wait = (failure instanceof APIError && failure.retryAfter) || pause * (0.5 + Math.random());
      if (Date.now() + wait * 1000 >= ends) {
        if (failure instanceof APIError) throw failure;
        throw this.#unreachable(failure);
      }
      await new Promise((resolve) => setTimeout(resolve, wait * 1000));
    }
  }

  /**
   * Yields the changes of a namespace after a revision, as they happen. A lost connection is opened
   * again where it was.
   *
   * @param {string} namespace
   * @param {number} after
   * @param {AbortSignal} [signal]
   * @returns {AsyncGenerator<import("./generated.js").ChangeEntry, void, void>}
   */
  async *watch(namespace, after, signal) {
    const path = `/v1/namespaces/${segment(namespace)}/watch`;
    let last = String(after);
    let failed = 0;
    while (!signal?.aborted) {
      try {
        const headers = { Accept: "text/event-stream", "Last-Event-ID": last };
        const answer = await this.#send(path, { headers, ...(signal ? { signal } : {}) });
        if (!answer.ok) await this.#text(answer);
        for await (const event of events(answer)) {
          failed = 0;
          last = event.id ?? last;
          if (event.name === "change") yield decode(event.data);
        }
      } catch (error) {
        if (signal?.aborted) return;
        if (error instanceof APIError && !RETRIED.has(error.status)) throw error;
        failed += 1;
        if (failed * 0.5 > this.#timeout) throw this.#unreachable(error);
      }
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }

  /**
   * @param {string} path
   * @param {RequestInit} request
   */
  #send(path, request) {
    const headers = new Headers(request.headers);
    if (this.#apiKey) headers.set("Authorization", `Bearer ${this.#apiKey}`);
    return this.#fetch.call(globalThis, this.#url + path, { ...request, headers });
  }

  /**
   * Returns the text of an answer.
   *
   * @param {Response} answer
   * @throws {APIError} It is a problem.
   */
  async #text(answer) {
    const text = await answer.text();
    if (answer.ok) return text;
    let problem;
    try {
      problem = JSON.parse(text);
    } catch {
      // A proxy answered.
    }
    if (typeof problem?.type === "string" && typeof problem.detail === "string") throw errorOf(problem);
    const status = answer.status;
    const detail = `${this.#url} answered ${status}, and not as a BotWire server does`;
    throw errorOf({ type: "about:blank", title: answer.statusText, status, detail });
  }

  /**
   * @param {string} text
   * @returns {any[]}
   */
  #results(text) {
    try {
      const { results } = decode(text);
      if (Array.isArray(results)) return results;
    } catch {
      // Something else answered.
    }
    throw new BotWireError(`${this.#url} does not answer as a BotWire server does`);
  }

  /** @param {unknown} cause */
  #unreachable(cause) {
    return new TransportError(`No answer from ${this.#url} within ${this.#timeout} seconds`, { cause });
  }
}

/**
 * Returns a name as a segment of a path.
 *
 * @param {string} name
 */
function segment(name) {
  // A runtime would resolve `.` and `..`.
  return /^\.\.?$/.test(name) ? name.replaceAll(".", "%2E") : encodeURIComponent(name);
}

/**
 * Yields the server-sent events of an answer.
 *
 * @param {Response} answer
 */
async function* events(answer) {
  const decoder = new TextDecoder();
  let text = "";
  /** @type {{ name: string, data: string, id: string | undefined }} */
  let event = { name: "", data: "", id: undefined };
  for await (const chunk of /** @type {AsyncIterable<Uint8Array>} */ (/** @type {unknown} */ (answer.body))) {
    text += decoder.decode(chunk, { stream: true });
    const lines = text.split(/\r?\n/);
    text = lines.pop() ?? "";
    for (const line of lines) {
      if (line === "") {
        yield event;
        event = { name: "", data: "", id: undefined };
        continue;
      }
      const [, field, value = ""] = /^([^:]*):? ?(.*)$/.exec(line) ?? [];
      if (field === "event") event.name = value;
      if (field === "id") event.id = value;
      if (field === "data") event.data += event.data ? `\n${value}` : value;
    }
  }
}
