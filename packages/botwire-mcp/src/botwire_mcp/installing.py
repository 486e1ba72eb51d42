"""Adds the server to the settings of MCP clients: shows the change, keeps a backup, merges."""

from __future__ import annotations

import difflib
import json
import os
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botwire.errors import ConfigurationError

NAME = "botwire"
"""The name of the server in the settings."""

Entry = dict[str, Any]


@dataclass(frozen=True)
class FileChange:
    """A change to a settings file.

    Attributes:
        path: The file.
        old: Its current text; empty if it does not exist.
        new: Its new text, with the server.
    """

    path: Path
    old: str
    new: str

    def show(self, secret: str | None = None) -> str:
        """Returns the difference, with secrets removed."""
        lines = difflib.unified_diff(
            self.old.splitlines(), self.new.splitlines(), str(self.path), str(self.path), "", "", 2
        )
        text = "\n".join(line.rstrip("\n") for line in lines)
        return text.replace(secret, "…") if secret else text

    def write(self) -> Path | None:
        """Writes the file, atomically, and returns the backup of the old one.

        Raises:
            ConfigurationError: Someone else changed the file meanwhile.
        """
        path = self.path.resolve()  # the target of a link, which stays
        path.parent.mkdir(parents=True, exist_ok=True)
        if read_text(path) != self.old:
            raise ConfigurationError(f"{path} was changed just now: nothing was written; try again")
        backup = None
        if path.exists():
            backup = _unused(path)
            shutil.copy2(path, backup)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
                file.write(self.new)
                file.flush()
                os.fsync(file.fileno())
            if backup is not None:
                shutil.copymode(path, name)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        return backup


def plan(client: str, entry: Entry, *, project: bool = False) -> FileChange | None:
    """Returns the change to make; None if the server is already installed.

    Args:
        client: A client in `CLIENTS`.
        entry: How the client starts the server: ``command``, ``args``, ``env``.
        project: Whether to install it for the project in the current folder only.

    Raises:
        ConfigurationError: The settings cannot be read, or have another server of this name.
    """
    settings = CLIENTS[client]
    path = settings.project if project else settings.user()
    if path is None:
        raise ConfigurationError(f"{client} has no settings per project: omit --project")
    old = read_text(path)
    new = (_merge_toml if path.suffix == ".toml" else _merge_json)(path, old, settings, entry)
    return None if new is None else FileChange(path, old, new)


def entry_of(options: list[str], environment: Mapping[str, str | None]) -> Entry:
    """Returns how a client starts the server.

    Args:
        options: Options of ``botwire-mcp``.
        environment: Environment variables, except those that are None.
    """
    entry: Entry = {"command": "uvx", "args": ["botwire-mcp", *options]}
    env = {name: value for name, value in environment.items() if value}
    return {**entry, "env": env} if env else entry


@dataclass(frozen=True)
class ClientSettings:
    """Where a client keeps its MCP servers.

    Attributes:
        user: Returns the user's file.
        project: A project's file, if the client has one.
        section: The key with all servers.
        extra: Fields of an entry besides how to start the server.
    """

    user: Callable[[], Path]
    project: Path | None = None
    section: str = "mcpServers"
    extra: Mapping[str, str] | None = None


def home() -> Path:
    """Returns the folder of this user.

    Raises:
        ConfigurationError: There is none.
    """
    try:
        return Path.home()
    except RuntimeError:
        raise ConfigurationError("this user has no home for settings: set HOME") from None


def _application(*parts: str) -> Path:
    """Returns a file in the folder where this system's applications keep their settings."""
    if sys.platform == "darwin":
        return home().joinpath("Library", "Application Support", *parts)
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA", home() / "AppData/Roaming")).joinpath(*parts)
    return Path(os.environ.get("XDG_CONFIG_HOME") or home() / ".config").joinpath(*parts)


CLIENTS: Mapping[str, ClientSettings] = {
    "claude-code": ClientSettings(lambda: home() / ".claude.json", Path(".mcp.json")),
    "claude-desktop": ClientSettings(lambda: _application("Claude", "claude_desktop_config.json")),
    "cursor": ClientSettings(lambda: home() / ".cursor/mcp.json", Path(".cursor/mcp.json")),
    "vscode": ClientSettings(
        lambda: _application("Code", "User", "mcp.json"),
        Path(".vscode/mcp.json"),
        "servers",
        {"type": "stdio"},
    ),
    "codex": ClientSettings(
        lambda: Path(os.environ.get("CODEX_HOME") or home() / ".codex") / "config.toml",
        section="mcp_servers",
    ),
}
"""The clients whose settings are known."""


def _merge_json(path: Path, old: str, settings: ClientSettings, entry: Entry) -> str | None:
    entry = {**(settings.extra or {}), **entry}
    try:
        document = json.loads(old) if old.strip() else {}
    except ValueError as error:
        raise _by_hand(path, f"is not plain JSON ({error})", settings, entry) from None
    servers = document.setdefault(settings.section, {}) if isinstance(document, dict) else None
    if not isinstance(servers, dict):
        raise _by_hand(path, f"has no object {settings.section!r}", settings, entry)
    if NAME in servers:
        _check_same(path, servers[NAME], entry)
        return None
    servers[NAME] = entry
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _merge_toml(path: Path, old: str, settings: ClientSettings, entry: Entry) -> str | None:
    try:
        document = tomllib.loads(old)
    except tomllib.TOMLDecodeError as error:
        raise _by_hand(path, f"is not TOML ({error})", settings, entry) from None
    servers = document.get(settings.section, {})
    if isinstance(servers, dict) and NAME in servers:
        _check_same(path, servers[NAME], entry)
        return None
    lines = [f"[{settings.section}.{NAME}]", f"command = {json.dumps(entry['command'])}"]
    lines.append(f"args = {json.dumps(entry['args'])}")
    if "env" in entry:
        pairs = ", ".join(f"{name} = {json.dumps(text)}" for name, text in entry["env"].items())
        lines.append(f"env = {{ {pairs} }}")
    before = old if not old or old.endswith("\n") else old + "\n"
    new = before + ("\n" if before else "") + "\n".join(lines) + "\n"
    try:
        merged = tomllib.loads(new)
    except tomllib.TOMLDecodeError:
        merged = {}
    if not isinstance(servers, dict) or merged != {
        **document,
        settings.section: {**servers, NAME: entry},
    }:
        raise _by_hand(path, f"has {settings.section} in another form", settings, entry)
    return new


def _check_same(path: Path, present: Any, entry: Entry) -> None:
    if present != entry:
        raise ConfigurationError(
            f"{path} has another server named {NAME!r}: nothing was changed. Remove it there first"
        )


def _by_hand(path: Path, why: str, settings: ClientSettings, entry: Entry) -> ConfigurationError:
    shown = {name: value for name, value in entry.items() if name != "env"}
    return ConfigurationError(
        f"{path} {why}: nothing was changed. Add to its {settings.section} by hand: "
        f"{json.dumps({NAME: shown})}"
    )


def read_text(path: Path) -> str:
    """Returns the text of a settings file; empty if it does not exist.

    Raises:
        ConfigurationError: The file cannot be read.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from None


def _unused(path: Path) -> Path:
    """Returns an unused name for a backup."""
    number = 1
    while (backup := path.with_name(f"{path.name}.backup-{number}")).exists():
        number += 1
    return backup
