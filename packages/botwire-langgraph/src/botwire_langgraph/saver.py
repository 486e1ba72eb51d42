"""The checkpointer: stores threads of a graph, which any process can continue."""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, Unpack, get_args

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

from botwire import BotWireError
from botwire.arguments import check_type
from botwire.client.encoding import encode_list
from botwire.connection import Connected, Connection, ConnectionOptions
from botwire.operations import check_choice, check_count, check_ttl
from botwire_langgraph import finding, importing, leases, pruning, putting, reading
from botwire_langgraph.acting import acting_in
from botwire_langgraph.convoy import Convoy
from botwire_langgraph.cut_off import close_calls
from botwire_langgraph.lease_renewal import renewer
from botwire_langgraph.leases import Lease, OnConflict
from botwire_langgraph.opening import Opened
from botwire_langgraph.pruning import ThreadInfo
from botwire_langgraph.records import Thread, thread_id_of
from botwire_langgraph.running import BatchProgram, arun, run
from botwire_langgraph.runs import Run, RunCaller, putting_loop, unwind_fully
from botwire_langgraph.schemas import allow
from botwire_langgraph.serializer import read_serde
from botwire_langgraph.thread_cache import ThreadCache

logger = logging.getLogger("botwire.langgraph")

T = TypeVar("T")
list_ = list  # a method below hides the built-in name


