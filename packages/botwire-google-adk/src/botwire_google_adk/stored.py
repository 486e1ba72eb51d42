"""What is stored of a session, under which names, and how it is read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from google.adk.sessions import Session, State
from google.adk.sessions._session_util import extract_json_safe_state_delta

from botwire import AsyncMemory, Entry, HistoryInfo, Item, NotJSONError
from botwire import operations as ops
from botwire.arguments import check_mapping
from botwire.names import check_string, join_parts, split_parts
from botwire.tagged import from_json, to_json

_APPS, _USERS = "google-adk/app", "google-adk/user"
_SESSIONS, _STATES = "google-adk/session", "google-adk/state"


class Where(NamedTuple):
    """The names under which a session is stored."""

    app: str
    user: str
    session: str

    @classmethod
    def of(cls, history: str) -> Where | None:
        """Returns the session whose events are a history; None if there can be none."""
        parts = split_parts(history)
        return cls(*parts) if parts is not None and len(parts) == len(cls._fields) else None

    @property
    def history(self) -> str:
        """The history that holds the events."""
        return join_parts(*self)

    @property
    def record(self) -> str:
        """The key that says that there is a session."""
        return f"{_SESSIONS}/{self.history}"

    @property
    def state(self) -> str:
        """The key that holds the session's own state."""
        return f"{_STATES}/{self.history}"

    @property
    def apps(self) -> str:
        """What the keys of the app's state begin with."""
        return f"{_APPS}/{join_parts(self.app)}/"

    @property
    def users(self) -> str:
        """What the keys of the user's state begin with."""
        return f"{_USERS}/{join_parts(self.app, self.user)}/"

    def to_value(self, updated: float) -> dict[str, Any]:
        """Returns what the key holds that says that there is a session."""
        # Long parts are only hashes in the keys.
        return {**self._asdict(), "updated": updated}


@dataclass(frozen=True)
class StoredSession:
    """What is stored of a session.

    Attributes:
        record: The key that says that there is a session; None in other frameworks' conversations.
        items: The last items, the newest first.
        following: Reads the items before them.
    """

    record: Entry | None
    state: dict[str, Any]
    info: HistoryInfo
    items: list[Item]
    following: ops.ReadHistory | None
    app: list[Entry]
    user: list[Entry]

    @property
    def exists(self) -> bool:
        """Whether there is a session."""
        return self.record is not None or self.info.count > 0

    @property
    def shared(self) -> list[Entry]:
        """The keys of app and user."""
        return self.app + self.user

    @property
    def updated(self) -> float:
        """When it was written last, in seconds since 1970."""
        if self.record is not None:
            return float(self.record.value["updated"])
        return self.info.updated_at.timestamp() if self.info.updated_at else 0.0

    def items_after(self, seq: int) -> list[Item]:
        """Returns the items after a sequence number, newest first; none if not all were read."""
        found = [item for item in self.items if item.seq > seq]
        return found if found and found[-1].seq == seq + 1 else []

    def marker(self, *, shared: bool) -> Marker:
        """Returns what a session loaded now knows, the versions of shared state if asked for."""
        version = self.record.version if self.record else 0
        return Marker(self.info.last_seq, version, versions(self.shared) if shared else None)

    @property
    def last_value(self) -> Any:
        """The last stored item; None if there is none."""
        return self.items[0].value if self.items else None


@dataclass(frozen=True)
class Marker:
    """What a session object knows of the store; kept in its `_storage_update_marker`.

    Attributes:
        last: The history's last sequence number.
        record: The version of the session's record; 0 if there is none.
        shared: The versions of the shared keys; None if they are not checked.
    """

    last: int
    record: int
    shared: Mapping[str, int] | None = field(default=None)

    @classmethod
    def of(cls, session: Session) -> Marker | None:
        """Returns what a session knows; None if it was not loaded here."""
        text = session._storage_update_marker  # noqa: SLF001 - meant for what a store knows
        return None if text is None else cls(**json.loads(text))

    def keep_in(self, session: Session) -> None:
        """Notes it in a session."""
        text = json.dumps(asdict(self), sort_keys=True)
        session._storage_update_marker = text  # noqa: SLF001 - as above


