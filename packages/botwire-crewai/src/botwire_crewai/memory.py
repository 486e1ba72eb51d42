"""CrewAI's memory, ready to pass."""

from __future__ import annotations

import contextlib
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import crewai.memory
from crewai.crews.crew_output import CrewOutput
from pydantic import field_serializer

from botwire import AsyncMemory, ConfigurationError, Memory
from botwire.places import DEFAULT_TIMEOUT
from botwire_crewai.acting import remembering
from botwire_crewai.specs import SPEC_PREFIX
from botwire_crewai.storage import BotWireStorage
from botwire_crewai.tenancy import Namespace


class BotWireMemory(crewai.memory.Memory):  # type: ignore[misc]  # lazily loaded there
    """CrewAI's `Memory` on BotWire: ``Crew(memory=BotWireMemory("my-crew"))``.

    A dump to JSON holds a spec instead of the storage, a string without any secret, and
    `model_validate` finds the same records again. A process that ends waits for background saves,
    which CrewAI's own `Memory` silently drops.

    Args:
        namespace: A name, or a function or `ContextVar` that gives the name at each call. Defaults
            to the client's, then to ``BOTWIRE_NAMESPACE``, then to this project's own.
        client: BotWire's `Memory` or `AsyncMemory`, to use instead of `url` and `api_key`.
        url: Where memory lives, as for BotWire's `Memory`.
        api_key: The server's API key, as for BotWire's `Memory`.
        timeout: Seconds that a call to a server may take, retries included.
        strict: Whether `Crew.kickoff` raises the first failure of memory that CrewAI swallowed
            during it, once its tasks are done; the error's ``result`` is the crew's output.
            `recall` and `drain_writes` raise it too. Each failure is raised once.
        **fields: Fields of CrewAI's `Memory`, for example `llm` and `embedder`. `storage` is a
            `BotWireStorage` or its spec, and replaces the first four arguments.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    def __init__(
        self,
        namespace: Namespace | None = None,
        *,
        client: Memory | AsyncMemory | None = None,
        url: str | None = None,
        api_key: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        strict: bool = False,
        **fields: Any,
    ) -> None:
        storage = fields.pop("storage", None)
        if storage is not None and (namespace is not None or client is not None or url is not None):
            raise ConfigurationError(
                "storage says where memory lives: pass storage, or namespace and url"
            )
        options: dict[str, Any] = {"api_key": api_key, "timeout": timeout, "strict": strict}
        if isinstance(storage, str) and storage.startswith(SPEC_PREFIX):
            storage = BotWireStorage.from_spec(storage, **options)
        elif storage is None:
            storage = BotWireStorage(namespace, client=client, url=url, **options)
        elif not isinstance(storage, BotWireStorage):
            raise ConfigurationError(
                f"storage must be a BotWireStorage or a spec, not {storage!r:.80}"
            )
        super().__init__(storage=storage, **fields)
        _OPEN[id(self)] = self

    def health(self) -> None:
        """Raises an error if this memory does not work; see `BotWireStorage.health`.

        Raises:
            BotWireError: Memory cannot be reached or used.
        """
        self._kept.health()

    def drain_writes(self) -> None:
        """Waits for background saves, as a crew does when its tasks are done.

        Raises:
            BotWireError: With `strict`, the first failure that CrewAI swallowed.
        """
        super().drain_writes()
        self._raise_swallowed()

    def recall(self, *args: Any, **options: Any) -> list[Any]:
        """Like CrewAI's own method. With `strict`, a failed search raises an error."""
        found: list[Any] = self._asked(super().recall, *args, **options)
        self._raise_swallowed()
        return found

    # An error raised to the caller was not swallowed, so no kickoff raises it again.

    def remember(self, *args: Any, **options: Any) -> Any:
        """Like CrewAI's own method."""
        with remembering(options.get("agent_role")):
            return self._asked(super().remember, *args, **options)

    def remember_many(self, *args: Any, **options: Any) -> Any:
        """Like CrewAI's own method."""
        with remembering(options.get("agent_role")):
            return super().remember_many(*args, **options)

    def forget(self, *args: Any, **options: Any) -> int:
        """Like CrewAI's own method."""
        count: int = self._asked(super().forget, *args, **options)
        return count

    def update(self, *args: Any, **options: Any) -> Any:
        """Like CrewAI's own method."""
        return self._asked(super().update, *args, **options)

    def reset(self, *args: Any, **options: Any) -> None:
        """Like CrewAI's own method."""
        self._asked(super().reset, *args, **options)

    def _asked(self, ask: Callable[..., Any], *args: Any, **options: Any) -> Any:
        try:
            return ask(*args, **options)
        except Exception:
            self._kept.take_swallowed()
            raise

    def _raise_swallowed(self) -> None:
        error = self._kept.take_swallowed()
        # A crew whose task failed waits for memory too, and raises its own error.
        if error is not None and not _is_crew_failing():
            error.result = _result_of_kickoff()  # type: ignore[attr-defined]
            raise error

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> BotWireMemory:
        # CrewAI's own copy fails before Python 3.13, which cannot copy locks. This copy saves
        # through the same thread, so neither loses a save that has begun.
        copy: BotWireMemory = self.model_copy()
        _OPEN[id(copy)] = copy
        return copy

    @property
    def _kept(self) -> BotWireStorage:
        storage: BotWireStorage = self._storage
        return storage

    # Only in JSON: `Agent.copy` builds a memory from the other kind of dump, storage included.
    @field_serializer("storage", when_used="json")
    def _dump_storage(self, storage: Any) -> Any:
        return storage.spec if isinstance(storage, BotWireStorage) else storage


def _is_crew_failing() -> bool:
    """Returns whether an exception is propagating through CrewAI.

    An exception that the caller is handling does not count: a crew may run in an `except` block.
    """
    error = sys.exc_info()[1]
    trace = None if error is None else error.__traceback__
    if trace is None:
        return False
    # A traceback begins with the frame in which the exception is handled.
    module = str(trace.tb_frame.f_globals.get("__name__"))
    return module.partition(".")[0] == "crewai"


def _result_of_kickoff() -> Any:
    """Returns the output of the crew that is waiting for its memory, or None.

    CrewAI waits after the tasks are done and before it returns their output. The caller has paid
    for that output and would lose it, and CrewAI offers no public way to reach it.
    """
    frame = sys._getframe(1)  # noqa: SLF001
    while frame is not None:
        output = frame.f_locals.get("crew_output")
        if isinstance(output, CrewOutput):
            return output
        frame = frame.f_back  # type: ignore[assignment]
    return None


_OPEN: weakref.WeakValueDictionary[int, BotWireMemory] = weakref.WeakValueDictionary()


def _finish_saving() -> None:
    for memory in list(_OPEN.values()):
        with contextlib.suppress(Exception):  # failures were logged, and the exit continues
            crewai.memory.Memory.drain_writes(memory)


# CrewAI saves in thread pools, which accept no work once the interpreter waits for its threads.
# Functions of `atexit` run after that; only these, which have no public name, run before.
getattr(threading, "_register_atexit", lambda finish: None)(_finish_saving)
