"""The tables, the same on SQLite and PostgreSQL.

Every primary key begins with the namespace, so that a cluster can be distributed by it. The tables
use no feature that only a single node can provide: no sequences, triggers, foreign keys or advisory
locks. Names are bytes (see `botwire.names`), times are microseconds.

- ``botwire_namespaces.revision`` counts the changes of a namespace. A write locks this row first,
  so the changes of one namespace have a single order, which every reader sees.
- ``botwire_keys.version`` is the revision of the key's last write, so a version is never reused,
  not even after the key was deleted.
- ``botwire_namespaces.bytes`` is the total size of its keys, items and records (`sizes`), and
  ``writes`` is the number of writes on ``day`` (days since 1970, UTC). Histories and collections
  count their own ``bytes``. ``day_began`` is the revision at which the day of the last write began.
  A ``day`` of 0 means that no changes are kept; the index finds the other namespaces whose last
  write was long ago. ``largest`` is the size of the largest key, item or record ever written, so
  none is larger (see `pages`).
- ``botwire_keys.replaced`` is the size of the key that the last write replaced, so that the
  statement that writes can return it.
- ``botwire_histories.archived_seq``: the items up to this number are archived.
- ``botwire_items.version`` is the revision of the item's last write; 0 before format 8.
- ``botwire_histories.dead_seq``: the items up to this number belonged to the history before it
  expired, and the sweep removes them; ``dead`` is how many are left. ``archived_seq`` is never
  below it.
- ``botwire_histories.metadata`` is NULL if there is none; otherwise it counts towards ``bytes``.
- ``botwire_histories.base`` lists the items that a fork shares, by history (`history_rows`), or is
  NULL. In the other histories, ``forks`` is the number of forks that share their items,
  ``forked_seq`` and ``forked_version`` bound the items that the forks read, and ``past`` counts the
  rows of ``botwire_forked_items``: items as they were before the revision ``until``.
- ``botwire_records.version`` is the revision of the record's last write.
  ``botwire_collections.revision`` is that of the last write to any of its records, ``removed`` that
  of the last delete or restoration. So a cache of a collection as of a revision can tell what to
  read again.
- ``botwire_collections.expiring`` is 1 once an expiring record was put. Every read leaves out
  expired records. The next write to the collection, or the sweep, removes them.
- ``botwire_words`` is the index of the texts: which record holds a word, how often, and among how
  many words.
- ``botwire_changes`` tells what changed at which revision, for a while.
- ``botwire_namespaces.keep_past`` is how long a namespace keeps its past: 0 means not at all, and
  -1 means that the sweep is still removing it. The past is complete from the revision
  ``past_since`` on, which the namespace reached at ``past_began``. The tables ``botwire_past_…``
  then hold the rows as they were before the revision ``until`` changed or deleted them
  (`engines.sql.past`). For this, ``botwire_histories.version``, ``botwire_collections.version`` and
  ``botwire_words.since`` hold the revision at which a row got its present content. A key, an item
  or a record got it at ``version``, unless ``since`` says otherwise: a row that was imported keeps
  the version that it had elsewhere, and a key keeps its version when a hold removes its expiry.
  ``botwire_changes.changed_at`` is set only if the namespace keeps its past.
- ``author`` of a key, an item, a record and a change is who wrote it (`operations.authors`), or
  NULL if the author is unknown.
- ``botwire_requests`` keeps the answer to each request for a while, so that a retried request is
  answered instead of applied again.

`engines.sql.migrations` upgrades an existing store.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Dialect(NamedTuple):
    """The keywords that databases spell differently.

    Attributes:
        bytes_type: The type of a byte string.
        clustered: The suffix of a table of small rows that may be stored in the order of its key.
    """

    bytes_type: str
    clustered: str

    def spell(self, sql: str) -> str:
        """Returns a statement with ``{bytes}`` and ``{clustered}`` replaced for this database."""
        return sql.format(bytes=self.bytes_type, clustered=self.clustered)


SQLITE = Dialect("BLOB", " WITHOUT ROWID")
POSTGRES = Dialect("BYTEA", "")

VERSION_1: Sequence[str] = (
    """CREATE TABLE botwire_namespaces (
        namespace {bytes} NOT NULL,
        revision BIGINT NOT NULL,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (namespace)
    ){clustered}""",
    """CREATE TABLE botwire_keys (
        namespace {bytes} NOT NULL,
        key {bytes} NOT NULL,
        value_json TEXT,
        value_bytes {bytes},
        version BIGINT NOT NULL,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL,
        expires_at BIGINT,
        PRIMARY KEY (namespace, key)
    )""",
    """CREATE INDEX botwire_keys_expiry ON botwire_keys (expires_at, namespace)
        WHERE expires_at IS NOT NULL""",
    """CREATE TABLE botwire_histories (
        namespace {bytes} NOT NULL,
        history {bytes} NOT NULL,
        last_seq BIGINT NOT NULL,
        size BIGINT NOT NULL,
        archived BIGINT NOT NULL,
        archived_seq BIGINT NOT NULL,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL,
        PRIMARY KEY (namespace, history)
    ){clustered}""",
    """CREATE TABLE botwire_items (
        namespace {bytes} NOT NULL,
        history {bytes} NOT NULL,
        seq BIGINT NOT NULL,
        id {bytes},
        value_json TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (namespace, history, seq)
    )""",
    """CREATE UNIQUE INDEX botwire_items_id ON botwire_items (namespace, history, id)
        WHERE id IS NOT NULL""",
    """CREATE TABLE botwire_collections (
        namespace {bytes} NOT NULL,
        collection {bytes} NOT NULL,
        dimension BIGINT,
        size BIGINT NOT NULL,
        words BIGINT NOT NULL,
        revision BIGINT NOT NULL,
        removed BIGINT NOT NULL,
        PRIMARY KEY (namespace, collection)
    ){clustered}""",
    """CREATE TABLE botwire_records (
        namespace {bytes} NOT NULL,
        collection {bytes} NOT NULL,
        id {bytes} NOT NULL,
        text {bytes} NOT NULL,
        metadata TEXT NOT NULL,
        tags TEXT NOT NULL,
        scope {bytes} NOT NULL,
        embedding {bytes},
        version BIGINT NOT NULL,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL,
        PRIMARY KEY (namespace, collection, id)
    )""",
    """CREATE INDEX botwire_records_version
        ON botwire_records (namespace, collection, version)""",
    """CREATE INDEX botwire_records_age
        ON botwire_records (namespace, collection, created_at, id)""",
    """CREATE INDEX botwire_records_scope
        ON botwire_records (namespace, collection, scope, created_at)""",
    """CREATE TABLE botwire_words (
        namespace {bytes} NOT NULL,
        collection {bytes} NOT NULL,
        word {bytes} NOT NULL,
        id {bytes} NOT NULL,
        times BIGINT NOT NULL,
        among BIGINT NOT NULL,
        PRIMARY KEY (namespace, collection, word, id)
    ){clustered}""",
    """CREATE TABLE botwire_changes (
        namespace {bytes} NOT NULL,
        revision BIGINT NOT NULL,
        shape TEXT NOT NULL,
        action TEXT NOT NULL,
        name {bytes} NOT NULL,
        PRIMARY KEY (namespace, revision)
    ){clustered}""",
    """CREATE TABLE botwire_requests (
        namespace {bytes} NOT NULL,
        id {bytes} NOT NULL,
        results TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (namespace, id)
    )""",
    "CREATE INDEX botwire_requests_age ON botwire_requests (created_at, namespace)",
)
"""Creates the tables of the first version."""

VERSION_2: Sequence[str] = (
    "ALTER TABLE botwire_namespaces ADD COLUMN bytes BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE botwire_namespaces ADD COLUMN writes BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE botwire_namespaces ADD COLUMN day BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE botwire_keys ADD COLUMN replaced BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE botwire_histories ADD COLUMN bytes BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE botwire_collections ADD COLUMN bytes BIGINT NOT NULL DEFAULT 0",
)
"""Adds the counts of bytes and writes."""

VERSION_3: Sequence[str] = (
    "ALTER TABLE botwire_namespaces ADD COLUMN day_began BIGINT NOT NULL DEFAULT 0",
    # Namespaces that count no writes yet: treat their changes as old.
    "UPDATE botwire_namespaces SET day = 1 WHERE day = 0",
    """CREATE INDEX botwire_namespaces_day ON botwire_namespaces (day, namespace)
        WHERE day > 0""",
)
"""Adds the column and the index that find old changes."""

VERSION_4: Sequence[str] = (
    "ALTER TABLE botwire_collections ADD COLUMN indexed BIGINT NOT NULL DEFAULT 0",
)
"""Marks the collections that have their vectors in a table of their own."""

VERSION_4_POSTGRES: Sequence[str] = (
    """CREATE INDEX botwire_collections_unindexed ON botwire_collections (namespace, collection)
        WHERE indexed <> 1""",
)
"""Indexes the other collections."""

VERSION_5: Sequence[str] = (
    "ALTER TABLE botwire_namespaces ADD COLUMN largest BIGINT NOT NULL DEFAULT 0",
)
"""Adds the size of a namespace's largest element."""

