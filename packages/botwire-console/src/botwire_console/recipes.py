"""Recipes: the shell command and the Python code that do the same as a view."""

from __future__ import annotations

import shlex

from botwire import operations as ops
from botwire import wire
from botwire.names import SYSTEM_NAMESPACE
from botwire_console.links import encoded
from botwire_console.visit import Recipe, Visit


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


def batch_recipe(visit: Visit, namespace: str, operation: ops.AnyOperation, text: str) -> Recipe:
    """Returns the recipe of an operation that has no route of its own.

    Args:
        visit: The request.
        namespace: The namespace to apply it in.
        operation: The operation.
        text: The Python expression that makes it, with ``ops``.
    """
    body = wire.encode_batch(ops.Batch(namespace, (operation,)))
    curl = _curl(visit.origin + wire.BATCH_PATH, needs_key=visit.caller.key is not None)
    curl += f" -H 'Content-Type: application/json' -d {shlex.quote(body)}"
    return Recipe(curl, _applied(visit, namespace, text))


def _applied(visit: Visit, namespace: str, text: str) -> str:
    python = [
        "from botwire import operations as ops",
        "from botwire.engines.opening import open_engine",
        "from botwire.places import find_place",
        "",
        f"engine = open_engine(find_place({visit.origin!r}))",
        f"(result,) = engine.apply(ops.Batch({namespace!r}, ({text},)))",
        "print(result)",
    ]
    return "\n".join(python)


def store_recipe(visit: Visit, path: str, operation: str) -> Recipe:
    """Returns the recipe of an operation on the whole store.

    Args:
        visit: The request.
        path: The path of the request.
        operation: The Python expression that makes the operation.
    """
    curl = _curl(visit.origin + path, needs_key=visit.caller.key is not None)
    return Recipe(curl, _applied(visit, SYSTEM_NAMESPACE, f"ops.{operation}"))


def server_recipe(visit: Visit, path: str) -> Recipe:
    """Returns the recipe of a request to the server that does not concern memory.

    Args:
        visit: The request.
        path: The path of the request.
    """
    url, needs_key = visit.origin + path, visit.caller.key is not None
    python = ["from urllib.request import Request, urlopen", ""]
    headers = ""
    if needs_key:
        python[0] = f"import os\n{python[0]}"
        headers = ", headers={'Authorization': 'Bearer ' + os.environ['BOTWIRE_API_KEY']}"
    python.append(f"print(urlopen(Request({url!r}{headers})).read().decode())")
    return Recipe(_curl(url, needs_key=needs_key), "\n".join(python))


def _curl(url: str, *, needs_key: bool) -> str:
    header = '-H "Authorization: Bearer $BOTWIRE_API_KEY" ' if needs_key else ""
    return f"curl {header}{shlex.quote(url)}"


def address(*segments: str, **query: object) -> str:
    """Returns the path of a request below a namespace."""
    path = "/v1/namespaces/" + "/".join(map(encoded, segments))
    given = [f"{name}={encoded(str(value))}" for name, value in query.items() if value != ""]
    return f"{path}?{'&'.join(given)}" if given else path
