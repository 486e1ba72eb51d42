// Memory for agents that outlives their process: keys, histories and records on a BotWire server.

import { Connection } from "./connection.js";
import { BotWireError, ConflictError } from "./errors.js";

export * from "./errors.js";

/** @typedef {import("./generated.js").Json} Json */
/** @typedef {import("./generated.js").AnyOperation} AnyOperation */
/** @typedef {import("./generated.js").KeyEntry} KeyEntry */
/** @typedef {import("./generated.js").HistoryItem} HistoryItem */
/** @typedef {import("./generated.js").HistoryStat} HistoryStat */
/** @typedef {import("./generated.js").NewRecord} NewRecord */
/** @typedef {import("./generated.js").RecordEntry} RecordEntry */
/** @typedef {import("./generated.js").RecordMatch} RecordMatch */
/** @typedef {import("./generated.js").RecordStat} RecordStat */
/** @typedef {import("./generated.js").Selection} Selection */
/** @typedef {import("./generated.js").ChangeEntry} ChangeEntry */
/** @typedef {import("./connection.js").Options} Options */

/** @param {Uint8Array} bytes */
function toBase64(bytes) {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

/** @param {string} text */
function fromBase64(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

/**
 * The memory of a user, an agent or a tenant.
 *
 * Values are JSON or bytes (`Uint8Array`). Integers that a number cannot hold are bigints.
 */
export class Memory {
  /** @type {Connection} */ #connection;

  /**
   * @param {string} namespace Whose memory this is; it never shows another's.
   * @param {Options | Connection} [options] Where it lives.
   */
  constructor(namespace, options = {}) {
    if (typeof namespace !== "string" || !namespace) {
      throw new BotWireError("A memory needs a namespace: a string that is not empty");
    }
    this.namespace = namespace;
    this.#connection = options instanceof Connection ? options : new Connection(options);
  }

  /**
   * Returns the memory of another namespace over the same connection.
   *
   * @param {string} namespace
   */
  withNamespace(namespace) {
    return new Memory(namespace, this.#connection);
  }

  /**
   * Applies operations as one transaction, all or none; returns the result of each.
   *
   * @template {readonly AnyOperation[]} T
   * @param {T} operations
   * @returns {Promise<import("./generated.js").ResultsOf<T>>}
   */
  async batch(...operations) {
    const results = await this.#connection.apply(this.namespace, operations);
    return /** @type {any} */ (results);
  }

  /**
   * Applies one operation; returns its result.
   *
   * @template {AnyOperation} T
   * @param {T} operation
   * @returns {Promise<import("./generated.js").ResultOf<T>>}
   */
  async apply(operation) {
    const [result] = await this.#connection.apply(this.namespace, [operation]);
    return /** @type {any} */ (result);
  }

  /**
   * Stores a value; returns the key's new version.
   *
   * @param {string} key
   * @param {Json | Uint8Array} value
   * @param {{ ttl?: number, ifVersion?: number }} [options] Seconds until it expires; the version that
   *   the key must have, 0 if it must not exist.
   */
  async set(key, value, { ttl, ifVersion } = {}) {
    const stored = value instanceof Uint8Array ? { bytes: toBase64(value) } : { value };
    if ("value" in stored && stored.value === undefined) throw new TypeError("value is undefined");
    return this.apply({ op: "put_key", key, ...stored, ttl, if_version: ifVersion });
  }

  /**
   * Returns the value of a key, or `fallback` if there is none.
   *
   * @param {string} key
   * @param {any} [fallback]
   * @returns {Promise<any>}
   */
  async get(key, fallback) {
    const entry = await this.entry(key);
    return entry === null ? fallback : valueOf(entry);
  }

  /**
   * Returns a key as it is stored, with its version and times; null if there is none.
   *
   * @param {string} key
   * @returns {Promise<KeyEntry | null>}
   */
  async entry(key) {
    const [entry] = await this.apply({ op: "get_keys", keys: [key] });
    return entry ?? null;
  }

  /** @param {string} key */
  async has(key) {
    return (await this.entry(key)) !== null;
  }

  /**
   * Deletes a key; returns whether it existed.
   *
   * @param {string} key
   * @param {{ ifVersion?: number }} [options]
   */
  async delete(key, { ifVersion } = {}) {
    return this.apply({ op: "delete_key", key, if_version: ifVersion });
  }

  /**
   * Adds to a number, starting from 0; returns the sum.
   *
   * @param {string} key
   * @param {number} [by]
   */
  async increment(key, by = 1) {
    return this.apply({ op: "increment_key", key, by });
  }

  /**
   * Replaces a value by what a function makes of it; returns the new value. If someone else writes in
   * between, it is called again with what they wrote.
   *
   * @param {string} key
   * @param {(value: any) => Json | Promise<Json>} change
   * @param {{ fallback?: Json }} [options] What the function gets if there is no such key.
   */
  async update(key, change, { fallback = null } = {}) {
    for (;;) {
      const entry = await this.entry(key);
      const value = await change(entry === null ? fallback : valueOf(entry));
      try {
        await this.set(key, value, { ifVersion: entry?.version ?? 0 });
        return value;
      } catch (error) {
        if (!(error instanceof ConflictError)) throw error;
      }
    }
  }

  /**
   * Yields the keys that start with a prefix, in order.
   *
   * @param {{ prefix?: string }} [options]
   */
  async *keys({ prefix = "" } = {}) {
    /** @type {string | undefined} */
    let after;
    for (;;) {
      const page = await this.apply({ op: "list_keys", prefix, after });
      yield* page.keys;
      if (!page.more) return;
      after = page.keys.at(-1);
    }
  }

  /**
   * Yields what is known of each history whose name starts with a prefix.
   *
   * @param {{ prefix?: string }} [options]
   */
  async *histories({ prefix = "" } = {}) {
    /** @type {string | undefined} */
    let after;
    for (;;) {
      const page = await this.apply({ op: "list_histories", prefix, after });
      yield* page.histories;
      if (!page.more) return;
      after = page.histories.at(-1)?.name;
    }
  }

  /**
   * Yields what changes in this namespace after a revision, as it happens.
   *
   * @param {{ after?: number, signal?: AbortSignal }} [options]
   */
  watch({ after = 0, signal } = {}) {
    return this.#connection.watch(this.namespace, after, signal);
  }

  /**
   * Returns an append-only list, such as a conversation.
   *
   * @param {string} name
   * @param {{ ttl?: number }} [options] Seconds that it lives after an item was written.
   */
  history(name, options) {
    return new History(this, name, options);
  }

  /**
   * Returns a collection of texts to search.
   *
   * @param {string} collection
   */
  records(collection) {
    return new Records(this, collection);
  }
}

/** @param {KeyEntry} entry */
function valueOf(entry) {
  return entry.bytes === undefined ? entry.value : fromBase64(entry.bytes);
}

/** An append-only list of JSON values. */
export class History {
  /** @type {Memory} */ #memory;
  /** @type {number | undefined} */ #ttl;

  /**
   * @param {Memory} memory
   * @param {string} name
   * @param {{ ttl?: number }} [options]
   */
  constructor(memory, name, { ttl } = {}) {
    this.#memory = memory;
    this.name = name;
    this.#ttl = ttl;
  }

  /**
   * Appends an item; returns its sequence number.
   *
   * @param {Json} value
   * @param {{ id?: string }} [options] An item with this id is stored once.
   */
  async append(value, { id } = {}) {
    const [seq] = await this.extend([value], id === undefined ? {} : { ids: [id] });
    return /** @type {number} */ (seq);
  }

  /**
   * Appends items, all or none; returns their sequence numbers.
   *
   * @param {Json[]} values
   * @param {{ ids?: (string | null)[], ifLast?: number }} [options] `ifLast` is the last sequence
   *   number that the history must have.
   */
  async extend(values, { ids, ifLast } = {}) {
    const { name } = this;
    return this.#memory.apply({
      op: "extend_history", name, values, ids, if_last: ifLast, ttl: this.#ttl,
    });
  }

  /**
   * Returns the last items, the oldest of them first.
   *
   * @param {number} count
   */
  async tail(count) {
    const items = [];
    if (count > 0) {
      for await (const item of this.newestFirst()) {
        if (items.push(item) === count) break;
      }
    }
    return items.reverse();
  }

  /**
   * Yields items in order.
   *
   * @param {{ after?: number, before?: number, archived?: boolean }} [options]
   */
  async *read({ after = 0, before, archived = false } = {}) {
    const { name } = this;
    for (;;) {
      const page = await this.#memory.apply({ op: "read_history", name, after, before, archived });
      yield* page.items;
      if (!page.more) return;
      after = page.items.at(-1)?.seq ?? after;
    }
  }

  /**
   * Yields items from the end.
   *
   * @param {{ before?: number, archived?: boolean }} [options]
   */
  async *newestFirst({ before, archived = false } = {}) {
    const { name } = this;
    for (;;) {
      const page = await this.#memory.apply({
        op: "read_history", name, before, archived, newest_first: true, limit: 100,
      });
      yield* page.items;
      if (!page.more) return;
      before = page.items.at(-1)?.seq;
    }
  }

  [Symbol.asyncIterator]() {
    return this.read();
  }

  /** Returns what is known of the history: counts, the last sequence number, times, metadata. */
  async info() {
    return this.#memory.apply({ op: "stat_history", name: this.name });
  }

  /**
   * Replaces the value of an item; returns its new version.
   *
   * @param {number} seq
   * @param {Json} value
   * @param {{ ifVersion?: number }} [options]
   */
  async update(seq, value, { ifVersion } = {}) {
    const { name } = this;
    return this.#memory.apply({ op: "update_item", name, seq, value, if_version: ifVersion });
  }

  /** Deletes the last item and returns it; null if there is none. */
  async pop() {
    return this.#memory.apply({ op: "pop_item", name: this.name });
  }

  /**
   * Deletes items; returns how many existed.
   *
   * @param {number[]} seqs
   */
  async delete(...seqs) {
    return this.#memory.apply({ op: "delete_items", name: this.name, seqs });
  }

  /**
   * Hides the items up to a sequence number from reads; returns how many.
   *
   * @param {number} upTo
   */
  async archive(upTo) {
    return this.#memory.apply({ op: "archive_history", name: this.name, up_to: upTo });
  }

  /**
   * Replaces all items; returns the sequence numbers of the new ones.
   *
   * @param {Json[]} values
   * @param {{ ids?: (string | null)[], ifLast?: number }} [options]
   */
  async replace(values, { ids, ifLast } = {}) {
    const { name } = this;
    return this.#memory.apply({
      op: "replace_history", name, values, ids, if_last: ifLast, ttl: this.#ttl,
    });
  }

  /**
   * Makes a history that begins with the items of this one, and returns it.
   *
   * @param {string} to
   * @param {{ upTo?: number }} [options] The last item to take over.
   */
  async fork(to, { upTo } = {}) {
    await this.#memory.apply({ op: "fork_history", name: this.name, to, up_to: upTo });
    return this.#memory.history(to);
  }

  /** Deletes all items; returns how many there were. */
  async clear() {
    return this.#memory.apply({ op: "clear_history", name: this.name });
  }
}

