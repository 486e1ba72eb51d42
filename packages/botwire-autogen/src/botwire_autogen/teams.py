"""States of teams, each saved as a whole and resumed by one process at a time."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Unpack

from autogen_agentchat.base import Team

from botwire import ConfigurationError, ConflictError, Item
from botwire.arguments import check_mapping, check_type
from botwire.connection import Connected, ConnectionOptions, takes_connection
from botwire.exact import Json
from botwire.messages import Message, Native, UnreadableItemError, read_item
from botwire.names import check_history
from botwire.operations import check_count
from botwire.tagged import Rewriter, from_json, from_stored
from botwire_autogen.acting import acting
from botwire_autogen.dumps import dumped_state
from botwire_autogen.llm_messages import FRAMEWORK
from botwire_autogen.team_states import described, restore, with_thread, without_thread

FORMAT = 1
PREFIX = "autogen/team/"
"""The prefix of the keys of team states, and of the names of their threads' histories."""

DEFAULT_NAME = "team"
"""The name of a team without one."""

THREAD_FORMAT = 1
"""The format of a message in a thread: its own dump, tagged (`botwire.tagged`)."""

_UNKNOWN = -1  # no version, so the stored thread must be replaced
_TRIES = 10


class SavedState(NamedTuple):
    """A team's state as it is stored.

    Attributes:
        state: The result of the team's ``save_state``.
        extra: A JSON object that was saved with it.
        version: The version of the key, which the next save expects.
    """

    state: Mapping[str, Any]
    extra: Mapping[str, Any]
    version: int


class BotWireStateStore(Connected, framework="autogen", acting=acting):
    """Stores the states of teams, each under a name.

    A team's conversation, which only grows, is a history; everything else is one value. Saving a
    team that this store has loaded or saved before writes only what is new.

    Args:
        namespace: The namespace of the teams.
        **connection: Where memory lives; see `ConnectionOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    def __init__(
        self,
        namespace: str,
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        super().__init__(namespace, **connection)
        self._known: dict[str, tuple[int, list[Any]]] = {}  # by name: a version and its thread
        self._rewriters: defaultdict[str, Rewriter] = defaultdict(Rewriter)

    async def save(
        self,
        name: str,
        state: Mapping[str, Any],
        *,
        extra: Mapping[str, Any] | None = None,
        if_version: int | None = None,
        stored: int = 0,
    ) -> int:
        """Replaces the stored state in one step.

        Args:
            name: The team's name.
            state: The result of the team's ``save_state``.
            extra: A JSON object to store with the state.
            if_version: Store only if the stored state still has this version; 0: if there is none.
            stored: How many messages are stored under `if_version` and left out of `state`, whose
                thread only continues them.

        Returns:
            The new version.

        Raises:
            ConfigurationError: An argument is not valid.
            ConflictError: Another process saved or resumed the team since.
            NotJSONError: The state holds something that cannot be restored; the error says where.
        """
        key = _key(name)
        check_mapping(state, "state")
        check_mapping(extra or {}, "extra")
        check_count(stored, "stored")
        if stored and not if_version:
            raise ConfigurationError("stored needs if_version, the version that holds the messages")
        # AutoGen has already turned images into text, so this is fast.
        rest, thread = without_thread(self._rewriters[name].to_json(dict(state), "state"))
        version, known = self._known.pop(name, (_UNKNOWN, []))
        try:
            async with self.connection.async_memory.transaction() as tx:
                tx.set(key, _document(rest, extra), if_version=if_version)
                history = tx.history(key)
                if stored:
                    history.extend(map(_to_item, thread))
                elif version == if_version and known == thread[: len(known)]:
                    history.extend(map(_to_item, thread[len(known) :]))
                else:
                    history.replace(map(_to_item, thread))
        except ConflictError as error:
            raise _taken(name, error.detail, error.request_id) from error
        if not stored:
            self._known[name] = (int(tx.results[0]), thread)
        return int(tx.results[0])

    async def load(self, name: str) -> SavedState | None:
        """Returns the stored state of a team, or None.

        Raises:
            ConfigurationError: The state has a format that this version does not read.
            ConflictError: Another process kept saving the state while this one read it.
        """
        for _ in range(_TRIES):
            if (found := await self._read(name)) is None:
                return None
            thread = await self._thread(name, _as_stored)
            if await self._version(name) == found.version:
                break
        else:
            raise ConflictError(f"the team {name!r} is being saved by another process: load again")
        self._known[name] = (found.version, thread)
        return found._replace(state=from_json(with_thread(found.state, thread)))

    async def load_extra(self, name: str) -> Mapping[str, Any] | None:
        """Returns the `extra` saved with a team's state, without reading its conversation."""
        found = await self._read(name)
        return None if found is None else found.extra

    async def _read(self, name: str) -> SavedState | None:
        entry = await self.connection.async_memory.entry(_key(name))
        if entry is None:
            return None
        document = entry.value
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise ConfigurationError(f"what {PREFIX + name!r} holds is not the state of a team")
        return SavedState(document["state"], document["extra"], entry.version)

    async def _thread(self, name: str, read: Callable[[Json], Any]) -> list[Any]:
        items = await self.connection.async_memory.history(_key(name)).read()
        return [_from_item(name, item, read) for item in items]

    async def _version(self, name: str) -> int:
        entry = await self.connection.async_memory.entry(_key(name))
        return 0 if entry is None else entry.version

    async def claim(self, name: str) -> SavedState | None:
        """Loads a state and gives it a new version, so that holders of the old one cannot save.

        Raises:
            ConflictError: Other processes kept claiming the state.
        """
        for tries_left in reversed(range(_TRIES)):
            if (found := await self._read(name)) is None:
                return None
            thread = await self._thread(name, from_stored)
            document = _document(found.state, found.extra)
            try:
                # The same again: what it says is not converted, only its version is new.
                version = await self.connection.async_memory.set(
                    _key(name), document, if_version=found.version
                )
            except ConflictError as error:
                # The write of a cancelled task may still have been in flight.
                if not tries_left:
                    raise _taken(name, error.detail, error.request_id) from error
            else:
                state = with_thread(from_json(found.state), thread)
                return SavedState(state, found.extra, version)
        raise AssertionError  # the last try returns or raises

    async def check(self, name: str, version: int) -> None:
        """Raises `ConflictError` if the stored state has another version; 0 means no state."""
        found = await self._version(name)
        if found != version:
            raise _taken(name, f"its version is {found}, not {version}")

    async def check_owner(self, team: Team) -> None:
        """Raises `ConfigurationError` if the state without a name belongs to another team."""
        extra = await self.load_extra(DEFAULT_NAME)
        owner, asking = (extra or {}).get("team"), described(team)
        if owner not in (None, asking):
            raise ConfigurationError(
                f"the teams {owner} and {asking} of the namespace {self.connection.namespace!r} "
                "both have no name, and would share one state: give each a name="
            )

    async def delete(self, name: str) -> bool:
        """Deletes the stored state of a team and returns whether there was one."""
        key = _key(name)
        self._known.pop(name, None)
        self._rewriters.pop(name, None)
        async with self.connection.async_memory.transaction() as tx:
            tx.delete(key)
            tx.history(key).clear()
        return bool(tx.results[0])


