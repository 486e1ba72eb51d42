"""CrewAI's memory storage, on BotWire's records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sized
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal, TypeVar, Unpack, get_args

from crewai.memory.storage.backend import EmbeddingDimensionMismatchError
from crewai.memory.types import MemoryRecord, ScopeInfo

from botwire import (
    APIError,
    BotWireError,
    ConfigurationError,
    ConflictError,
    InvalidRequestError,
    Match,
    NotJSONError,
    Record,
    programs,
)
from botwire.arguments import check_type
from botwire.client.encoding import encode_each
from botwire.connection import Connection, ConnectionOptions, takes_connection
from botwire.operations import check_choice
from botwire_crewai.convert import (
    NO_VECTOR,
    PENDING,
    from_record,
    naive,
    to_record,
    to_text,
)
from botwire_crewai.failures import Doing, Failures, logger
from botwire_crewai.fitting import fit_scope
from botwire_crewai.queries import (
    embeddings_of,
    mismatch,
    protected,
    refuse_empty,
    scored,
    selection,
)
from botwire_crewai.specs import read_spec, write_spec
from botwire_crewai.tenancy import Namespace, Tenancy
from botwire_crewai.zeros import by_id, ids_of, with_zeros, zeroed

Score = Literal["l2", "cosine"]
T = TypeVar("T")

_Step = Callable[[Any], Any]
_Work = programs.Program[_Step, T]
"""Work that is written once: a step takes a `Records`, or an `AsyncRecords` to await."""

COLLECTION = "crewai"
"""The collection that holds CrewAI's memories."""
_PENDING: dict[str, Any] = {NO_VECTOR: {"$eq": PENDING}}
_REFUSALS = (ConfigurationError, NotJSONError, APIError)
_ATTEMPTS = 20  # for an update that others keep interrupting


