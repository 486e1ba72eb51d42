"""The storage of CrewAI's memory, on BotWire's records."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

from crewai.memory.storage.backend import EmbeddingDimensionMismatchError
from crewai.memory.types import MemoryRecord, ScopeInfo

from botwire import (
    APIError,
    AsyncMemory,
    AsyncRecords,
    BotWireError,
    ConfigurationError,
    ConflictError,
    InvalidRequestError,
    Match,
    Memory,
    NotJSONError,
    Record,
    Records,
)
from botwire.connection import Connection
from botwire.places import DEFAULT_TIMEOUT
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

COLLECTION = "crewai"
"""The collection that holds CrewAI's memories."""
_PENDING: dict[str, Any] = {NO_VECTOR: {"$eq": PENDING}}
_REFUSALS = (ConfigurationError, NotJSONError, APIError)
_ATTEMPTS = 20  # of an update that others keep getting in the way of


class BotWireStorage:
    """Keeps the records of CrewAI's memory: ``Memory(storage=BotWireStorage("my-crew"))``.

    Implements CrewAI's `StorageBackend`. All filters of a call must hold, and are applied before
    its limit; a scope holds what is below it and no neighbour whose name begins alike; what
    another process wrote is seen at once.

    CrewAI goes on without a word when a storage fails, so the first failure after a success is
    logged as a warning; `health` raises it. See `strict` for crews that must not go on.

    Args:
        namespace: Whose records: a name, or a function or `ContextVar` that says it at each call.
            Unset: the client's, else ``BOTWIRE_NAMESPACE``, else one of this project's own.
        client: A `Memory` or `AsyncMemory` to use.
        url: Where memory lives, as for `Memory`.
        api_key: For a server, as for `Memory`.
        timeout: Seconds that a call to a server may take in all.
        score: ``l2`` is 1 / (1 + the squared distance), as CrewAI's own storage has it and its
            thresholds expect; ``cosine`` is the cosine of the angle.
        protect_private: Keep the source and the privacy of a private record that is updated
            without a source, as CrewAI does when it consolidates.
        strict: Keep the first failure that CrewAI swallowed, for `health` to raise; in a
            `BotWireMemory`, the `Crew.kickoff` in which it was swallowed raises it, when its tasks
            are done.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    # Neither a pydantic model nor a dataclass: CrewAI turns those into dicts when it copies.

    def __init__(
        self,
        namespace: Namespace | None = None,
        *,
        client: Memory | AsyncMemory | None = None,
        url: str | None = None,
        api_key: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        score: Score = "l2",
        protect_private: bool = True,
        strict: bool = False,
    ) -> None:
        if score not in ("l2", "cosine"):
            raise ConfigurationError(f"score is 'l2' or 'cosine', not {score!r}")
        self._tenancy = Tenancy(
            namespace,
            client=client,
            url=url,
            api_key=api_key,
            timeout=timeout,
            gather_reads=True,  # CrewAI makes up to 120 searches for one recall, in four threads
        )
        self._score: Score = score
        self._protect_private = protect_private
        self._strict = strict
        self._failures = Failures(self._tenancy.label)
        self._settled: set[str] = set()

    @property
    def connection(self) -> Connection:
        """The connection to the namespace that is right where this is asked."""
        return self._tenancy.connection

    @property
    def has_one_namespace(self) -> bool:
        """Whether it is the same namespace for every call."""
        return self._tenancy.is_fixed

    @classmethod
    def from_spec(cls, spec: str, **defaults: Any) -> BotWireStorage:
        """Returns the storage of a spec, ``botwire://namespace?url=…&score=…``.

        An API key is never part of a spec: it comes from the environment, or `defaults`.

        Args:
            spec: The spec, its parts percent-encoded.
            **defaults: Arguments of the class for what the spec does not say.

        Raises:
            ConfigurationError: It is not a spec.
        """
        return cls(**{**defaults, **read_spec(spec)})

    @property
    def spec(self) -> str:
        """What finds these records again in another process, without any secret."""
        return write_spec(self.connection.reference(), self._score)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._tenancy.label!r})"

    # Copies of a crew share its storage; another process makes its own of the same place.

    def __copy__(self) -> BotWireStorage:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> BotWireStorage:
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {name: part for name, part in self.__dict__.items() if name != "_failures"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._failures = Failures(self._tenancy.label)

    # --- writing ----------------------------------------------------------------------------

    def save(self, records: list[MemoryRecord]) -> None:
        """Keeps records; one of a known id takes the place of the other.

        Names that are too long are shortened, and what JSON does not have is left out, both with a
        warning: a model made them up. A record that still cannot be kept is left out, and the error
        raised when the others are kept.

        Raises:
            EmbeddingDimensionMismatchError: An embedding has another dimension than the others;
                none of the records is kept.
            NotJSONError: JSON cannot hold the metadata of one. Also a `TypeError`.
        """
        new = self._records(records)
        self._call(lambda kept: self._save(kept, new), embeddings_of(records), "writing")

    def _save(self, kept: Records, new: list[Record]) -> None:
        if any(record.embedding is None for record in new):
            old = by_id(kept.get(ids_of(new), embeddings=False))
            new = with_zeros(new, old, kept.info().dimension)
        try:
            kept.put(new)
        except _REFUSALS as error:
            if len(new) == 1 or mismatch(error, kept.info().dimension, [r.embedding for r in new]):
                raise
            refused = None
            for record in new:
                try:
                    kept.put([record])
                except _REFUSALS as of_one:
                    refused = refused or of_one
            if refused is not None:
                raise refused from None

    async def asave(self, records: list[MemoryRecord]) -> None:
        """As `save`."""
        new = self._records(records)
        await self._acall(lambda kept: self._asave(kept, new), embeddings_of(records), "writing")

    async def _asave(self, kept: AsyncRecords, new: list[Record]) -> None:
        if any(record.embedding is None for record in new):
            old = by_id(await kept.get(ids_of(new), embeddings=False))
            new = with_zeros(new, old, (await kept.info()).dimension)
        try:
            await kept.put(new)
        except _REFUSALS as error:
            dimension = (await kept.info()).dimension
            if len(new) == 1 or mismatch(error, dimension, [r.embedding for r in new]):
                raise
            refused = None
            for record in new:
                try:
                    await kept.put([record])
                except _REFUSALS as of_one:
                    refused = refused or of_one
            if refused is not None:
                raise refused from None

    def _records(self, memories: Iterable[MemoryRecord]) -> list[Record]:
        """Returns the records that keep memories; of those with one id, the last."""
        notes: list[str] = []
        last = {memory.id: memory for memory in memories}.values()
        new = [to_record(memory, notes) for memory in last]
        self._failures.shortened(notes)
        return new

    def update(self, record: MemoryRecord) -> None:
        """Keeps a record in the place of the one of its id; without an embedding, with the old."""
        (new,) = self._records([record])
        self._call(lambda kept: self._update(kept, new), embeddings_of([record]), "writing")

    def _update(self, kept: Records, new: Record) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            guarded = self._protect_private and new.metadata["source"] is None
            if not guarded and new.embedding is not None:
                kept.put([new])
                return
            (old,) = kept.get([new.id], embeddings=False)
            whole = protected(new, old) if guarded else new
            if new.embedding is None:
                (whole,) = with_zeros([whole], by_id([old]), kept.info().dimension)
            try:
                kept.put([whole], if_versions=[old.version if old else 0])
            except ConflictError:
                # Someone wrote it in between: what is private is looked up again.
                if attempt == _ATTEMPTS:
                    raise
            else:
                return

    def touch_records(self, ids: list[str]) -> None:
        """Notes that records were just recalled."""
        accessed = {"last_accessed": to_text(datetime.now(UTC))}
        self._call(lambda kept: kept.patch(ids, accessed), doing="writing")

    def delete(
        self,
        scope_prefix: str | None = None,
        categories: list[str] | None = None,
        record_ids: list[str] | None = None,
        older_than: datetime | None = None,
        metadata_filter: dict[str, Any] | None = None,
    ) -> int:
        """Deletes the records that pass every filter, all without any; returns how many.

        An empty list of ids or categories is none of them, and deletes nothing.
        """
        where = selection(scope_prefix, categories, metadata_filter, record_ids, older_than)
        return self._call(lambda kept: kept.delete(**where, all=not where), doing="writing")

    async def adelete(
        self,
        scope_prefix: str | None = None,
        categories: list[str] | None = None,
        record_ids: list[str] | None = None,
        older_than: datetime | None = None,
        metadata_filter: dict[str, Any] | None = None,
    ) -> int:
        """As `delete`."""
        where = selection(scope_prefix, categories, metadata_filter, record_ids, older_than)
        return await self._acall(lambda kept: kept.delete(**where, all=not where), doing="writing")

    def reset(self, scope_prefix: str | None = None) -> None:
        """Deletes a scope and what is below it; without one, every record of this namespace."""
        self.delete(scope_prefix)

    # --- reading ----------------------------------------------------------------------------

    # Records are read without their embeddings, which would be most of what is sent: CrewAI only
    # gives them back, and `update` keeps the one that is stored.

    def search(
        self,
        query_embedding: list[float],
        scope_prefix: str | None = None,
        categories: list[str] | None = None,
        metadata_filter: dict[str, Any] | None = None,
        limit: int = 10,
        min_score: float = 0.0,
    ) -> list[tuple[MemoryRecord, float]]:
        """Returns the nearest records with their scores, of those that pass every filter."""
        if limit <= 0:
            return []
        if not len(query_embedding):
            refuse_empty(self._call(lambda kept: kept.info().dimension))
            return []
        query = self._query(query_embedding, limit, min_score)
        where = selection(scope_prefix, categories or None, metadata_filter)
        found = self._call(lambda kept: kept.search(**query, **where), [query_embedding])
        if self._is_unsettled(found):
            settled = self._call(lambda kept: self._settle(kept, len(query_embedding)))
            if settled:
                found = self._call(lambda kept: kept.search(**query, **where), [query_embedding])
        return scored(found)

    async def asearch(
        self,
        query_embedding: list[float],
        scope_prefix: str | None = None,
        categories: list[str] | None = None,
        metadata_filter: dict[str, Any] | None = None,
        limit: int = 10,
        min_score: float = 0.0,
    ) -> list[tuple[MemoryRecord, float]]:
        """As `search`."""
        if limit <= 0:
            return []
        if not len(query_embedding):
            refuse_empty((await self._acall(lambda kept: kept.info())).dimension)
            return []
        query = self._query(query_embedding, limit, min_score)
        where = selection(scope_prefix, categories or None, metadata_filter)
        found = await self._acall(lambda kept: kept.search(**query, **where), [query_embedding])
        if self._is_unsettled(found):
            settled = await self._acall(lambda kept: self._asettle(kept, len(query_embedding)))
            if settled:
                found = await self._acall(
                    lambda kept: kept.search(**query, **where), [query_embedding]
                )
        return scored(found)

    # A record without a vector, saved before the collection had one, could not be given zeros.

    def _is_unsettled(self, found: list[Match]) -> bool:
        namespace = self.connection.namespace
        known = namespace in self._settled
        self._settled.add(namespace)
        return not known or not found

    def _settle(self, kept: Records, dimension: int) -> bool:
        pending = kept.list(filter=_PENDING, embeddings=False)
        if not pending:
            return False
        versions = [record.version for record in pending]
        try:
            kept.put(zeroed(pending, dimension), if_versions=versions)
        except APIError as error:  # someone else does it, or this key may only read
            logger.info("memories without a vector are not found yet: %s", error)
            return False
        return True

    async def _asettle(self, kept: AsyncRecords, dimension: int) -> bool:
        pending = await kept.list(filter=_PENDING, embeddings=False)
        if not pending:
            return False
        versions = [record.version for record in pending]
        try:
            await kept.put(zeroed(pending, dimension), if_versions=versions)
        except APIError as error:
            logger.info("memories without a vector are not found yet: %s", error)
            return False
        return True

    def _query(self, embedding: list[float], limit: int, min_score: float) -> dict[str, Any]:
        return {
            "vector": embedding,
            "limit": limit,
            "min_score": min_score,
            "metric": self._score,
            "embeddings": False,
        }

    def get_record(self, record_id: str) -> MemoryRecord | None:
        """Returns the record of an id with its embedding, or None."""
        (record,) = self._call(lambda kept: kept.get([record_id]))
        return None if record is None else from_record(record)

    def list_records(
        self, scope_prefix: str | None = None, limit: int = 200, offset: int = 0
    ) -> list[MemoryRecord]:
        """Returns records, the newest first."""
        if limit <= 0 or offset < 0:
            return []
        scope = fit_scope(scope_prefix)
        found = self._call(
            lambda kept: kept.list(scope=scope, limit=limit, offset=offset, embeddings=False)
        )
        return [from_record(record) for record in found]

    def count(self, scope_prefix: str | None = None) -> int:
        """Returns how many records a scope and what is below it hold."""
        return self._call(lambda kept: kept.count(scope=fit_scope(scope_prefix)))

    def list_scopes(self, parent: str = "/") -> list[str]:
        """Returns the scopes directly below one, as whole paths."""
        return self._call(lambda kept: kept.scopes(fit_scope(parent)))

    def list_categories(self, scope_prefix: str | None = None) -> dict[str, int]:
        """Returns how many records have each category."""
        return self._call(lambda kept: kept.tags(scope=fit_scope(scope_prefix)))

    def get_scope_info(self, scope: str) -> ScopeInfo:
        """Returns what a scope and what is below it hold, in exact numbers."""
        info = self._call(lambda kept: kept.info(fit_scope(scope)))
        return ScopeInfo(
            path=fit_scope(scope),
            record_count=info.count,
            categories=sorted(self.list_categories(scope)),
            oldest_record=None if info.oldest is None else naive(info.oldest),
            newest_record=None if info.newest is None else naive(info.newest),
            child_scopes=self.list_scopes(scope),
        )

    # --- the connection ---------------------------------------------------------------------

    def health(self) -> None:
        """Raises what makes CrewAI's memory fail, if anything; ask before a long run, and after.

        With `strict`, first the failure that CrewAI swallowed since the last call, if any; asked
        again, it says how memory is now.

        Raises:
            BotWireError: Memory cannot be reached, or not be used.
        """
        error = self._failures.take(of_any_kickoff=True)
        if self._strict and error is not None:
            raise error
        try:
            self.count()
        finally:
            self._failures.take()

    def take_swallowed(self) -> BotWireError | None:
        """With `strict`, returns the first failure of the present kickoff, if any, and forgets it.

        Outside of a kickoff, it is the first since this was last asked.
        """
        error = self._failures.take()
        return error if self._strict else None

    def close(self) -> None:
        """Does nothing: CrewAI calls a storage after closing it, and connections are shared."""

    def optimize(self) -> None:
        """Does nothing: there is nothing to compact."""

    def _call(
        self,
        work: Callable[[Records], T],
        embeddings: Iterable[list[float] | None] = (),
        doing: Doing = "reading",
    ) -> T:
        kept = self.connection.memory.records(COLLECTION)
        try:
            result = work(kept)
        except BotWireError as error:
            self._failures.failed(doing, error)
            if isinstance(error, InvalidRequestError):
                differs = mismatch(error, kept.info().dimension, embeddings)
                if differs:
                    raise EmbeddingDimensionMismatchError(*differs) from error
            raise
        self._failures.succeeded(doing)
        return result

    async def _acall(
        self,
        work: Callable[[AsyncRecords], Awaitable[T]],
        embeddings: Iterable[list[float] | None] = (),
        doing: Doing = "reading",
    ) -> T:
        kept = self.connection.async_memory.records(COLLECTION)
        try:
            result = await work(kept)
        except BotWireError as error:
            self._failures.failed(doing, error)
            if isinstance(error, InvalidRequestError):
                differs = mismatch(error, (await kept.info()).dimension, embeddings)
                if differs:
                    raise EmbeddingDimensionMismatchError(*differs) from error
            raise
        self._failures.succeeded(doing)
        return result
