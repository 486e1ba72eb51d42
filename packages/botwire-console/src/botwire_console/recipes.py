"""The command line and the Python line that do the same as a view."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botwire_console.links import encoded

if TYPE_CHECKING:  # `visit` needs what is here
    from botwire_console.visit import Visit


@dataclass(frozen=True)
class Recipe:
    """How a program gets what a view shows.

    Attributes:
        curl: The command line.
        python: The lines of Python.
    """

    curl: str
    python: str


def recipe(visit: Visit, namespace: str, path: str, call: str) -> Recipe:
    """Returns the recipe of a request.

    Args:
        visit: The request.
        namespace: The namespace of ``memory``.
        path: The path and the query of the request, encoded.
        call: The Python expression, with ``memory``.
    """
    python = [
        "from botwire import Memory",
        "",
        f"memory = Memory({namespace!r}, url={visit.origin!r})",
        call,
    ]
    curl = _curl(visit.origin + path, needs_key=visit.caller.key is not None)
    return Recipe(curl, "\n".join(python))


def store_recipe(visit: Visit, path: str, operation: str) -> Recipe:
    """Returns the recipe of an operation about the whole store.

    Args:
        visit: The request.
        path: The path of the request.
        operation: The Python expression that makes the operation.
    """
    python = [
        "from botwire import operations as ops",
        "from botwire.engines.opening import open_engine",
        "from botwire.names import SYSTEM_NAMESPACE",
        "from botwire.places import find_place",
        "",
        f"engine = open_engine(find_place({visit.origin!r}))",
        f"(result,) = engine.apply(ops.Batch(SYSTEM_NAMESPACE, (ops.{operation},)))",
    ]
    curl = _curl(visit.origin + path, needs_key=visit.caller.key is not None)
    return Recipe(curl, "\n".join(python))


def _curl(url: str, *, needs_key: bool) -> str:
    header = '-H "Authorization: Bearer $BOTWIRE_API_KEY" ' if needs_key else ""
    return f"curl {header}{shlex.quote(url)}"


def address(*segments: str, **query: object) -> str:
    """Returns the path of a request below a namespace, which is the first segment."""
    path = "/v1/namespaces/" + "/".join(map(encoded, segments))
    given = [f"{name}={encoded(str(value))}" for name, value in query.items() if value != ""]
    return f"{path}?{'&'.join(given)}" if given else path
