// JSON without loss: integers of any size are bigints where a number cannot hold them, and what JSON
// cannot hold is refused with its place.

const MARK = `\u0000int:${crypto.randomUUID()}:`;
const STRING_OR_NUMBER = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
const MARKED = new RegExp(`"${JSON.stringify(MARK).slice(1, -1).replaceAll("\\", "\\\\")}(-?\\d+)"`, "g");

/**
 * Returns the JSON of a value.
 *
 * @param {unknown} value
 * @returns {string}
 * @throws {TypeError} The value holds something that JSON cannot; the message says where.
 */
export function encode(value) {
  check(value, "value", new Set());
  const text = JSON.stringify(value, (_, part) =>
    typeof part === "bigint" ? `${MARK}${part}` : part,
  );
  return text.replace(MARKED, "$1");
}

/**
 * Returns the value of a JSON text.
 *
 * @param {string} text
 * @returns {any}
 */
export function decode(text) {
  const marked = text.replace(STRING_OR_NUMBER, (part) => {
    if (part.length < 16 || !/^-?\d+$/.test(part)) return part;
    return Number.isSafeInteger(Number(part)) ? part : JSON.stringify(`${MARK}${part}`);
  });
  if (marked === text) return JSON.parse(text);
  return JSON.parse(marked, (_, part) =>
    typeof part === "string" && part.startsWith(MARK) ? BigInt(part.slice(MARK.length)) : part,
  );
}

/**
 * @param {unknown} value
 * @param {string} place
 * @param {Set<object>} above
 */
function check(value, place, above) {
  if (value === null || ["string", "boolean", "bigint"].includes(typeof value)) return;
  if (typeof value === "number") {
    if (!Number.isFinite(value)) throw new TypeError(`${place} is ${value}, which JSON cannot hold`);
    if (Number.isInteger(value) && !Number.isSafeInteger(value) && Math.abs(value) < 1e21) {
      throw new TypeError(`${place} is ${value}, which may have lost digits: use a bigint`);
    }
    return;
  }
  if (typeof value !== "object") {
    throw new TypeError(`${place} is ${typeof value}, which JSON cannot hold`);
  }
  if (above.has(value)) throw new TypeError(`${place} contains itself`);
  const inside = new Set(above).add(value);
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) check(value[i], `${place}[${i}]`, inside);
    return;
  }
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) {
    const name = prototype.constructor?.name ?? "an object";
    throw new TypeError(`${place} is a ${name}, which JSON cannot hold: store a plain object`);
  }
  for (const [name, part] of Object.entries(value)) {
    if (part !== undefined) check(part, `${place}.${name}`, inside); // undefined is left out
  }
}