class BotWireStorage:
    """Stores the records of CrewAI's memory: ``Memory(storage=BotWireStorage("my-crew"))``.

    Implements CrewAI's `StorageBackend`. A record must pass every filter of a call, and filters are
    applied before the limit. A scope holds everything below it, but nothing of a scope whose name
    merely starts the same. Reads see what other processes have just written.

    CrewAI carries on silently when a storage fails, so the first failure after a success is logged
    as a warning, and `health` raises it. Use `strict` for crews that must not carry on.

    Args:
        namespace: A name, or a function or `ContextVar` that gives the name at each call. Defaults
            to the client's, then to ``BOTWIRE_NAMESPACE``, then to this project's own.
        score: ``l2`` scores a match 1 / (1 + squared distance), as CrewAI's own storage does and
            its thresholds expect; ``cosine`` scores it by the cosine of the angle.
        protect_private: Whether a private record stays private and keeps its source when an update
            brings no source, as when CrewAI consolidates memories.
        strict: Whether `health` also raises the first failure that CrewAI swallowed. In a
            `BotWireMemory`, the `Crew.kickoff` that swallowed it raises it once its tasks are done.
        **connection: Where memory lives; see `ConnectionOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    # Neither a pydantic model nor a dataclass: CrewAI turns those into dicts when it copies.

    @takes_connection
    def __init__(
        self,
        namespace: Namespace | None = None,
        *,
        score: Score = "l2",
        protect_private: bool = True,
        strict: bool = False,
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        check_choice(score, get_args(Score), "score")
        self._tenancy = Tenancy(
            namespace,
            **connection,
            gather_reads=True,  # CrewAI makes up to 120 searches for one recall, in four threads
        )
        self._score: Score = score
        self._protect_private = protect_private
        self._strict = strict
        self._failures = Failures(self._tenancy.label)
        self._settled: set[str] = set()

    @property
    def connection(self) -> Connection:
        """The connection to the current namespace."""
        return self._tenancy.connection

    @property
    def has_one_namespace(self) -> bool:
        """Whether every call uses the same namespace."""
        return self._tenancy.is_fixed

    @classmethod
    def from_spec(cls, spec: str, **defaults: Any) -> BotWireStorage:
        """Returns the storage of a spec, ``botwire://namespace?url=…&score=…``.

        An API key is never part of a spec: it comes from the environment, or `defaults`.

        Args:
            spec: The spec, its parts percent-encoded.
            **defaults: Arguments of the class that the spec does not give.

        Raises:
            ConfigurationError: It is not a spec.
        """
        return cls(**{**defaults, **read_spec(spec)})

    @property
    def spec(self) -> str:
        """A string that finds these records again in another process, without any secret."""
        return write_spec(self.connection.reference(), self._score)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._tenancy.label!r})"

    # Copies of a crew share its storage. Another process opens the same place itself.

    def __copy__(self) -> BotWireStorage:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> BotWireStorage:
        return self

    # --- writing ----------------------------------------------------------------------------

    def save(self, records: list[MemoryRecord]) -> None:
        """Stores records. A record replaces the one with the same id.

        A model makes up scopes, categories and metadata. Names that are too long are shortened, and
        values that JSON lacks are left out, both with a warning. A record that still cannot be
        stored is left out; its error is raised once the others are stored.

        Raises:
            EmbeddingDimensionMismatchError: An embedding differs in dimension from the others;
                none of the records is kept.
            NotJSONError: JSON cannot hold the metadata of a record. Also a `TypeError`.
        """
        self._call(_save(self._records(records)), embeddings_of(records), "writing")

    async def asave(self, records: list[MemoryRecord]) -> None:
        """Like `save`."""
        await self._acall(_save(self._records(records)), embeddings_of(records), "writing")

    def _records(self, memories: Iterable[MemoryRecord]) -> list[Record]:
        """Returns the records for memories; of several with the same id, the last."""
        notes: list[str] = []
        given = encode_each(memories, MemoryRecord, "records", "records")
        last = {memory.id: memory for memory in given}.values()
        new = [to_record(memory, notes) for memory in last]
        self._failures.shortened(notes)
        return new

    def update(self, record: MemoryRecord) -> None:
        """Replaces the record with the same id. Without an embedding, the stored one is kept."""
        (new,) = self._records([record])
        self._call(self._update(new), embeddings_of([record]), "writing")

    def _update(self, new: Record) -> _Work[None]:
        for attempt in range(1, _ATTEMPTS + 1):
            guarded = self._protect_private and new.metadata["source"] is None
            if not guarded and new.embedding is not None:
                yield lambda kept: kept.put([new])
                return
            (old,) = yield lambda kept: kept.get([new.id], embeddings=False)
            whole = protected(new, old) if guarded else new
            if new.embedding is None:
                info = yield _info
                (whole,) = with_zeros([whole], by_id([old]), info.dimension)
            versions = [old.version if old else 0]
            try:
                yield partial(_put, records=[whole], if_versions=versions)
            except ConflictError:
                # Someone else wrote it meanwhile, so read again which fields are private.
                if attempt == _ATTEMPTS:
                    raise
            else:
                return

    def touch_records(self, ids: list[str]) -> None:
        """Records that these records were just recalled."""
        accessed = {"last_accessed": to_text(datetime.now(UTC))}
        self._call(_one(lambda kept: kept.patch(ids, accessed)), doing="writing")

    def delete(
        self,
        scope_prefix: str | None = None,
        categories: list[str] | None = None,
        record_ids: list[str] | None = None,
        older_than: datetime | None = None,
        metadata_filter: dict[str, Any] | None = None,
    ) -> int:
        """Deletes the records that pass every filter and returns how many.

        Without a filter it deletes all records. An empty list of ids or categories matches no
        record, so nothing is deleted.
        """
        where = selection(scope_prefix, categories, metadata_filter, record_ids, older_than)
        delete = _one(lambda kept: kept.delete(**where, all=not where))
        deleted: int = self._call(delete, doing="writing")
        return deleted

    async def adelete(
        self,
        scope_prefix: str | None = None,
        categories: list[str] | None = None,
        record_ids: list[str] | None = None,
        older_than: datetime | None = None,
        metadata_filter: dict[str, Any] | None = None,
    ) -> int:
        """Like `delete`."""
        where = selection(scope_prefix, categories, metadata_filter, record_ids, older_than)
        delete = _one(lambda kept: kept.delete(**where, all=not where))
        deleted: int = await self._acall(delete, doing="writing")
        return deleted

    def reset(self, scope_prefix: str | None = None) -> None:
        """Deletes a scope and everything below it, or all records of this namespace."""
        self.delete(scope_prefix)

    # --- reading ----------------------------------------------------------------------------

    # Records are read without their embeddings, which would be most of the traffic. CrewAI only
    # passes them back, and `update` keeps the stored one.

    def search(
        self,
        query_embedding: list[float],
        scope_prefix: str | None = None,
        categories: list[str] | None = None,
        metadata_filter: dict[str, Any] | None = None,
        limit: int = 10,
        min_score: float = 0.0,
    ) -> list[tuple[MemoryRecord, float]]:
        """Returns the nearest records that pass every filter, with their scores."""
        where = selection(scope_prefix, categories or None, metadata_filter)
        work = self._search(query_embedding, where, limit, min_score)
        return self._call(work, [query_embedding])

    async def asearch(
        self,
        query_embedding: list[float],
        scope_prefix: str | None = None,
        categories: list[str] | None = None,
        metadata_filter: dict[str, Any] | None = None,
        limit: int = 10,
        min_score: float = 0.0,
    ) -> list[tuple[MemoryRecord, float]]:
        """Like `search`."""
        where = selection(scope_prefix, categories or None, metadata_filter)
        work = self._search(query_embedding, where, limit, min_score)
        return await self._acall(work, [query_embedding])

    def _search(
        self, vector: list[float], where: dict[str, Any], limit: int, min_score: float
    ) -> _Work[list[tuple[MemoryRecord, float]]]:
        if check_type(limit, int, "limit") <= 0:
            return []
        if not len(check_type(vector, Sized, "query_embedding", "a list of numbers")):
            refuse_empty((yield _info).dimension)
            return []
        query = {
            "vector": vector,
            "limit": limit,
            "min_score": min_score,
            "metric": self._score,
            "embeddings": False,
            **where,
        }
        found = yield lambda kept: kept.search(**query)
        # If a collection's first records had no vector, the number of zeros was unknown.
        if self._may_be_unsettled(found) and (yield from _settle(len(vector))):
            found = yield lambda kept: kept.search(**query)
        return scored(found)

    def _may_be_unsettled(self, found: list[Match]) -> bool:
        namespace = self.connection.namespace
        known = namespace in self._settled
        self._settled.add(namespace)
        return not known or not found

    def get_record(self, record_id: str) -> MemoryRecord | None:
        """Returns the record of an id with its embedding, or None."""
        (record,) = self._call(_one(lambda kept: kept.get([record_id])))
        return None if record is None else from_record(record)

    def list_records(
        self, scope_prefix: str | None = None, limit: int = 200, offset: int = 0
    ) -> list[MemoryRecord]:
        """Returns records, the newest first."""
        if check_type(limit, int, "limit") <= 0 or check_type(offset, int, "offset") < 0:
            return []
        page = {"scope": fit_scope(scope_prefix), "limit": limit, "offset": offset}
        found = self._call(_one(lambda kept: kept.list(**page, embeddings=False)))
        return [from_record(record) for record in found]

    def count(self, scope_prefix: str | None = None) -> int:
        """Returns the number of records in a scope and those below it."""
        scope = fit_scope(scope_prefix)
        count: int = self._call(_one(lambda kept: kept.count(scope=scope)))
        return count

    def list_scopes(self, parent: str = "/") -> list[str]:
        """Returns the scopes directly below one, as whole paths."""
        scope = fit_scope(parent)
        return self._call(_one(lambda kept: kept.scopes(scope)))

    def list_categories(self, scope_prefix: str | None = None) -> dict[str, int]:
        """Returns the number of records per category."""
        scope = fit_scope(scope_prefix)
        return self._call(_one(lambda kept: kept.tags(scope=scope)))

    def get_scope_info(self, scope: str) -> ScopeInfo:
        """Returns exact statistics of a scope and those below it."""
        path = fit_scope(scope)
        info = self._call(_one(lambda kept: kept.info(path)))
        return ScopeInfo(
            path=path,
            record_count=info.count,
            categories=sorted(self.list_categories(scope)),
            oldest_record=None if info.oldest is None else naive(info.oldest),
            newest_record=None if info.newest is None else naive(info.newest),
            child_scopes=self.list_scopes(scope),
        )

    # --- the connection ---------------------------------------------------------------------

    def health(self) -> None:
        """Raises an error if CrewAI's memory does not work; call it before and after a long run.

        With `strict`, the first call after a failure that CrewAI swallowed raises that failure; the
        next call checks memory as it is now.

        Raises:
            BotWireError: Memory cannot be reached or used.
        """
        error = self._failures.take(of_any_kickoff=True)
        if self._strict and error is not None:
            raise error
        try:
            self.count()
        finally:
            self._failures.take()

    def take_swallowed(self) -> BotWireError | None:
        """With `strict`, returns the first failure of the current kickoff, if any, and forgets it.

        Outside a kickoff, it is the first failure since the last call.
        """
        error = self._failures.take()
        return error if self._strict else None

    def close(self) -> None:
        """Does nothing: CrewAI uses a storage after closing it, and connections are shared."""

    def optimize(self) -> None:
        """Does nothing: there is nothing to compact."""

    def _call(
        self,
        work: _Work[T],
        embeddings: Iterable[list[float] | None] = (),
        doing: Doing = "reading",
    ) -> T:
        records = self.connection.memory.records(COLLECTION)
        return programs.run(self._watched(work, embeddings, doing), lambda step: step(records))

    async def _acall(
        self,
        work: _Work[T],
        embeddings: Iterable[list[float] | None] = (),
        doing: Doing = "reading",
    ) -> T:
        records = self.connection.async_memory.records(COLLECTION)
        return await programs.arun(
            self._watched(work, embeddings, doing), lambda step: step(records)
        )

    def _watched(
        self, work: _Work[T], embeddings: Iterable[list[float] | None], doing: Doing
    ) -> _Work[T]:
        """Records whether work fails, and raises CrewAI's own error for a wrong dimension."""
        try:
            result = yield from work
        except BotWireError as error:
            self._failures.failed(doing, error)
            if isinstance(error, InvalidRequestError):
                differs = mismatch(error, (yield _info).dimension, embeddings)
                if differs:
                    raise EmbeddingDimensionMismatchError(*differs) from error
            raise
        self._failures.succeeded(doing)
        return result


