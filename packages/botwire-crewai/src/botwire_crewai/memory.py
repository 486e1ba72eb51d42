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
from botwire_crewai.specs import SPEC_PREFIX
from botwire_crewai.storage import BotWireStorage
from botwire_crewai.tenancy import Namespace


class BotWireMemory(crewai.memory.Memory):  # type: ignore[misc]  # lazily loaded there
    """CrewAI's `Memory` on BotWire: ``Crew(memory=BotWireMemory("my-crew"))``.

    A dump to JSON holds a spec in the place of the storage, a string without any secret, and
    `model_validate` finds the same records again. What is still being saved in the background when
    the process ends is waited for; CrewAI's own `Memory` loses it without a word.

    Args:
        namespace: Whose records: a name, or a function or `ContextVar` that says it at each call.
            Unset: the client's, else ``BOTWIRE_NAMESPACE``, else one of this project's own.
        client: A `Memory` or `AsyncMemory` of BotWire to use.
        url: Where memory lives, as for BotWire's `Memory`.
        api_key: For a server, as for BotWire's `Memory`.
        timeout: Seconds that a call to a server may take in all.
        strict: `Crew.kickoff` raises the first failure of memory that CrewAI swallowed in it, when
            its tasks are done; the error's ``result`` is the crew's output. So do `recall` and
            `drain_writes`. A failure is raised once.
        **fields: Those of CrewAI's `Memory`, for example `llm` and `embedder`; `storage` is a
            `BotWireStorage` or its spec, in the place of the first four.

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
            raise ConfigurationError("a storage knows its place: give it, or namespace and url")
        options: dict[str, Any] = {"api_key": api_key, "timeout": timeout, "strict": strict}
        if isinstance(storage, str) and storage.startswith(SPEC_PREFIX):
            storage = BotWireStorage.from_spec(storage, **options)
        elif storage is None:
            storage = BotWireStorage(namespace, client=client, url=url, **options)
        elif not isinstance(storage, BotWireStorage):
            raise ConfigurationError(f"storage is a BotWireStorage or a spec, not {storage!r:.80}")
        super().__init__(storage=storage, **fields)
        _OPEN[id(self)] = self

    def health(self) -> None:
        """Raises what makes this memory fail, if anything; see `BotWireStorage.health`.

        Raises:
            BotWireError: Memory cannot be reached, or not be used.
        """
        self._kept.health()

    def drain_writes(self) -> None:
        """Waits for what is saved in the background; a crew does so when its tasks are done.

        Raises:
            BotWireError: With `strict`, the first failure that CrewAI swallowed.
        """
        super().drain_writes()
        self._raise_swallowed()

    def recall(self, *args: Any, **options: Any) -> list[Any]:
        """As CrewAI's; with `strict` it does not take a failed search for an empty memory."""
        found: list[Any] = self._asked(super().recall, *args, **options)
        self._raise_swallowed()
        return found

    # What is raised to the caller was not swallowed, and no kickoff raises it again.

    def remember(self, *args: Any, **options: Any) -> Any:
        """As CrewAI's."""
        return self._asked(super().remember, *args, **options)

    def forget(self, *args: Any, **options: Any) -> int:
        """As CrewAI's."""
        count: int = self._asked(super().forget, *args, **options)
        return count

    def update(self, *args: Any, **options: Any) -> Any:
        """As CrewAI's."""
        return self._asked(super().update, *args, **options)

    def reset(self, *args: Any, **options: Any) -> None:
        """As CrewAI's."""
        self._asked(super().reset, *args, **options)

    def _asked(self, ask: Callable[..., Any], *args: Any, **options: Any) -> Any:
        try:
            return ask(*args, **options)
        except Exception:
            self._kept.take_swallowed()
            raise

    def _raise_swallowed(self) -> None:
        error = self._kept.take_swallowed()
        # A crew whose task failed waits for memory too, and tells its own error.
        if error is not None and not _is_crew_failing():
            error.result = _result_of_kickoff()  # type: ignore[attr-defined]
            raise error

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> BotWireMemory:
        # CrewAI's own fails before Python 3.13, where a lock is of no class. This one saves through
        # the same thread, and so nothing that was begun is lost with either.
        copy: BotWireMemory = self.model_copy()
        _OPEN[id(copy)] = copy
        return copy

    @property
    def _kept(self) -> BotWireStorage:
        storage: BotWireStorage = self._storage
        return storage

    # Only in JSON: `Agent.copy` makes a memory of the other dump, and must find the storage there.
    @field_serializer("storage", when_used="json")
    def _dump_storage(self, storage: Any) -> Any:
        return storage.spec if isinstance(storage, BotWireStorage) else storage


def _is_crew_failing() -> bool:
    """Says whether an exception is on its way through CrewAI.

    One that a caller handles does not count: a crew started in an `except` block is told too.
    """
    error = sys.exc_info()[1]
    trace = None if error is None else error.__traceback__
    if trace is None:
        return False
    # A traceback begins with the frame in which the exception is handled.
    module = str(trace.tb_frame.f_globals.get("__name__"))
    return module.partition(".")[0] == "crewai"


def _result_of_kickoff() -> Any:
    """Returns the output of the crew that waits for its memory, or None.

    CrewAI waits when the tasks are done and before it returns their output, which the caller has
    paid for and would not get; there is no public way to it.
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
        with contextlib.suppress(Exception):  # an exit goes on; what failed was logged
            crewai.memory.Memory.drain_writes(memory)


# CrewAI saves in thread pools, which take nothing more once the interpreter waits for its threads;
# functions of `atexit` come after that, and only these before. There is no public name for it.
getattr(threading, "_register_atexit", lambda finish: None)(_finish_saving)
