"""The base of an adapter's classes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, Unpack

from botwire.connection.connection import Acting, Connection
from botwire.connection.options import ConnectionOptions, show_parameters, takes_connection


class _ClassArguments(NamedTuple):
    """The class arguments of a `Connected` class; None where neither it nor a base sets one."""

    framework: str | None = None
    shows: str | None = None
    acting: Callable[[], Acting] | None = None
    gather_reads: bool | None = None


class Connected:
    """The base of an adapter's classes. It takes the arguments that say where memory lives.

    Put it before the framework's own base::

        class BotWireStorage(Connected, Storage, framework="strands", shows="prefix"):
            def __init__(
                self,
                namespace: str | None = None,
                *,
                prefix: str = "strands/",
                **connection: Unpack[ConnectionOptions],
            ) -> None:
                super().__init__(namespace, **connection)
                self.prefix = check_key(prefix)

    A class without arguments of its own needs no constructor. The signature that `help` prints
    lists what ``**connection`` takes; `repr` shows the namespace and never a secret. If the
    framework's base has a constructor, call it by its name: ``Storage.__init__(self)``.

    Class arguments:
        framework: The name of the framework, recorded in the author of every write.
        shows: The names of further attributes that `repr` shows, separated by spaces.
        acting: See `Connection`.
        gather_reads: See `Connection`.

    Args:
        namespace: The namespace. Defaults to the client's, then to ``BOTWIRE_NAMESPACE``, then to
            ``default``.
        **connection: Where memory lives; see `ConnectionOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    connection: Connection
    _connected: ClassVar = _ClassArguments()

    def __init_subclass__(
        cls,
        *,
        framework: str | None = None,
        shows: str | None = None,
        acting: Callable[[], Acting] | None = None,
        gather_reads: bool | None = None,
        **others: Any,
    ) -> None:
        super().__init_subclass__(**others)
        given = _ClassArguments(framework, shows, acting, gather_reads)
        inherited = cls._connected
        cls._connected = _ClassArguments._make(
            old if new is None else new for new, old in zip(given, inherited, strict=True)
        )
        if "__init__" in vars(cls):
            parent = next(base for base in cls.__mro__[1:] if issubclass(base, Connected))
            known = inspect.signature(parent.__init__).parameters.values()
            names = [one.name for one in known if one.kind is one.KEYWORD_ONLY]
            show_parameters(cls.__init__, parent.__init__, names)

    @takes_connection
    def __init__(
        self, namespace: str | None = None, **connection: Unpack[ConnectionOptions]
    ) -> None:
        settings = self._connected
        self.connection = Connection(
            namespace,
            framework=settings.framework,
            acting=settings.acting,
            gather_reads=bool(settings.gather_reads),
            **connection,
        )

    def __repr__(self) -> str:
        shown = [f"namespace={self.connection.namespace!r}"]
        names = (self._connected.shows or "").split()
        shown += [f"{name.lstrip('_')}={getattr(self, name)!r}" for name in names]
        return f"{type(self).__name__}({', '.join(shown)})"
