"""The namespace of a call: always the same one, or one per tenant."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Unpack

from botwire import ConfigurationError
from botwire.connection import Connection, ConnectionOptions, takes_connection
from botwire_crewai.acting import acting
from botwire_crewai.project import default_namespace

Namespace = str | Callable[[], str] | ContextVar[str]
"""A name, or a source of the name for each call, so that one process can serve many tenants."""

_REMEMBERED = 1000  # tenants


class Tenancy:
    """Holds the connection to the current namespace.

    Args:
        namespace: A name, or a function or `ContextVar` that gives the name at each call. Defaults
            to the client's, then to ``BOTWIRE_NAMESPACE``, then to this project's own.
        gather_reads: As for `Connection`.
        **connection: Where memory lives; see `ConnectionOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    @takes_connection
    def __init__(
        self,
        namespace: Namespace | None = None,
        *,
        gather_reads: bool = False,
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        self._chooser: Callable[[], str] | ContextVar[str] | None = None
        name: str | None
        if isinstance(namespace, ContextVar) or callable(namespace):
            self._chooser, name = namespace, None
        else:
            name = namespace
        if name is None and connection.get("client") is None:
            name = default_namespace()
        self._gather_reads = gather_reads
        self._first = Connection(
            name,
            framework="crewai",
            acting=acting,
            **connection,
            gather_reads=gather_reads,
        )
        self._prepare()

    def _prepare(self) -> None:
        self._lock = threading.Lock()
        self._others: OrderedDict[str, Connection] = OrderedDict()

    def reference(self) -> dict[str, str]:
        """Returns a reference to the place and the first namespace, without any secret."""
        return self._first.reference()

    @property
    def label(self) -> str:
        """The namespace's name in messages."""
        return self._first.namespace if self._chooser is None else "of each tenant"

    @property
    def is_fixed(self) -> bool:
        """Whether there is only one namespace."""
        return self._chooser is None

    @property
    def connection(self) -> Connection:
        """The connection to the current namespace.

        Raises:
            ConfigurationError: The namespace is not set here, or is not a valid name.
        """
        if self._chooser is None:
            return self._first
        name = self._choose(self._chooser)
        with self._lock:
            found = self._others.get(name) if isinstance(name, str) else None
            if found is None:
                found = Connection(
                    name,
                    framework="crewai",
                    acting=acting,
                    client=self._first.memory,
                    author=self._first.author,
                    gather_reads=self._gather_reads,
                )
                self._others[name] = found
                if len(self._others) > _REMEMBERED:
                    self._others.popitem(last=False)
            self._others.move_to_end(name)
            return found

    @staticmethod
    def _choose(chooser: Callable[[], str] | ContextVar[str]) -> str:
        if not isinstance(chooser, ContextVar):
            name: Any = chooser()
        else:
            try:
                name = chooser.get()
            except LookupError:
                raise ConfigurationError(
                    f"the context variable {chooser.name!r} names the namespace, but is not set: "
                    "set it before the crew runs"
                ) from None
        if not isinstance(name, str):  # above all None, which must not mean the default
            raise ConfigurationError(f"a namespace must be a string, not {type(name).__name__}")
        return name

    # Copies share the connection. A pickle holds no secret, like that of a `Connection`.

    def __copy__(self) -> Tenancy:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Tenancy:
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {n: v for n, v in self.__dict__.items() if n not in ("_lock", "_others")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._prepare()