/** A collection of texts with metadata, tags and perhaps embeddings, to search. */
export class Records {
  /** @type {Memory} */ #memory;

  /**
   * @param {Memory} memory
   * @param {string} collection
   */
  constructor(memory, collection) {
    this.#memory = memory;
    this.collection = collection;
  }

  /**
   * Adds records, or replaces those with the same id; returns their ids.
   *
   * @param {Partial<NewRecord>[]} records A record without an id gets one.
   */
  async put(...records) {
    const complete = records.map((record) => {
      const { id = crypto.randomUUID(), metadata = {} } = record;
      return /** @type {NewRecord} */ ({ ...record, id, metadata });
    });
    const { collection } = this;
    await this.#memory.apply({ op: "put_records", collection, records: complete });
    return complete.map(({ id }) => id);
  }

  /**
   * Returns a record; null if there is none.
   *
   * @param {string} id
   */
  async get(id) {
    const { collection } = this;
    const [record] = await this.#memory.apply({ op: "get_records", collection, ids: [id] });
    return record ?? null;
  }

  /**
   * Returns the records that match best, the best first, each with its score.
   *
   * @param {{ text?: string, vector?: number[], limit?: number, minScore?: number } & Selection} options
   *   Words, an embedding, or both; and what the records must be.
   */
  async search({ text, vector, limit, minScore, ...where }) {
    const { collection } = this;
    return this.#memory.apply({
      op: "search_records", collection, text, vector, limit, min_score: minScore, where,
    });
  }

  /**
   * Yields the records for which everything given holds, the newest first.
   *
   * @param {Selection} [where]
   */
  async *list(where = {}) {
    const { collection } = this;
    for (let offset = 0; ; ) {
      const page = await this.#memory.apply({ op: "list_records", collection, where, offset });
      yield* page.records;
      if (!page.more) return;
      offset += page.records.length;
    }
  }

  /**
   * Deletes records; returns how many.
   *
   * @param {Selection & { all?: boolean }} where `{ all: true }` deletes every record.
   */
  async delete({ all, ...where }) {
    const { collection } = this;
    const chosen = all ? { all } : { where };
    return this.#memory.apply({ op: "delete_records", collection, ...chosen });
  }

  /** Returns how many records there are, since when, and the dimension of their embeddings. */
  async info() {
    return this.#memory.apply({ op: "stat_records", collection: this.collection });
  }
}