VERSION_7: Sequence[str] = ("ALTER TABLE botwire_collections DROP COLUMN indexed",)
VERSION_7_POSTGRES: Sequence[str] = (
    "DROP INDEX IF EXISTS botwire_collections_unindexed",
    "DROP TABLE IF EXISTS botwire_vectors",
)
"""Removes the second table of vectors, which PostgreSQL had if it had pgvector."""

VERSION_8: Sequence[str] = (
    "ALTER TABLE botwire_histories ADD COLUMN metadata TEXT",
    "ALTER TABLE botwire_histories ADD COLUMN metadata_version BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE botwire_histories ADD COLUMN expires_at BIGINT",
    "ALTER TABLE botwire_histories ADD COLUMN dead_seq BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE botwire_histories ADD COLUMN dead BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE botwire_items ADD COLUMN version BIGINT NOT NULL DEFAULT 0",
    """CREATE INDEX botwire_histories_updated
        ON botwire_histories (namespace, updated_at, history)""",
    """CREATE INDEX botwire_histories_expiry ON botwire_histories (expires_at, namespace)
        WHERE expires_at IS NOT NULL""",
    """CREATE INDEX botwire_histories_dead ON botwire_histories (namespace, history)
        WHERE dead > 0""",
)
"""Turns histories into sessions: metadata, a list by last change, expiry, updates of items."""