def state_delta(state: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """Returns what a change of state sets for app, user and session, as ADK converts it to JSON.

    Raises:
        NotJSONError: A value contains bytes that are not UTF-8, which ADK cannot convert.
    """
    for name in check_mapping(state or {}, "state"):
        check_string(name, "key of the state")
    try:
        return extract_json_safe_state_delta(dict(state or {}))
    except UnicodeDecodeError as error:
        raise _not_text(state or {}) from error


def _not_text(state: Mapping[str, Any]) -> NotJSONError:
    for name, value in state.items():
        try:
            extract_json_safe_state_delta({name: value})
        except UnicodeDecodeError:
            path = f"state[{name!r:.60}]"
            break
    else:
        path = "state"
    return NotJSONError(
        f"{path} contains bytes that are not text: save them as an artifact, or store them as "
        "base64 text",
        path,
    )


def shared_entries(where: Where, delta: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Returns what a change of state writes to the keys of app and user."""
    return {
        prefix + join_parts(name): {"name": name, "value": to_json(value, name)}
        for prefix, part in ((where.apps, delta["app"]), (where.users, delta["user"]))
        for name, value in part.items()
    }


def versions(entries: Iterable[Entry]) -> dict[str, int]:
    """Returns the version of each key."""
    return {entry.key: entry.version for entry in entries}


def merged(state: Mapping[str, Any], app: list[Entry], user: list[Entry]) -> dict[str, Any]:
    """Returns the state that an agent sees: the session's, the app's and the user's."""
    found = dict(state)
    for prefix, entries in ((State.APP_PREFIX, app), (State.USER_PREFIX, user)):
        for entry in entries:
            found[prefix + entry.value["name"]] = from_json(entry.value["value"])
    return found


def prefixed(delta: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Returns what a change of state sets for app and user, under the names an agent sees."""
    scopes = ("app", "user")
    return {f"{one}:{name}": value for one in scopes for name, value in delta[one].items()}


async def apply(memory: AsyncMemory, *operations: Any) -> Any:
    """Applies operations in one snapshot and returns their results."""
    return await memory.engine.apply(ops.Batch(memory.namespace, operations))


async def scan(memory: AsyncMemory, prefix: str) -> list[Entry]:
    """Returns the keys that begin with a prefix."""
    return [entry async for entry in memory.iter_entries(prefix)]


async def load(memory: AsyncMemory, where: Where, *, limit: int) -> StoredSession:
    """Returns all that is stored of a session, in one snapshot, with its last items."""
    newest = ops.ReadHistory(where.history, limit=limit, newest_first=True)
    (record, state), stat, page, *scans = await apply(
        memory,
        ops.GetKeys((where.record, where.state)),
        ops.StatHistory(where.history),
        newest,
        ops.ScanKeys(where.apps),
        ops.ScanKeys(where.users),
    )
    app, user = [
        await scan(memory, prefix) if found.more else [Entry.of(one) for one in found.entries]
        for found, prefix in zip(scans, (where.apps, where.users), strict=True)
    ]
    return StoredSession(
        record and Entry.of(record),
        {} if state is None else from_json(state.value.value),
        HistoryInfo.of(stat),
        [*map(Item, page.items)],
        newest.following(page),
        app,
        user,
    )


async def load_all(memory: AsyncMemory, app_name: str, user_id: str | None) -> list[Session]:
    """Returns the sessions of a user or of an app, without events, in no order.

    Conversations that another framework began under a session's name are sessions too.
    """
    scope = join_parts(app_name) if user_id is None else join_parts(app_name, user_id)
    records = [entry.value for entry in await scan(memory, f"{_SESSIONS}/{scope}/")]
    found = {Where(one["app"], one["user"], one["session"]): one["updated"] for one in records}
    for info in await memory.list_histories(f"{scope}/"):
        where = Where.of(info.name)
        if where is not None and info.count and info.updated_at is not None:
            found.setdefault(where, info.updated_at.timestamp())
    app = await scan(memory, f"{_APPS}/{join_parts(app_name)}/")
    states = {entry.key: entry.value for entry in await scan(memory, f"{_STATES}/{scope}/")}
    users: dict[str, list[Entry]] = {}
    for entry in await scan(memory, f"{_USERS}/{scope}/"):
        users.setdefault(entry.key.rpartition("/")[0] + "/", []).append(entry)
    return [
        Session(
            id=where.session,
            app_name=where.app,
            user_id=where.user,
            state=merged(from_json(states.get(where.state, {})), app, users.get(where.users, [])),
            last_update_time=updated,
        )
        for where, updated in found.items()
    ]
