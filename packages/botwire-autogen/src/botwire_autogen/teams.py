"""The state of a team under a key: saved whole, resumed by one process at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from autogen_agentchat.base import Team

import botwire
from botwire import AsyncMemory, ConfigurationError, ConflictError
from botwire.connection import Connection
from botwire.tagged import from_json, to_json

FORMAT = 1
PREFIX = "autogen/team/"
"""What the keys of team states begin with."""


class SavedState(NamedTuple):
    """A team's state as it is stored.

    Attributes:
        state: What the team's ``save_state`` gave.
        extra: What was saved beside it, a JSON object.
        version: Of the key; the next save states it.
    """

    state: Mapping[str, Any]
    extra: Mapping[str, Any]
    version: int


class BotWireStateStore:
    """Where the state of teams is kept, each under a name.

    Args:
        namespace: Whose teams.
        client: A `Memory` or `AsyncMemory` of BotWire to use.
        url: Where memory lives, as for BotWire's `Memory`.
        api_key: For a server.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    def __init__(
        self,
        namespace: str,
        *,
        client: botwire.Memory | AsyncMemory | None = None,
        url: str | None = None,
        api_key: str | None = None,
    ) -> None:
        self.connection = Connection(namespace, client=client, url=url, api_key=api_key)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.connection.namespace!r})"

    async def save(
        self,
        name: str,
        state: Mapping[str, Any],
        *,
        extra: Mapping[str, Any] | None = None,
        if_version: int | None = None,
    ) -> int:
        """Stores a state in the place of the one before, in one step.

        Args:
            name: The team's.
            state: What its ``save_state`` gave.
            extra: A JSON object to keep with it.
            if_version: Store only if the stored one still has this version; 0: there is none.

        Returns:
            The new version.

        Raises:
            ConflictError: Another process saved or resumed the team since.
            NotJSONError: The state holds what would not come back; it says where.
        """
        document = {"format": FORMAT, "state": to_json(state, "state"), "extra": dict(extra or {})}
        try:
            return await self.connection.async_memory.set(
                PREFIX + name, document, if_version=if_version
            )
        except ConflictError as error:
            raise ConflictError(
                f"the team {name!r} was saved or resumed by another process since this one did; "
                f"only one of them can go on ({error.detail})",
                request_id=error.request_id,
            ) from error

    async def load(self, name: str) -> SavedState | None:
        """Returns what is stored of a team, or None.

        Raises:
            ConfigurationError: It is of a format that this version does not read.
        """
        entry = await self.connection.async_memory.entry(PREFIX + name)
        if entry is None:
            return None
        document = entry.value
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise ConfigurationError(f"what {PREFIX + name!r} holds is no state of a team")
        return SavedState(from_json(document["state"]), document["extra"], entry.version)

    async def claim(self, name: str) -> SavedState | None:
        """Returns what `load` does, with a new version: whoever had the old one cannot save.

        Raises:
            ConflictError: Another process claimed it at the same time.
        """
        saved = await self.load(name)
        if saved is None:
            return None
        version = await self.save(name, saved.state, extra=saved.extra, if_version=saved.version)
        return saved._replace(version=version)

    async def delete(self, name: str) -> bool:
        """Deletes what is stored of a team and says whether there was something."""
        return await self.connection.async_memory.delete(PREFIX + name)


async def save_team(
    team: Team,
    namespace: str,
    *,
    name: str = "team",
    if_version: int | None = None,
    client: botwire.Memory | AsyncMemory | None = None,
    url: str | None = None,
    api_key: str | None = None,
) -> int:
    """Saves a team that is not running: the state of one that runs is torn.

    Args:
        team: Any team of AutoGen.
        namespace: Whose team.
        name: The team's name in the store.
        if_version: What the last save or resume returned, so that no one's is overwritten.
        client: A `Memory` or `AsyncMemory` of BotWire to use.
        url: Where memory lives, as for BotWire's `Memory`.
        api_key: For a server.

    Returns:
        The version of what is stored.

    Raises:
        ConflictError: Another process saved or resumed the team since.
    """
    store = BotWireStateStore(namespace, client=client, url=url, api_key=api_key)
    return await store.save(name, await team.save_state(), if_version=if_version)


async def resume_team(
    team: Team,
    namespace: str,
    *,
    name: str = "team",
    client: botwire.Memory | AsyncMemory | None = None,
    url: str | None = None,
    api_key: str | None = None,
) -> int:
    """Puts a new team into the state that was saved, if there is one.

    From now on this process has the team: another's save with its older version is a conflict.
    Counts of termination conditions are no part of AutoGen's state; `CheckpointedTeam` keeps them.

    Returns:
        The version for the next `save_team`; 0 if nothing was saved.

    Raises:
        ConflictError: Another process resumes it at the same time.
        ConfigurationError: What was saved is of a team with other agents.
    """
    store = BotWireStateStore(namespace, client=client, url=url, api_key=api_key)
    saved = await store.claim(name)
    if saved is None:
        return 0
    await restore(team, saved.state)
    return saved.version


async def restore(team: Team, state: Mapping[str, Any]) -> None:
    """Loads a state into a new team.

    Raises:
        ConfigurationError: It is of a team with other agents; names them.
    """
    fresh = (await team.save_state())["agent_states"]
    saved = state["agent_states"]
    if fresh.keys() != saved.keys():
        raise ConfigurationError(
            f"the saved team consists of {sorted(saved)}, and this one of {sorted(fresh)}: "
            "a state goes to agents by their names"
        )
    await team.load_state({**state, "agent_states": _with_graphs(saved, fresh)})


def _with_graphs(saved: Mapping[str, Any], fresh: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the states of a GraphFlow so that a loop is walked again after a resume.

    Its manager resets the counters of a node when the node is about to run, for those edges that
    triggered it; which ones did is not in its state (autogen-agentchat 0.7.5). A node that waits
    to run is therefore given its counters back here.
    """
    states = dict(saved)
    for name, state in saved.items():
        if "ready" not in state or "remaining" not in state:
            continue
        remaining = {target: dict(groups) for target, groups in state["remaining"].items()}
        enqueued = {target: dict(groups) for target, groups in state["enqueued_any"].items()}
        for node in state["ready"]:
            enqueued[node] = dict.fromkeys(enqueued.get(node, ()), False)
            for group, count in remaining.get(node, {}).items():
                if count <= 0:
                    remaining[node][group] = fresh[name]["remaining"][node][group]
        states[name] = {**state, "remaining": remaining, "enqueued_any": enqueued}
    return states
