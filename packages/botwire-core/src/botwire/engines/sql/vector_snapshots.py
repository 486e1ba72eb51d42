"""Embeddings in memory for exact search: read once, then kept up to date with every process.

A collection's embeddings are rows of one matrix. A row never changes once it is written: a changed
record gets a new row, and searches skip the old one. So a `Snapshot` stays the same while others
write, and the cost of following a write depends on the size of the write, not of the collection.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from botwire import filters, scopes
from botwire.errors import ConfigurationError
from botwire.exact import decode_stored
from botwire.names import from_bytes, to_bytes
from botwire.operations import Selection

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    # Aliases, because each function that loads numpy has an `np` of its own.
    Booleans = NDArray[np.bool_]
    Codes = NDArray[np.int32]
    Doubles = NDArray[np.float64]
    Floats = NDArray[np.float32]
    Indices = NDArray[np.intp]
    Times = NDArray[np.int64]

_NEVER = 2**63 - 1  # the expiry of a record that does not expire


class VectorRow(NamedTuple):
    """The columns of a record that a search needs."""

    id: bytes
    embedding: bytes | None
    scope: bytes
    tags: str
    metadata: str
    created_at: int
    version: int
    expires_at: int | None = None


class _VectorTable:
    """The rows of a collection. It only grows, and only changes while its cache is locked."""

    def __init__(self, dimension: int, capacity: int) -> None:
        np = load_numpy()
        self.dimension = dimension
        self.size = 0
        self.matrix: Floats = np.empty((capacity, dimension), np.float32)
        self.squares: Doubles = np.empty(capacity, np.float64)
        self.created: Times = np.empty(capacity, np.int64)
        self.expires: Times = np.empty(capacity, np.int64)
        self.scopes: Codes = np.empty(capacity, np.int32)
        self.tags: Codes = np.empty(capacity, np.int32)
        # Few distinct scopes and sets of tags exist, so a search tests each only once.
        self.scope_codes: dict[bytes, int] = {}
        self.tags_codes: dict[str, int] = {}
        self.ids: list[bytes] = []
        self.metadata: list[str] = []
        self.versions: list[int] = []
        self.position: dict[bytes, int] = {}

    def append(self, rows: Sequence[VectorRow]) -> None:
        np = load_numpy()
        first, end = self.size, self.size + len(rows)
        if end > len(self.matrix):
            capacity = max(end, 2 * len(self.matrix))
            for name in ("matrix", "squares", "created", "expires", "scopes", "tags"):
                old = getattr(self, name)
                new = np.empty((capacity, *old.shape[1:]), old.dtype)
                new[:first] = old[:first]
                setattr(self, name, new)
        raw = b"".join([row.embedding or b"" for row in rows])
        added = np.frombuffer(raw, "<f4").reshape(len(rows), self.dimension)
        self.matrix[first:end] = added
        self.squares[first:end] = np.einsum("ij,ij->i", added, added, dtype=np.float64)
        self.created[first:end] = [row.created_at for row in rows]
        self.expires[first:end] = [
            _NEVER if row.expires_at is None else row.expires_at for row in rows
        ]
        self.scopes[first:end] = [_code(self.scope_codes, row.scope) for row in rows]
        self.tags[first:end] = [_code(self.tags_codes, row.tags) for row in rows]
        for i, row in enumerate(rows, first):
            self.ids.append(row.id)
            self.metadata.append(row.metadata)
            self.versions.append(row.version)
            self.position[row.id] = i
        self.size = end


class Snapshot:
    """The embeddings of a collection as of a revision.

    Attributes:
        revision: The collection's revision.
        dimension: How many numbers each embedding has.
    """

    def __init__(self, table: _VectorTable, alive: Booleans, revision: int) -> None:
        self.revision = revision
        self.dimension = table.dimension
        self._table = table
        self._alive = alive
        # A table that grows gets new arrays, so these stay as they are.
        self._matrix = table.matrix
        self._squares = table.squares
        self._created = table.created
        self._expires = table.expires
        self._scopes = table.scopes
        self._tags = table.tags
        self._scope_names = list(table.scope_codes)
        self._tags_texts = list(table.tags_codes)

    @classmethod
    def of(cls, rows: Sequence[VectorRow], dimension: int, revision: int) -> Snapshot:
        """Returns a snapshot of all rows of a collection."""
        np = load_numpy()
        rows = [row for row in rows if row.embedding is not None]
        table = _VectorTable(dimension, len(rows))
        table.append(rows)
        return cls(table, np.ones(len(rows), np.bool_), revision)

    def unknown(self, kept: Mapping[bytes, int]) -> list[bytes]:
        """Returns the ids of records that are older than this snapshot but not in it.

        Such a record was restored, with a version from earlier or from another store.

        Args:
            kept: The current version of each record with an embedding.
        """
        table = self._table
        return [
            id
            for id, version in kept.items()
            if version <= self.revision
            and ((i := table.position.get(id)) is None or table.versions[i] != version)
        ]

    def advanced(
        self, changed: Sequence[VectorRow], kept: Mapping[bytes, int] | None, revision: int
    ) -> Snapshot:
        """Returns a later snapshot. Call this only on a table's latest, with its cache locked.

        Args:
            changed: The records written since.
            kept: The current version of each record with an embedding; None if none was deleted or
                restored since.
            revision: The collection's current revision.
        """
        np = load_numpy()
        table = self._table
        gone = [row.id for row in changed if row.id in table.position]
        if kept is not None:
            gone += [id for id, i in table.position.items() if kept.get(id) != table.versions[i]]
        dead = {table.position.pop(id) for id in dict.fromkeys(gone)}
        added = [row for row in changed if row.embedding is not None]
        table.append(added)
        alive = np.concatenate([self._alive, np.ones(len(added), np.bool_)])
        alive[list(dead)] = False
        later = Snapshot(table, alive, revision)
        return later._compact() if len(table.position) < table.size // 2 else later

    def _compact(self) -> Snapshot:
        np = load_numpy()
        old = self._table
        scope_names = self._scope_names
        rows = [
            VectorRow(
                old.ids[i],
                old.matrix[i].astype("<f4").tobytes(),
                scope_names[old.scopes[i]],
                self._tags_texts[old.tags[i]],
                old.metadata[i],
                int(old.created[i]),
                old.versions[i],
                None if old.expires[i] == _NEVER else int(old.expires[i]),
            )
            for i in np.flatnonzero(self._alive)
        ]
        return Snapshot.of(rows, self.dimension, self.revision)

    @property
    def nbytes(self) -> int:
        """About how many bytes of memory the rows take."""
        return self._matrix.nbytes + 400 * len(self._alive)

    def select(self, where: Selection, now: int) -> Indices:
        """Returns the rows of the selected records that have not expired."""
        np = load_numpy()
        end = len(self._alive)
        mask = self._alive & (self._expires[:end] > now)
        ids, metadata = self._table.ids, self._table.metadata
        if where.scope != scopes.ROOT:
            wanted = [scopes.contains(where.scope, from_bytes(name)) for name in self._scope_names]
            mask &= np.array(wanted, np.bool_)[self._scopes[:end]]
        if where.tags is not None:
            tags = set(where.tags)
            wanted = [not tags.isdisjoint(decode_stored(text)) for text in self._tags_texts]
            mask &= np.array(wanted, np.bool_)[self._tags[:end]]
        if where.created_after is not None:
            mask &= self._created[:end] > where.created_after
        if where.created_before is not None:
            mask &= self._created[:end] < where.created_before
        if where.ids is not None:
            chosen = {to_bytes(id) for id in where.ids}
            mask &= np.fromiter((ids[i] in chosen for i in range(end)), np.bool_, end)
        rows: Indices = np.flatnonzero(mask)
        if where.filter is not None and len(rows):
            test = filters.read_filter(where.filter)
            rows = rows[[test(value) for value in filters.decode_all([metadata[i] for i in rows])]]
        return rows

    def ids(self) -> set[bytes]:
        """Returns the ids of all records that have an embedding."""
        ids = self._table.ids
        return {ids[i] for i in load_numpy().flatnonzero(self._alive)}

    def scores(
        self,
        query: bytes,
        rows: Indices,
        metric: str,
        best: int | None,
        plus: Mapping[bytes, float] | None = None,
    ) -> list[tuple[bytes, float]]:
        """Returns ids and scores, exact to double precision, in no order.

        Args:
            query: The raw vector.
            rows: The rows to compare with it.
            metric: See `SearchRecords`.
            best: How many of the highest scores the result must include; None returns all.
            plus: Amounts to add to the scores of some ids.
        """
        np = load_numpy()
        ids = self._table.ids
        q = np.frombuffer(query, "<f4").astype(np.float64)
        more: Doubles = np.zeros(len(rows))
        if plus:
            more[:] = [plus.get(ids[i], 0.0) for i in rows.tolist()]
        if best is not None and len(rows) > best:
            nearest = self._nearest(q, rows, metric, best, more)
            rows, more = rows[nearest], more[nearest]
        # Computes row by row instead of with BLAS, so that equal embeddings get equal scores.
        exact = self._matrix[rows].astype(np.float64)
        if metric == "l2":
            exact -= q
            found = 1 / (1 + _row_sums(exact, exact))
        else:
            lengths = np.sqrt(self._squares[rows]) * np.sqrt(q @ q)
            dots = _row_sums(exact, q)
            found = np.divide(dots, lengths, out=np.zeros_like(dots), where=lengths > 0)
            np.clip(found, -1, 1, out=found)
        found += more
        return [(ids[i], score) for i, score in zip(rows, found.tolist(), strict=True)]

    def _nearest(
        self, q: Doubles, rows: Indices, metric: str, best: int, more: Doubles
    ) -> Booleans:
        """Returns a mask of rows that surely include the `best`, from a fast 32-bit product."""
        np = load_numpy()
        end = len(self._alive)
        few = len(rows) < end // 4
        matrix = self._matrix[rows] if few else self._matrix[:end]
        with np.errstate(over="ignore", invalid="ignore"):
            dots = (matrix @ q.astype(np.float32)).astype(np.float64)
        if not few:
            dots = dots[rows]
        squares = self._squares[rows]
        lengths = np.sqrt(squares) * np.sqrt(q @ q)
        if not np.isfinite(dots).all():
            # The numbers are so large that 32 bits overflow: compare all rows exactly.
            return np.ones(len(rows), np.bool_)  # type: ignore[no-any-return]
        # The error bound of a sum of products (Higham, Accuracy and Stability, 3.1), with room to
        # spare, plus what each product too small for 32 bits may have lost.
        error = self.dimension * (4 * 2.0**-24 * lengths + 2.0**-125)
        if metric == "l2":
            distances = squares + q @ q - 2 * dots
            error = 2 * error + 1e-11 * (squares + q @ q)
            # Compares scores, which may be equal even if the distances differ.
            low = 1 / (1 + np.maximum(distances + error, 0))
            high = 1 / (1 + np.maximum(distances - error, 0))
        else:
            zeros = np.zeros_like(dots)
            low = np.divide(dots - error, lengths, out=zeros.copy(), where=lengths > 0)
            high = np.divide(dots + error, lengths, out=zeros, where=lengths > 0)
        low += more
        high += more
        nearest: Booleans = high >= np.partition(low, len(low) - best)[len(low) - best]
        return nearest


def load_numpy() -> Any:
    """Returns numpy, an optional dependency that only a search by vector needs.

    Raises:
        ConfigurationError: numpy is not installed.
    """
    try:
        return importlib.import_module("numpy")
    except ImportError as error:
        raise ConfigurationError(
            'a search by vector needs numpy: pip install "botwire-core[vector]"'
        ) from error


def _row_sums(rows: Doubles, other: Doubles) -> Doubles:
    """Returns each row's dot product with `other`, which has one row, or as many rows.

    A row has the same sum, to the last digit, whichever other rows are computed with it.
    """
    np = load_numpy()
    subscripts = "ij,ij->i" if other.ndim == 2 else "ij,j->i"
    if len(rows) != 1:
        sums: Doubles = np.einsum(subscripts, rows, other)
        return sums
    # If a row of more than 8,192 numbers (numpy's buffer) is alone, numpy adds in another order.
    twice = np.concatenate([rows, rows])
    alone: Doubles = np.einsum(subscripts, twice, twice if other.ndim == 2 else other)[:1]
    return alone


def _code(codes: dict[Any, int], value: Any) -> int:
    return codes.setdefault(value, len(codes))
