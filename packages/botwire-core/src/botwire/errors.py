"""The errors that BotWire raises, and the problem types that stand for them over HTTP.

::

    BotWireError
    ├── ConfigurationError (also ValueError)    a wrong argument or setting, before any I/O
    │   ├── NotJSONError (also TypeError)       a value that JSON cannot hold, and where it is
    │   ├── TooComplexError                     an argument beyond the limits of one operation
    │   └── EmbedderMismatchError               the stored vectors come from another embedder
    ├── TransportError                          no answer came; names the URL
    │   └── RequestTimeoutError
    ├── ProtocolError                           an answer that is not from a BotWire server
    └── APIError                                .status .type .title .detail .request_id
        ├── InvalidRequestError                 400
        ├── AuthenticationError                 401
        ├── PermissionDeniedError               403
        ├── NotFoundError                       404
        ├── ConflictError                       409
        ├── PayloadTooLargeError                413
        ├── QuotaExceededError                  429, .retry_after
        └── ServerError                         5xx

Embedded engines raise the same classes that the client raises for a server's answers, so a program
handles errors the same way everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

PROBLEM_PREFIX = "urn:botwire:problem:"


class BotWireError(Exception):
    """The base class of all errors of BotWire."""


class ConfigurationError(BotWireError, ValueError):
    """An argument or a setting is wrong. Raised before any I/O."""


class NotJSONError(ConfigurationError, TypeError):
    """A value contains something that would not come back equal from JSON.

    Attributes:
        path: Where it is, as an expression, for example ``value['tags'][2]``.
    """

    def __init__(self, message: str, path: str = "value") -> None:
        super().__init__(message)
        self.path = path


class TooComplexError(ConfigurationError):
    """An argument exceeds a limit of one operation; the message names the limit.

    A server answers with status 422.
    """


class EmbedderMismatchError(ConfigurationError):
    """The stored vectors come from another embedder and cannot be compared with this one's.

    Nothing was written.
    """


class TransportError(BotWireError):
    """No answer came. A write may or may not have been applied, unless the message says so.

    Attributes:
        url: The server that was asked, without credentials.
    """

    def __init__(self, message: str, *, url: str) -> None:
        super().__init__(message)
        self.url = url

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_transport_error, (type(self), str(self), self.url)


class RequestTimeoutError(TransportError):
    """No answer came within the timeout."""


class ProtocolError(BotWireError):
    """Something answered that is not a BotWire server, or one of an unknown version."""


class APIError(BotWireError):
    """The operation was refused or failed, for a known reason.

    Attributes:
        status: The HTTP status code for this problem, on embedded engines too.
        type: The problem type (RFC 9457), for example ``urn:botwire:problem:conflict``.
        title: The problem type in words, the same each time.
        detail: What happened this time and what to do.
        request_id: The server's id of the request, if a server answered.
        retry_after: Seconds after which a retry makes sense, if known.
    """

    status: int = 500
    slug: ClassVar[str] = "error"
    title: str = "Error"

    def __init__(
        self,
        detail: str,
        *,
        status: int | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.request_id = request_id
        self.retry_after = retry_after
        if status is not None:
            self.status = status

    @property
    def type(self) -> str:
        """The problem type, a URI."""
        return PROBLEM_PREFIX + self.slug

    def to_problem(self) -> dict[str, Any]:
        """Returns the problem document (RFC 9457) for this error."""
        problem: dict[str, Any] = {
            "type": self.type,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.request_id is not None:
            problem["request_id"] = self.request_id
        if self.retry_after is not None:
            problem["retry_after"] = self.retry_after
        return problem

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_api_error, (
            type(self),
            self.detail,
            self.status,
            self.request_id,
            self.retry_after,
        )


class InvalidRequestError(APIError):
    """The request is malformed or asks for something impossible."""

    status = 400
    slug = "invalid-request"
    title = "The request is not valid"


class AuthenticationError(APIError):
    """The API key is missing or unknown."""

    status = 401
    slug = "unauthenticated"
    title = "A valid API key is needed"


class PermissionDeniedError(APIError):
    """The API key does not allow this."""

    status = 403
    slug = "permission-denied"
    title = "The API key does not allow this"


class NotFoundError(APIError):
    """Nothing exists under that name."""

    status = 404
    slug = "not-found"
    title = "Not found"


class ConflictError(APIError):
    """Someone else wrote first: a version or sequence number is not the expected one."""

    status = 409
    slug = "conflict"
    title = "The stored state is not the expected one"


class PayloadTooLargeError(APIError):
    """The request, or the answer it asks for, exceeds a size limit of the server."""

    status = 413
    slug = "payload-too-large"
    title = "The request is too large"


class QuotaExceededError(APIError):
    """A quota is used up. `retry_after` says when a retry makes sense."""

    status = 429
    slug = "quota-exceeded"
    title = "A quota is used up"


class ServerError(APIError):
    """The store failed. Acknowledged writes are safe."""

    status = 500
    slug = "server-error"
    title = "The store failed"


PROBLEM_TYPES: Mapping[str, type[APIError]] = {
    PROBLEM_PREFIX + cls.slug: cls
    for cls in (
        InvalidRequestError,
        AuthenticationError,
        PermissionDeniedError,
        NotFoundError,
        ConflictError,
        PayloadTooLargeError,
        QuotaExceededError,
        ServerError,
    )
}
"""The error class of each problem type, for client and server."""

_BY_STATUS: Mapping[int, type[APIError]] = {cls.status: cls for cls in PROBLEM_TYPES.values()}


def from_problem(
    problem: Mapping[str, Any], *, status: int, request_id: str | None = None
) -> APIError:
    """Returns the error that a problem document stands for.

    Args:
        problem: The decoded document. If its type is unknown, the status code decides.
        status: The HTTP status code of the answer.
        request_id: The server's id of the request.
    """
    cls = PROBLEM_TYPES.get(str(problem.get("type")))
    if cls is None:
        fallback = InvalidRequestError if 400 <= status < 500 else ServerError
        cls = _BY_STATUS.get(status, fallback)
    retry_after = problem.get("retry_after")
    return cls(
        str(problem.get("detail") or problem.get("title") or f"HTTP status {status}"),
        status=status,
        request_id=request_id or problem.get("request_id"),
        retry_after=retry_after if isinstance(retry_after, (int, float)) else None,
    )


def _rebuild_transport_error(cls: type[TransportError], message: str, url: str) -> TransportError:
    return cls(message, url=url)


def _rebuild_api_error(
    cls: type[APIError],
    detail: str,
    status: int,
    request_id: str | None,
    retry_after: float | None,
) -> APIError:
    return cls(detail, status=status, request_id=request_id, retry_after=retry_after)