VERSION_9: Sequence[str] = (
    "ALTER TABLE botwire_histories ADD COLUMN base TEXT",
    "ALTER TABLE botwire_histories ADD COLUMN forks BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE botwire_histories ADD COLUMN forked_seq BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE botwire_histories ADD COLUMN forked_version BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE botwire_histories ADD COLUMN past BIGINT NOT NULL DEFAULT 0",
    "DROP INDEX botwire_histories_dead",
    """CREATE INDEX botwire_histories_unswept ON botwire_histories (namespace, history)
        WHERE dead > 0 OR (past > 0 AND forks = 0)""",
    """CREATE TABLE botwire_past_items (
        namespace {bytes} NOT NULL,
        history {bytes} NOT NULL,
        seq BIGINT NOT NULL,
        until BIGINT NOT NULL,
        id {bytes},
        value_json TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        version BIGINT NOT NULL,
        PRIMARY KEY (namespace, history, seq, until)
    )""",
)
"""Lets a history begin with the items of another."""

VERSION_10: Sequence[str] = (
    "ALTER TABLE botwire_records ADD COLUMN expires_at BIGINT",
    "ALTER TABLE botwire_collections ADD COLUMN expiring BIGINT NOT NULL DEFAULT 0",
    """CREATE INDEX botwire_records_expiry ON botwire_records (expires_at, namespace)
        WHERE expires_at IS NOT NULL""",
    """CREATE INDEX botwire_records_expiring
        ON botwire_records (namespace, collection, expires_at) WHERE expires_at IS NOT NULL""",
)
"""Lets records expire."""

VERSION_11: Sequence[str] = tuple(
    f"ALTER TABLE botwire_{table} ADD COLUMN author TEXT"
    for table in ("keys", "items", "past_items", "records", "changes")
)
"""Adds authors."""

