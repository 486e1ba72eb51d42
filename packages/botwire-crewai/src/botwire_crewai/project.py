"""The current project and its memory, for defaults and for CrewAI's own commands."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tomllib
from pathlib import Path
from typing import Any

from crewai_core.paths import db_storage_path

from botwire import ConfigurationError
from botwire.places import NAMESPACE_VARIABLE

logger = logging.getLogger("botwire.crewai")

_STORAGE_VARIABLE = "CREWAI_STORAGE_DIR"
_NOTE = "botwire.json"
_SETTINGS = "pyproject.toml"
_NAME = 60  # longest part of a folder's name in a namespace


def default_namespace() -> str:
    """Returns the default namespace.

    It is ``BOTWIRE_NAMESPACE``, else ``namespace`` in ``[tool.botwire]`` of the project's
    ``pyproject.toml``, else the project's own: CrewAI keeps one store per project, so two projects
    never share memory by default. The project's own depends on the path of its folder, because
    folders may have the same name. A moved project gets a new one.

    Raises:
        ConfigurationError: The namespace in ``pyproject.toml`` is not a string.
    """
    chosen = os.environ.get(NAMESPACE_VARIABLE)
    if chosen is None:
        chosen = _settings(project_folder()).get("botwire", {}).get("namespace")
    if chosen is None:
        return f"crewai/{project_name()}"
    if not isinstance(chosen, str):
        raise ConfigurationError(
            f"namespace in [tool.botwire] of {project_folder() / _SETTINGS} is a string, "
            f"not {chosen!r}"
        )
    return chosen


def project_name() -> str:
    """Returns the name of the project's folder and a hash of its path."""
    folder = project_folder()
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:8]
    return f"{folder.name[:_NAME]}-{digest}"


def project_folder() -> Path:
    """Returns the folder that identifies this project.

    It is CrewAI's storage folder if ``CREWAI_STORAGE_DIR`` names one, else the nearest folder above
    whose ``pyproject.toml`` has ``[tool.crewai]``, else the working folder.
    """
    named = os.environ.get(_STORAGE_VARIABLE)
    if named:
        return Path(named).resolve()
    here = Path.cwd().resolve()
    return next((one for one in (here, *here.parents) if "crewai" in _settings(one)), here)


def storage_folder() -> Path:
    """Returns the folder in which CrewAI keeps this project's own files."""
    return Path(os.environ.get(_STORAGE_VARIABLE) or db_storage_path())


def note_installed(place: dict[str, Any] | None) -> None:
    """Records where this project's memory is, for ``crewai reset-memories``.

    CrewAI's command imports ``crew.py`` in a process of its own, which need not call `install`.
    Projects whose folders have the same name share CrewAI's folder, so each has an entry.

    Args:
        place: The namespace and URL, without any secret; None if only this process knows.
    """
    try:
        projects = _read_notes()
    except (OSError, ValueError):
        projects = {}  # from another version, or truncated: rewrite it
    here = str(project_folder())
    for folder in _gone(projects):
        was = projects.pop(folder)  # warn only once
        if here not in projects:
            logger.warning(
                "this project may have been moved here from %s, whose memory is in namespace %r: "
                "name it in install(), or in [tool.botwire] of pyproject.toml, to keep using it",
                folder,
                (was or {}).get("namespace"),
            )
    _write_notes({**projects, here: place})


def forget_installed() -> None:
    """Removes what `note_installed` recorded."""
    try:
        projects = _read_notes()
    except (OSError, ValueError):
        projects = {}
    projects.pop(str(project_folder()), None)
    _write_notes(projects)


def read_installed() -> dict[str, Any] | None:
    """Returns what `note_installed` recorded for this project; empty if nothing.

    Raises:
        ConfigurationError: It was recorded for a project that no longer exists, which may be this
            one.
        OSError: The note cannot be read.
        ValueError: The note is not valid.
    """
    projects = _read_notes()
    here = str(project_folder())
    if here in projects:
        return projects[here]
    for folder in _gone(projects):
        namespace = (projects[folder] or {}).get("namespace")
        raise ConfigurationError(
            f"this project may have been moved here from {folder}, whose memory is in namespace "
            f"{namespace!r}: run it here once, so it calls install(), or use: python -m "
            "botwire_crewai reset NAMESPACE. If it never used BotWire, delete "
            f"{storage_folder() / _NOTE}"
        )
    return {}


def _gone(projects: dict[str, Any]) -> list[str]:
    return [folder for folder in projects if not Path(folder).exists()]


def _read_notes() -> dict[str, dict[str, Any] | None]:
    note = storage_folder() / _NOTE
    if not note.is_file():
        return {}
    projects: dict[str, dict[str, Any] | None] = json.loads(note.read_text("utf-8"))["projects"]
    return projects


def _write_notes(projects: dict[str, dict[str, Any] | None]) -> None:
    try:
        folder = storage_folder()
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"projects": projects})
        if not (folder / _NOTE).is_file() or (folder / _NOTE).read_text("utf-8") != text:
            (folder / _NOTE).write_text(text, "utf-8")
    except OSError as error:
        logger.warning(
            "CrewAI's folder cannot be written, so 'crewai reset-memories' will not reach BotWire: "
            "%s",
            error,
        )


def _settings(folder: Path) -> dict[str, Any]:
    try:
        settings = tomllib.loads((folder / _SETTINGS).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    tools: dict[str, Any] = settings.get("tool", {})
    return tools