def check_team_name(name: object) -> str:
    """Returns the name of a team in the store, `DEFAULT_NAME` for None.

    Raises:
        ConfigurationError: It is not a valid name.
    """
    return DEFAULT_NAME if name is None else check_history(name)


@takes_connection
async def save_team(
    team: Team,
    namespace: str,
    *,
    name: str | None = None,
    if_version: int | None = None,
    **connection: Unpack[ConnectionOptions],
) -> int:
    """Saves a team that is not running; a running team's state is inconsistent.

    Args:
        team: Any AutoGen team.
        namespace: The namespace of the team.
        name: The team's name in the store. Defaults to ``team``; then another team in the namespace
            needs a name.
        if_version: The version that the last save or resume returned, so that the save does not
            overwrite another process's state.
        **connection: Where memory lives; see `ConnectionOptions`.

    Returns:
        The version of the stored state.

    Raises:
        ConflictError: Another process saved or resumed the team since.
        ConfigurationError: Another team in the namespace has no name either.
    """
    key = check_team_name(name)
    check_type(team, Team, "team")
    store = BotWireStateStore(namespace, **connection)
    if name is None:
        await store.check_owner(team)
    return await store.save(
        key,
        await dumped_state(team.save_state()),
        extra={"team": described(team)},
        if_version=if_version,
    )


@takes_connection
async def resume_team(
    team: Team,
    namespace: str,
    *,
    name: str | None = None,
    **connection: Unpack[ConnectionOptions],
) -> int:
    """Restores the saved state into a new team, if there is one.

    From then on this process holds the team: a save by another process with an older version is a
    conflict. AutoGen's state does not include the counts of termination conditions;
    `CheckpointedTeam` keeps them.

    Returns:
        The version for the next `save_team`; 0 if nothing was saved.

    Raises:
        ConflictError: Another process is resuming the team at the same time.
        ConfigurationError: The saved state belongs to another team.
    """
    key = check_team_name(name)
    check_type(team, Team, "team")
    store = BotWireStateStore(namespace, **connection)
    if name is None:
        await store.check_owner(team)
    saved = await store.claim(key)
    if saved is None:
        return 0
    await restore(team, saved.state)
    return saved.version


def _key(name: str) -> str:
    return PREFIX + check_type(name, str, "name")


def _taken(name: str, detail: str, request_id: str | None = None) -> ConflictError:
    return ConflictError(
        f"the team {name!r} was saved or resumed by another process since this one did; only one "
        f"of them can continue ({detail})",
        request_id=request_id,
    )


def _to_item(message: Any) -> dict[str, Any]:
    """Returns the envelope of a message in a thread, given the message's dump."""
    content = message.get("content")
    source = str(message.get("source", ""))
    return Message(
        "user" if source == "user" else "assistant",
        content if isinstance(content, str) else json.dumps(content, ensure_ascii=False),
        name=source,
        native=Native(FRAMEWORK, THREAD_FORMAT, message),
    ).to_item()


def _document(state: Any, extra: Mapping[str, Any] | None) -> dict[str, Any]:
    return {"format": FORMAT, "state": state, "extra": dict(extra or {})}


def _as_stored(data: Json) -> Any:
    return data.value


def _from_item(name: str, item: Item, read: Callable[[Json], Any]) -> Any:
    try:
        return read_item(
            item,
            framework=FRAMEWORK,
            formats=(THREAD_FORMAT,),
            from_native=read,
            from_portable=_refuse,
        )
    except UnreadableItemError as error:
        raise ConfigurationError(
            f"item {item.seq} of the history {PREFIX + name!r} is not a message of a team: "
            "another program wrote it"
        ) from error


def _refuse(_: Message) -> Any:
    raise TypeError("it has no message of a team")