PAST_KEYS = {
    "keys": "key",
    "histories": "history",
    "metadata": "history",
    "items": "history, seq",
    "collections": "collection",
    "records": "collection, id",
    "words": "collection, word, id",
}
"""The columns that identify a row of a table, besides its namespace."""
_PAST_COLUMNS = {
    "keys": """key {bytes} NOT NULL, value_json TEXT, value_bytes {bytes}, version BIGINT NOT NULL,
        created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL, expires_at BIGINT, author TEXT""",
    "histories": """history {bytes} NOT NULL, last_seq BIGINT NOT NULL, size BIGINT NOT NULL,
        archived BIGINT NOT NULL, archived_seq BIGINT NOT NULL, created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL, metadata_version BIGINT NOT NULL, expires_at BIGINT,
        dead_seq BIGINT NOT NULL, base TEXT, version BIGINT NOT NULL""",
    "metadata": """history {bytes} NOT NULL, metadata TEXT NOT NULL,
        metadata_version BIGINT NOT NULL""",
    "items": """history {bytes} NOT NULL, seq BIGINT NOT NULL, id {bytes}, value_json TEXT NOT NULL,
        created_at BIGINT NOT NULL, version BIGINT NOT NULL, author TEXT""",
    "collections": """collection {bytes} NOT NULL, dimension BIGINT, size BIGINT NOT NULL,
        words BIGINT NOT NULL, revision BIGINT NOT NULL, expiring BIGINT NOT NULL,
        version BIGINT NOT NULL""",
    "records": """collection {bytes} NOT NULL, id {bytes} NOT NULL, text {bytes} NOT NULL,
        metadata TEXT NOT NULL, tags TEXT NOT NULL, scope {bytes} NOT NULL, embedding {bytes},
        version BIGINT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,
        expires_at BIGINT, author TEXT""",
    "words": """collection {bytes} NOT NULL, word {bytes} NOT NULL, id {bytes} NOT NULL,
        times BIGINT NOT NULL, among BIGINT NOT NULL, since BIGINT""",
}
VERSION_12: Sequence[str] = (
    "ALTER TABLE botwire_past_items RENAME TO botwire_forked_items",
    "ALTER TABLE botwire_namespaces ADD COLUMN keep_past BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE botwire_namespaces ADD COLUMN past_since BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE botwire_namespaces ADD COLUMN past_began BIGINT NOT NULL DEFAULT 0",
    """CREATE INDEX botwire_namespaces_past ON botwire_namespaces (namespace)
        WHERE keep_past <> 0""",
    "ALTER TABLE botwire_histories ADD COLUMN version BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE botwire_collections ADD COLUMN version BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE botwire_words ADD COLUMN since BIGINT",
    "ALTER TABLE botwire_changes ADD COLUMN changed_at BIGINT",
    """CREATE INDEX botwire_changes_time ON botwire_changes (namespace, changed_at)
        WHERE changed_at IS NOT NULL""",
    *[
        f"""CREATE TABLE botwire_past_{table} (
        namespace {{bytes}} NOT NULL,
        {columns},
        until BIGINT NOT NULL,
        PRIMARY KEY (namespace, {PAST_KEYS[table]}, until)
    )"""
        for table, columns in _PAST_COLUMNS.items()
    ],
    *[
        f"CREATE INDEX botwire_past_{table}_until ON botwire_past_{table} (namespace, until)"
        for table in _PAST_COLUMNS
    ],
)
"""Lets a namespace keep its past."""

VERSION_13: Sequence[str] = (
    *[
        f"ALTER TABLE botwire_{table} ADD COLUMN since BIGINT"
        for shape in ("keys", "items", "records")
        for table in (shape, f"past_{shape}")
    ],
    "ALTER TABLE botwire_forked_items ADD COLUMN since BIGINT",
    """CREATE INDEX botwire_past_histories_updated
        ON botwire_past_histories (namespace, updated_at, history)""",
    """CREATE INDEX botwire_past_records_age
        ON botwire_past_records (namespace, collection, created_at, id)""",
)
"""Lets what is imported become part of the past, and pages of the past begin at their cursor."""
