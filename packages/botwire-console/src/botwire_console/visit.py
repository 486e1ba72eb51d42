"""One request: its sender, its parameters, and the memory that the sender may use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from starlette.responses import Response
from starlette.types import Receive, Scope

from botwire import AsyncMemory, Author
from botwire import operations as ops
from botwire.embedders import Embedder
from botwire.engines.protocol import AsyncEngine
from botwire.errors import InvalidRequestError, PermissionDeniedError
from botwire.mounts import Host
from botwire.names import SYSTEM_NAMESPACE, check_namespace, decode_part
from botwire_console import rendering
from botwire_console.links import link
from botwire_server import bodies
from botwire_server.administration import Administration
from botwire_server.auth import Caller
from botwire_server.request_work import by_turns
from botwire_server.scopes import CALLER, HEADERS

T = TypeVar("T")

AUTHOR = Author(agent="console")
"""The author of everything written in the console; the server adds the API key."""


@dataclass(frozen=True)
class Recipe:
    """How a program can do what a view does.

    Attributes:
        curl: The command line.
        python: The lines of Python.
    """

    curl: str
    python: str


class Visit:
    """A request to the console, from a known caller.

    Args:
        host: The server.
        scope: The scope of the request.
        receive: Receives its body.
    """

    def __init__(self, host: Host, scope: Scope, receive: Receive) -> None:
        self._host = host
        self.scope = scope
        self._receive = receive
        self.caller: Caller = scope[CALLER]
        self.query = dict(_decoded(*pair) for pair in _pairs(scope["query_string"]))

    # --- what is asked for ------------------------------------------------------------------

    @property
    def is_partial(self) -> bool:
        """Whether htmx asks for a part of a page."""
        return b"hx-request" in self.scope[HEADERS]

    @property
    def namespace(self) -> str:
        """The namespace that the address names."""
        return check_namespace(self.need("ns"))

    def need(self, name: str) -> str:
        """Returns a required parameter."""
        if not (value := self.query.get(name)):
            raise InvalidRequestError(f"the address lacks {name!r}: follow a link of the console")
        return value

    def number(self, name: str) -> int | None:
        """Returns a numeric parameter; None if it is missing."""
        return whole(self.query.get(name, ""), name)

    async def form(self) -> dict[str, str]:
        """Returns the fields of the submitted form; of a repeated field, the last value."""
        return dict(await self.fields())

    async def fields(self) -> list[tuple[str, str]]:
        """Returns the fields of the submitted form, repeated ones included."""
        return _pairs(await bodies.read(self._receive))

    @property
    def origin(self) -> str:
        """The server's own address, as the visitor sees it."""
        host = self.scope[HEADERS].get(b"host", b"localhost").decode("latin-1")
        return f"{self.scope['scheme']}://{host}"

    # --- what the visitor may do ------------------------------------------------------------

    def may(self, right: str, namespace: str | None = None) -> bool:
        """Returns whether the visitor has a right in a namespace; None: in all of them."""
        return self.caller.key is None or self.caller.key.may(right, namespace)

    def require(self, right: str, namespace: str | None = None) -> None:
        """Raises `PermissionDeniedError` unless the visitor has a right.

        Args:
            right: ``read``, ``write`` or ``admin``.
            namespace: Where; None: in all namespaces.
        """
        if not self.may(right, namespace):
            where = "all namespaces" if namespace is None else "this namespace"
            raise PermissionDeniedError(
                f"this view needs an API key with the right to {right} in {where}"
            )

    @property
    def administration(self) -> Administration:
        """The administration of the server, for administrators of all namespaces."""
        self.require("admin")
        return Administration(self.scope)

    @property
    def engine(self) -> AsyncEngine:
        """The store, with the visitor's rights, quotas and limits."""
        return self._host.engine_for(self.scope)

    @property
    def patterns(self) -> tuple[str, ...]:
        """The patterns of the namespaces that the visitor may read."""
        return ("*",) if self.caller.key is None else self.caller.key.namespaces

    # --- memory -----------------------------------------------------------------------------

    def memory(self, namespace: str, embedder: Embedder | None = None) -> AsyncMemory:
        """Returns a namespace with the visitor's rights, quotas and limits."""
        return AsyncMemory(namespace, engine=self.engine, author=AUTHOR, embed=embedder)

    async def apply(self, namespace: str, operation: ops.Operation[T]) -> T:
        """Applies an operation as the visitor."""
        result: T
        (result,) = await self.apply_all(namespace, operation)
        return result

    async def apply_all(self, namespace: str, *operations: ops.AnyOperation) -> ops.Results:
        """Applies operations as one transaction, as the visitor."""
        batch = ops.Batch(namespace, operations)
        if batch.writes:
            batch = batch.by(AUTHOR)
        return await self.engine.apply(batch)

    async def apply_to_store(self, operation: ops.Operation[T]) -> T:
        """Applies an operation on the whole store, as the visitor."""
        return await self.apply(SYSTEM_NAMESPACE, operation)

    # --- answers ----------------------------------------------------------------------------

    async def page(
        self, template: str, *, status: int = 200, recipe: Recipe | None = None, **context: Any
    ) -> Response:
        """Returns a page; large ones are rendered in a thread.

        Args:
            template: The template.
            status: The status of the answer.
            recipe: The same in the shell and in Python.
            context: What the template shows.
        """
        namespace = context.setdefault("ns", None)
        shared = {
            "visit": self,
            "recipe": recipe,
            "may_write": namespace is not None and self.may("write", namespace),
            "may_all": self.may("admin"),
        }
        text = await self.work(lambda: rendering.render(template, **shared, **context))
        return rendering.html(text, status)

    async def work(self, call: Callable[[], T]) -> T:
        """Runs a slow function in a thread, when it is the visitor's turn."""
        return await by_turns(self.scope, call)

    def go(self, view: str, **names: object) -> Response:
        """Returns a redirect to another view."""
        headers = {**rendering.HEADERS, "Location": link(view, **names)}
        return Response(status_code=303, headers=headers)


def whole(text: str, name: str, most: int = 2**63 - 1) -> int | None:
    """Returns the number that a field holds; None if it is empty."""
    if not text.strip():
        return None
    if not (text.strip().isascii() and text.strip().isdecimal() and len(text) <= 19):
        raise InvalidRequestError(f"{name} must be a whole number, not {text!r:.40}")
    return min(int(text), most)


def _decoded(name: str, value: str) -> tuple[str, str]:
    """Returns a parameter; one that a form had to encode begins with ``~``."""
    if name.startswith("~"):
        return name[1:], decode_part(value)
    return name, value


def _pairs(raw: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            raw.decode("ascii"),
            keep_blank_values=True,
            errors="surrogatepass",
            max_num_fields=10_000,
        )
    except ValueError:
        raise InvalidRequestError("the address or the form is not UTF-8") from None
