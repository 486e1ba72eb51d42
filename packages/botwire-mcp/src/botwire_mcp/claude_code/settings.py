"""Adds the hooks to the settings of Claude Code."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from botwire.errors import ConfigurationError
from botwire.places import API_KEY_VARIABLE
from botwire_mcp.installing import FileChange, home, read_text

EVENTS: Mapping[str, str | None] = {
    "SessionStart": "startup|clear|compact",  # a resumed session has it in its transcript
    "PreCompact": None,
    "SessionEnd": None,
}
"""The events that have a hook, each with its matcher."""

_SECONDS = 30
_OURS = "botwire-mcp hook"


def command_of(options: Sequence[str]) -> str:
    """Returns the command of the hooks.

    Args:
        options: Where memory lives, as options of ``botwire-mcp``.
    """
    # The status 2 forbids a compaction, and uvx fails with it if there is no network.
    return shlex.join(["uvx", "botwire-mcp", "hook", *options]) + " || exit 1"


def plan(command: str, api_key: str | None, *, project: bool = False) -> FileChange | None:
    """Returns the change to make; None if the hooks are already installed.

    Args:
        command: The command of the hooks.
        api_key: The API key for a server. It becomes an environment variable in the settings,
            because other users can read the command of a process.
        project: Whether to install them for the project in the current folder only.

    Raises:
        ConfigurationError: The settings cannot be read, or have other hooks of BotWire.
    """
    path = (Path() if project else home()) / ".claude" / "settings.json"
    old = read_text(path)
    try:
        document = json.loads(old) if old.strip() else {}
    except ValueError as error:
        raise _by_hand(path, f"is not plain JSON ({error})", command) from None
    if not isinstance(document, dict):
        raise _by_hand(path, "is not a JSON object", command)
    hooks = document.setdefault("hooks", {})
    if not isinstance(hooks, dict):
        raise _by_hand(path, "has hooks in another form", command)
    is_changed = _set_key(path, document, api_key, command)
    for event, matcher in EVENTS.items():
        groups = hooks.setdefault(event, [])
        if not isinstance(groups, list):
            raise _by_hand(path, f"has hooks for {event} in another form", command)
        present = [one for group in groups for one in _commands(group) if _OURS in one]
        if present and set(present) != {command}:
            raise ConfigurationError(
                f"{path} has another hook of BotWire for {event}: nothing was changed. Remove it "
                "there first"
            )
        if not present:
            ours = {"type": "command", "command": command, "timeout": _SECONDS}
            groups.append({**({"matcher": matcher} if matcher else {}), "hooks": [ours]})
            is_changed = True
    if not is_changed:
        return None
    return FileChange(path, old, json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def _set_key(path: Path, document: dict[str, Any], api_key: str | None, command: str) -> bool:
    if api_key is None:
        return False
    variables = document.setdefault("env", {})
    if not isinstance(variables, dict):
        raise _by_hand(path, "has env in another form", command)
    if variables.get(API_KEY_VARIABLE, api_key) != api_key:
        raise ConfigurationError(
            f"{path} has another {API_KEY_VARIABLE} in env: nothing was changed. Remove it first"
        )
    is_new = API_KEY_VARIABLE not in variables
    variables[API_KEY_VARIABLE] = api_key
    return is_new


def _commands(group: Any) -> list[str]:
    hooks = group.get("hooks") if isinstance(group, dict) else None
    found = [one.get("command") for one in hooks or () if isinstance(one, dict)]
    return [command for command in found if isinstance(command, str)]


def _by_hand(path: Path, why: str, command: str) -> ConfigurationError:
    return ConfigurationError(
        f"{path} {why}: nothing was changed. Add this command by hand to the hooks for "
        f"{', '.join(EVENTS)}: {command}"
    )