class BotWireSaver(Connected, BaseCheckpointSaver[str], framework="langgraph"):
    """A checkpointer on BotWire, blocking and asynchronous in one.

    Pass it as ``checkpointer=`` to `create_agent` or to `StateGraph.compile`. A put takes one
    request, and reading the latest checkpoint takes two.

    Stored data is never executed, and pickle is never used. Only LangGraph's safe types, the data
    classes that the graph's schema names, and `allowed_types` are restored as objects; other
    classes come back as plain data.

    Args:
        namespace: The namespace of the threads. Defaults to the client's, then to
            ``BOTWIRE_NAMESPACE``, then to ``default``.
        serde: A serializer to use instead of the strict one.
        allowed_types: Your own classes that may be restored from stored data.
        on_conflict: What happens when a run begins while another run is active on its thread.
            ``reject``: the new run gets a `ConcurrentRunError` before it begins. ``wait``: it
            begins when the other run ends. ``fork``: both run, the thread continues from the later
            one, and the other's work remains only in the thread's past. LangGraph's own savers do
            this silently. With ``reject`` and ``wait``, a turn that returned is never lost.
        lease: Seconds for which a run holds its thread after its process was killed. A live run
            holds the thread however long it takes, and releases it however it ends. 0: runs hold
            no thread, and a run is refused if another wrote first.
        **connection: Where memory lives; see `ConnectionOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    def __init__(
        self,
        namespace: str | None = None,
        *,
        serde: SerializerProtocol | None = None,
        allowed_types: Collection[type] = (),
        on_conflict: OnConflict = "reject",
        lease: float = 2.0,
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        check_choice(on_conflict, get_args(OnConflict), "on_conflict")
        BaseCheckpointSaver.__init__(self, serde=read_serde(serde, allowed_types))
        super().__init__(namespace, **connection)
        if lease != 0:
            check_ttl(lease, "lease")
        self._fork = on_conflict == "fork"
        self._waits = on_conflict == "wait"
        self._lease = 0 if self._fork else lease
        self._seen = ThreadCache()
        self._convoy = Convoy()

    @classmethod
    def from_conn_string(cls, conn_string: str, **kwargs: Any) -> Opened[BotWireSaver]:
        """Returns a saver for ``with`` and ``async with``, as LangGraph's own are opened.

        Args:
            conn_string: Where memory lives, a URL.
            **kwargs: The other arguments of the class.
        """
        return Opened(cls(url=conn_string, **kwargs))

    def setup(self) -> None:
        """Does nothing, as the store creates its tables; other savers need this call."""

    async def asetup(self) -> None:
        """Like `setup`."""

    # --- reading ----------------------------------------------------------------------------

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Returns the checkpoint that a config names, or the thread's latest; None if missing."""
        caller = self._caller()
        lease = self._lease_for(caller, config)
        if lease is not None:
            caller.loop.stack.callback(self._end, lease)
            renewer.keep(lease, self.connection)
        found = self._run(reading.get_tuple(self.serde, self._seen, config, caller.loop, lease))
        return close_calls(found, caller.loop)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Like `get_tuple`."""
        caller = self._caller()
        lease = self._lease_for(caller, config)
        if lease is not None:
            caller.loop.stack.push_async_callback(self._aend, lease)
            unwind_fully(caller.loop.stack)
            renewer.keep(lease, self.connection)
        program = reading.get_tuple(self.serde, self._seen, config, caller.loop, lease)
        return close_calls(await self._arun(program), caller.loop)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - named by LangGraph
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Yields checkpoints, newest first, reading pages as needed.

        Args:
            config: The thread, namespace and checkpoint; None means all.
            filter: Metadata fields that they must have.
            before: Only checkpoints older than this one.
            limit: The most checkpoints to yield.
        """
        caller = self._caller()
        last: str | None = None
        left = finding.Limit(limit)
        while left:
            page = finding.list_page(self.serde, config, filter, before, last, left.page(filter))
            headers, last = self._run(page)
            for found in self._run(reading.load_tuples(self.serde, left.take(headers))):
                self._leave_from(caller, found)
                yield found
            if last is None:
                return

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - named by LangGraph
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Like `list`."""
        caller = self._caller()
        last: str | None = None
        left = finding.Limit(limit)
        while left:
            page = finding.list_page(self.serde, config, filter, before, last, left.page(filter))
            headers, last = await self._arun(page)
            for found in await self._arun(reading.load_tuples(self.serde, left.take(headers))):
                self._leave_from(caller, found)
                yield found
            if last is None:
                return

    # --- writing ----------------------------------------------------------------------------

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Stores a checkpoint and its new channel values atomically."""
        thread = Thread.of(config)
        program = self._put(config, checkpoint, metadata, new_versions, putting_loop())
        return run(self._during(config), self._convoy.lead(thread.id, program))

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Like `put`."""
        thread = Thread.of(config)
        program = self._put(config, checkpoint, metadata, new_versions, putting_loop())
        return await arun(self._during(config), self._convoy.lead(thread.id, program))

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Stores what a task wrote, atomically and idempotently."""
        thread = Thread.of(config)
        program = self._put_writes(config, writes, task_id, task_path)
        self._convoy.follow(self._during(config), thread.id, program)

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Like `put_writes`."""
        thread = Thread.of(config)
        program = self._put_writes(config, writes, task_id, task_path)
        await self._convoy.afollow(self._during(config), thread.id, program)

    def delete_thread(self, thread_id: str) -> None:
        """Deletes all data of a thread; a run still active on it gets a `ConflictError`."""
        self._run(putting.delete_thread(thread_id))

    async def adelete_thread(self, thread_id: str) -> None:
        """Like `delete_thread`."""
        await self._arun(putting.delete_thread(thread_id))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Deletes the checkpoints that these runs made, in any thread."""
        self._run(pruning.delete_for_runs(self.serde, run_ids))

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Like `delete_for_runs`."""
        await self._arun(pruning.delete_for_runs(self.serde, run_ids))

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Replaces a thread with a copy of another, including its whole past."""
        self._run(pruning.copy_thread(source_thread_id, target_thread_id))

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Like `copy_thread`."""
        await self._arun(pruning.copy_thread(source_thread_id, target_thread_id))

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Deletes old checkpoints, or whole threads, to free space.

        Args:
            thread_ids: The threads.
            strategy: ``keep_latest`` keeps the latest checkpoint of each namespace, with the
                ancestors needed to rebuild its delta channels; ``delete`` keeps nothing.
        """
        self._run(pruning.prune(self.serde, thread_ids, strategy))

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Like `prune`."""
        await self._arun(pruning.prune(self.serde, thread_ids, strategy))

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, Any]:
        """Returns the writes of delta channels since their last snapshot, in a few requests."""
        return self._run(pruning.delta_history(self.serde, config, channels))

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, Any]:
        """Like `get_delta_channel_history`."""
        return await self._arun(pruning.delta_history(self.serde, config, channels))

    def is_running(self, thread_id: str) -> bool:
        """Returns whether a run is active on a thread, in this process or another.

        After a process was killed, this returns True until the lease of its run expires.
        """
        return self._run(leases.is_running(thread_id_of(thread_id)))

    async def ais_running(self, thread_id: str) -> bool:
        """Like `is_running`."""
        return await self._arun(leases.is_running(thread_id_of(thread_id)))

    # `list` is a method here, so the annotations say Sequence.
    def threads(self, prefix: str = "") -> Sequence[ThreadInfo]:
        """Returns the threads that have checkpoints, sorted by id, with their times.

        Args:
            prefix: The prefix of their ids.
        """
        return self._run(pruning.threads(prefix))

    async def athreads(self, prefix: str = "") -> Sequence[ThreadInfo]:
        """Like `threads`."""
        return await self._arun(pruning.threads(prefix))

    def list_threads(self, prefix: str = "", limit: int | None = None) -> Sequence[str]:
        """Returns the ids of the threads that have checkpoints, sorted.

        Args:
            prefix: The prefix of the ids.
            limit: The most ids to return.
        """
        return _ids(self.threads(prefix), limit)

    async def alist_threads(self, prefix: str = "", limit: int | None = None) -> Sequence[str]:
        """Like `list_threads`."""
        return _ids(await self.athreads(prefix), limit)

    def import_threads(
        self, source: BaseCheckpointSaver[Any], thread_ids: Iterable[str] | None = None
    ) -> int:
        """Copies threads of another checkpointer with their whole past, and returns their number.

        Repeating the call copies only what was added since.

        Args:
            source: For example a `SqliteSaver` or a `PostgresSaver`.
            thread_ids: The threads; None copies all.
        """
        check_type(source, BaseCheckpointSaver, "source")
        if thread_ids is None:
            thread_ids = importing.thread_ids(list_(source.list(None)))
        count = 0
        for thread_id in encode_list(thread_ids, "thread_ids"):
            thread_id_of(thread_id)
            config: RunnableConfig = {"configurable": {"thread_id": thread_id}}
            found = list_(source.list(config))
            there = self._run(pruning.list_checkpoints(thread_id))
            for copy in importing.copies(found):
                if copy.key not in there:
                    self._run(self._copy(*copy.put))
                for writes in copy.writes:
                    self._run(self._put_writes(copy.config, *writes))
            count += bool(found)
        return count

    async def aimport_threads(
        self, source: BaseCheckpointSaver[Any], thread_ids: Iterable[str] | None = None
    ) -> int:
        """Like `import_threads`, for a source whose asynchronous methods work."""
        check_type(source, BaseCheckpointSaver, "source")
        if thread_ids is None:
            thread_ids = importing.thread_ids([one async for one in source.alist(None)])
        count = 0
        for thread_id in encode_list(thread_ids, "thread_ids"):
            thread_id_of(thread_id)
            config: RunnableConfig = {"configurable": {"thread_id": thread_id}}
            found = [one async for one in source.alist(config)]
            there = await self._arun(pruning.list_checkpoints(thread_id))
            for copy in importing.copies(found):
                if copy.key not in there:
                    await self._arun(self._copy(*copy.put))
                for writes in copy.writes:
                    await self._arun(self._put_writes(copy.config, *writes))
            count += bool(found)
        return count

    def get_next_version(self, current: str | None, channel: None) -> str:
        """Returns a version greater than `current`, and different from those of any other run."""
        number = 0 if current is None else int(str(current).split(".", maxsplit=1)[0])
        return f"{number + 1:032}.{random.random():016}"  # noqa: S311 - apart, not secret

    def _put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
        loop: Any,
    ) -> BatchProgram[RunnableConfig]:
        return putting.put(
            self.serde,
            self._seen,
            config,
            checkpoint,
            metadata,
            new_versions,
            fork=self._fork,
            loop=loop,
            wait=self._waits if self._lease else None,
        )

    def _copy(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> BatchProgram[RunnableConfig]:
        return putting.put(
            self.serde, self._seen, config, checkpoint, metadata, new_versions, fork=True
        )

    def _put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str,
    ) -> BatchProgram[None]:
        return putting.put_writes(self.serde, self._seen, config, writes, task_id, task_path)

    def _caller(self) -> RunCaller:
        """Returns the caller, and allows the types that its graph names."""
        caller = RunCaller.find()
        allow(self, caller.graph)
        return caller

    def _lease_for(self, caller: RunCaller, config: RunnableConfig) -> Lease | None:
        """Returns the lease for a run that begins here; None if it needs none."""
        thread = Thread.of(config)
        # A subgraph is part of the run that holds its thread.
        if caller.loop is None or not self._lease or thread.namespace:
            return None
        if self._seen.has_begun(caller.loop):
            return None
        return Lease(Run(caller, thread.id), self._lease, wait=self._waits)

    def _leave_from(self, caller: RunCaller, found: CheckpointTuple) -> None:
        # In time travel, LangGraph gives a subgraph the first checkpoint that `list` yields.
        if caller.loop is not None:
            self._seen.leave_from(Thread.of(found.config), caller.loop)

    def _end(self, lease: Lease) -> None:
        """Releases the lease of a run that has ended, so that the next one may begin."""
        self._note_end(lease)
        try:
            self._run(lease.release())
        except BotWireError as error:
            _warn_of_release(lease, error)

    async def _aend(self, lease: Lease) -> None:
        """Like `_end`."""
        self._note_end(lease)
        try:
            await self._arun(lease.release())
        except BotWireError as error:
            _warn_of_release(lease, error)

    def _note_end(self, lease: Lease) -> None:
        lease.run.end()
        renewer.drop(lease)

    def _during(self, config: RunnableConfig) -> Connection:
        now = acting_in(config)
        return self.connection.during(agent=now.agent, run=now.run)

    def _run(self, program: BatchProgram[T]) -> T:
        return run(self.connection, program)

    async def _arun(self, program: BatchProgram[T]) -> T:
        return await arun(self.connection, program)


def _ids(found: Sequence[ThreadInfo], limit: int | None) -> list_[str]:
    if limit is not None:
        check_count(limit, "limit")
    return [info.thread_id for info in found[:limit]]


def _warn_of_release(lease: Lease, error: BotWireError) -> None:
    logger.warning(
        "The thread %r stays taken for %g seconds: %s", lease.run.thread, lease.seconds, error
    )
