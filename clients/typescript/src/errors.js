// What can go wrong.
//
// BotWireError
// ├── TransportError           no answer came from the server
// └── APIError                 the server refused, or failed
//     ├── AuthenticationError    401
//     ├── PermissionDeniedError  403
//     ├── NotFoundError          404
//     ├── ConflictError          409, 412: someone else wrote first
//     ├── PayloadTooLargeError   413
//     ├── QuotaExceededError     413, 429
//     ├── InvalidRequestError    the other 4xx
//     └── ServerError            5xx

/** Every error of this package, but for a TypeError about what JSON cannot hold. */
export class BotWireError extends Error {
  /**
   * @param {string} message
   * @param {ErrorOptions} [options]
   */
  constructor(message, options) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** No answer came from the server. */
export class TransportError extends BotWireError {}

/** The server refused, or failed. */
export class APIError extends BotWireError {
  /** @param {import("./generated.js").Problem} problem */
  constructor(problem) {
    super(problem.detail);
    /** The HTTP status. */
    this.status = problem.status;
    /** The kind of problem, a URI. */
    this.type = problem.type;
    /** The id of the request in the server's log, if it is known. */
    this.requestId = problem.request_id;
    /** Seconds after which a retry makes sense, if they are known. */
    this.retryAfter = problem.retry_after;
  }
}

/** A valid API key is needed. */
export class AuthenticationError extends APIError {}
/** The API key does not allow this. */
export class PermissionDeniedError extends APIError {}
/** Nothing has this name. */
export class NotFoundError extends APIError {}
/** Someone else wrote first: read again and retry. */
export class ConflictError extends APIError {}
/** The request or its answer is too large. */
export class PayloadTooLargeError extends APIError {}
/** A quota is used up, or requests came too fast. */
export class QuotaExceededError extends APIError {}
/** The request is wrong; the message says what and where. */
export class InvalidRequestError extends APIError {}
/** The store failed, or is unavailable. */
export class ServerError extends APIError {}

/** @type {Record<string, typeof APIError>} */
const BY_KIND = {
  unauthenticated: AuthenticationError,
  "permission-denied": PermissionDeniedError,
  "not-found": NotFoundError,
  conflict: ConflictError,
  "payload-too-large": PayloadTooLargeError,
  "quota-exceeded": QuotaExceededError,
  "server-error": ServerError,
};

/**
 * Returns the error that a problem document describes.
 *
 * @param {import("./generated.js").Problem} problem
 */
export function errorOf(problem) {
  const kind = BY_KIND[problem.type.split(":").at(-1) ?? ""];
  return new (kind ?? (problem.status >= 500 ? ServerError : InvalidRequestError))(problem);
}