def _one(step: _Step) -> _Work[Any]:
    """Returns work that consists of a single step."""
    return (yield step)


def _save(new: list[Record]) -> _Work[None]:
    if any(record.embedding is None for record in new):
        old = by_id((yield lambda kept: kept.get(ids_of(new), embeddings=False)))
        new = with_zeros(new, old, (yield _info).dimension)
    refused = yield from _put_accepted(new)
    if refused is not None:
        raise refused


def _put_accepted(new: list[Record]) -> _Work[Exception | None]:
    """Stores the records that are accepted, and returns why the first of the others is not."""
    try:
        yield partial(_put, records=new)
    except _REFUSALS as error:
        if mismatch(error, (yield _info).dimension, [record.embedding for record in new]):
            raise
        if len(new) == 1:
            return error
        middle = len(new) // 2
        first = yield from _put_accepted(new[:middle])
        second = yield from _put_accepted(new[middle:])
        return first or second
    return None


def _settle(dimension: int) -> _Work[bool]:
    """Gives zeros to records without a vector; returns whether there were any."""
    pending = yield lambda kept: kept.list(filter=_PENDING, embeddings=False)
    if not pending:
        return False
    versions = [record.version for record in pending]
    try:
        yield partial(_put, records=zeroed(pending, dimension), if_versions=versions)
    except APIError as error:  # another process is doing it, or this key may only read
        logger.info("memories without a vector are not found yet: %s", error)
        return False
    return True


def _info(kept: Any) -> Any:
    return kept.info()


def _put(kept: Any, records: list[Record], **options: Any) -> Any:
    return kept.put(records, **options)
