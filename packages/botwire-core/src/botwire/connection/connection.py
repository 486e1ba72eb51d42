"""One place, with both clients for it."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self

from botwire.arguments import check_mapping
from botwire.client import AsyncMemory, Memory
from botwire.engines.gathering import GatheringEngine
from botwire.engines.opening import shared_async_engine, shared_engine, to_async, to_blocking
from botwire.engines.sqlite import SQLiteEngine
from botwire.errors import ConfigurationError
from botwire.operations import NOBODY, Author, read_author
from botwire.places import (
    DEFAULT_TIMEOUT,
    NAMESPACE_VARIABLE,
    Place,
    default_url,
    find_place,
    without_password,
)

_REMEMBERED = 10_000
_places: OrderedDict[tuple[str, str | None], Place] = OrderedDict()
"""Places by reference, with the secrets a reference leaves out. Never leaves this process."""
_places_lock = threading.RLock()


class Acting(NamedTuple):
    """What a framework is executing.

    Attributes:
        agent: The agent's name; None if the framework does not know it.
        run: The id of the run, session or job, a string or a `UUID`; None likewise.
    """

    agent: object = None
    run: object = None


class Connection:
    """A blocking and an asynchronous client for one namespace, each created on first use.

    A framework may call either half of its interface, from any thread and any event loop; neither
    half wraps the other. All connections to one place share their network connections within a
    process, so creating an object per session or request opens no new ones. Copies share the
    connection. A pickle contains a `reference`, never a secret.

    Args:
        namespace: The namespace. Defaults to the client's, then to ``BOTWIRE_NAMESPACE``, then to
            ``default``.
        client: A `Memory` or `AsyncMemory` to use. The other half then uses the same place.
        url: Where memory lives, as for `Memory`; not together with `client`.
        api_key: The API key for a server, as for `Memory`; not together with `client`.
        timeout: Seconds that a call to a server may take, retries included.
        author: Who writes, as for `Memory`. Default: the client's author.
        framework: The framework of the adapter that opens the connection. It is added to an author
            that names none.
        acting: Returns the agent and the run that the framework is executing, for frameworks that
            keep these in context variables. Called whenever a client is needed; see `during`.
        gather_reads: Send concurrent reads of several threads as one request; see
            `GatheringEngine`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    def __init__(
        self,
        namespace: str | None = None,
        *,
        client: Memory | AsyncMemory | None = None,
        url: str | None = None,
        api_key: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        author: Author | str | None = None,
        framework: str | None = None,
        acting: Callable[[], Acting] | None = None,
        gather_reads: bool = False,
    ) -> None:
        if client is not None and (url is not None or api_key is not None):
            raise ConfigurationError("client already has a place: give client, or url and api_key")
        if client is not None and not isinstance(client, (Memory, AsyncMemory)):
            raise ConfigurationError(
                f"client must be a botwire Memory or AsyncMemory, not {type(client).__name__}"
            )
        if namespace is None:
            namespace = client.namespace if client else os.environ.get(NAMESPACE_VARIABLE)
        self.namespace = "default" if namespace is None else namespace
        given = read_author(author)
        if given is None and client is not None:
            given = client.author
        self.author = (given or NOBODY).within(framework) or None
        self._lock = threading.RLock()
        self._url = url
        self._acting = acting
        self._origin = self  # holds the clients; another one if `during` made this connection
        self._gather_reads = gather_reads
        self._memory: Memory | None = None
        self._async_memory: AsyncMemory | None = None
        if client is None:
            self._place: Place | None = find_place(url, api_key, timeout)
            # Opened now, so that a wrong argument fails here and not in mid-conversation.
            self._memory = self._open()
        else:
            self._place = client.place
            again = client.with_namespace(self.namespace).by(self.author)
            if isinstance(again, Memory):
                self._memory = self._gathering(again)
            else:
                self._async_memory = again

    @property
    def url(self) -> str | None:
        """Where memory lives, with any password; None if the client was made with an engine."""
        return None if self._place is None else self._place.url

    @property
    def memory(self) -> Memory:
        """The blocking client, which writes as the current author; see `during`."""
        origin = self._origin
        with self._lock:
            if origin._memory is None:
                origin._memory = origin._open()
            memory = origin._memory
        author = self._author_now()
        return memory if author == memory.author else memory.by(author)

    @property
    def async_memory(self) -> AsyncMemory:
        """The asynchronous client, for any event loop, which writes as the current author."""
        origin = self._origin
        with self._lock:
            if origin._async_memory is None:
                origin._async_memory = origin._open_async()
            memory = origin._async_memory
        author = self._author_now()
        return memory if author == memory.author else memory.by(author)

    def _author_now(self) -> Author | None:
        return self.author if self._acting is None else self._during(*self._acting())

    def _during(self, agent: object, run: object) -> Author | None:
        return (self.author or NOBODY).during(agent=agent, run=run) or None

    def _open(self) -> Memory:
        if self._place is not None and self._place.shareable:
            engine = shared_engine(self._place)
        elif self._async_memory is not None:
            engine = to_blocking(self._async_memory.engine)
        else:
            return Memory(self.namespace, author=self.author, place=self._place)
        memory = Memory(self.namespace, author=self.author, place=self._place, engine=engine)
        return self._gathering(memory)

    def _gathering(self, memory: Memory) -> Memory:
        # Threads read a file in parallel, without a network to save requests on.
        if not self._gather_reads or isinstance(memory.engine, SQLiteEngine):
            return memory
        engine = GatheringEngine(memory.engine)
        return Memory(self.namespace, author=self.author, place=self._place, engine=engine)

    def _open_async(self) -> AsyncMemory:
        if self._place is not None and self._place.shareable:
            engine = shared_async_engine(self._place)
        else:
            assert self._memory is not None  # one of the two was made with this object
            engine = to_async(self._memory.engine)
        return AsyncMemory(self.namespace, author=self.author, place=self._place, engine=engine)

    def during(self, *, agent: object = None, run: object = None) -> Connection:
        """Returns this connection with clients that write as the given agent and run.

        For adapters whose framework reports the agent and the run it is executing. An agent or run
        set by the user's author takes precedence. A missing or invalid name is left out.

        Args:
            agent: See `Acting`.
            run: See `Acting`.
        """
        author = self._during(agent, run)
        if author == self.author:
            return self
        again = object.__new__(type(self))
        again.__dict__.update(self.__dict__)
        again.author = author
        again._acting = None
        return again

    def reference(self) -> dict[str, str]:
        """Returns a description of this place, without secrets, for `from_reference`.

        A URL that comes from the environment is left out; the reader takes it from its own.
        """
        reference = {"namespace": self.namespace}
        url = self._url or (self._place.url if self._place is not None else None)
        if url is not None and url != default_url():
            reference["url"] = without_password(url)
        if self._place is not None:
            _remember((self.namespace, reference.get("url")), self._place)
        return reference

    @classmethod
    def from_reference(
        cls,
        reference: Mapping[str, str | None],
        *,
        gather_reads: bool = False,
        author: Author | str | None = None,
    ) -> Self:
        """Returns a connection to the place that a reference describes.

        In the process that made the reference, the connection has the original API key, password
        and timeout: frameworks save and restore state between two steps of one process. In any
        other process these come from the environment.

        Args:
            reference: What `reference` returned.
            gather_reads: See the class.
            author: See the class.

        Raises:
            ConfigurationError: It is no reference, or the place is in-memory, so that it cannot be
                opened again.
        """
        if "namespace" not in check_mapping(reference, "reference"):
            raise ConfigurationError("this is no reference to a place: it has no 'namespace'")
        namespace, url = reference["namespace"], reference.get("url")
        place = _places.get((namespace or "", url)) or find_place(url)
        if not place.shareable:
            raise ConfigurationError(
                f"memory at {place.url!r} exists only in the objects that use it, so it cannot be "
                "opened again: use a file, sqlite:///path"
            )
        return cls(
            namespace,
            url=place.url,
            api_key=place.api_key,
            timeout=place.timeout,
            author=author,
            gather_reads=gather_reads,
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}(namespace={self.namespace!r})"

    def __copy__(self) -> Connection:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Connection:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self.reference(), self._gather_reads, self.author, self._acting)


def _restore(
    reference: dict[str, str],
    gather_reads: bool,
    author: Author | None = None,
    acting: Callable[[], Acting] | None = None,
) -> Connection:
    connection = Connection.from_reference(reference, gather_reads=gather_reads, author=author)
    connection._acting = acting
    return connection


def _remember(key: tuple[str, str | None], place: Place) -> None:
    with _places_lock:
        _places[key] = place
        _places.move_to_end(key)
        if len(_places) > _REMEMBERED:
            _places.popitem(last=False)
