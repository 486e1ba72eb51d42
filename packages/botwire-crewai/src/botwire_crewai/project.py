"""Which project this is, and where its memory went: for defaults, and for CrewAI's own commands."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tomllib
from pathlib import Path
from typing import Any

from crewai_core.paths import db_storage_path

from botwire.places import NAMESPACE_VARIABLE

logger = logging.getLogger("botwire.crewai")

_STORAGE_VARIABLE = "CREWAI_STORAGE_DIR"
_NOTE = "botwire.json"
_NAME = 60  # characters of a folder's name that a namespace shows


def default_namespace() -> str:
    """Returns the namespace of what names none: ``BOTWIRE_NAMESPACE``, else this project's own.

    CrewAI's own store is one per project, so two projects never share memory by default. The name
    holds a hash of the folder's path: folders may have the same name.
    """
    chosen = os.environ.get(NAMESPACE_VARIABLE)
    return f"crewai/{project_name()}" if chosen is None else chosen


def project_name() -> str:
    """Returns the name of the project's folder and a hash of its path."""
    folder = project_folder()
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:8]
    return f"{folder.name[:_NAME]}-{digest}"


def project_folder() -> Path:
    """Returns what tells this project from others.

    It is CrewAI's storage folder if ``CREWAI_STORAGE_DIR`` names one, else the nearest folder above
    whose ``pyproject.toml`` has ``[tool.crewai]``, else the working folder.
    """
    named = os.environ.get(_STORAGE_VARIABLE)
    if named:
        return Path(named).resolve()
    here = Path.cwd().resolve()
    return next((one for one in (here, *here.parents) if _is_project(one)), here)


def storage_folder() -> Path:
    """Returns the folder in which CrewAI keeps this project's own files."""
    return Path(os.environ.get(_STORAGE_VARIABLE) or db_storage_path())


def note_installed(place: dict[str, Any] | None) -> None:
    """Notes where memory of this project is, for ``crewai reset-memories``.

    CrewAI's command imports ``crew.py`` in a process of its own, which need not call `install`.

    Args:
        place: The namespace and URL, without any secret; None if only this process knows.
    """
    try:
        folder = storage_folder()
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(place)
        if not (folder / _NOTE).is_file() or (folder / _NOTE).read_text("utf-8") != text:
            (folder / _NOTE).write_text(text, "utf-8")
    except OSError as error:
        logger.warning(
            "'crewai reset-memories' will not reach BotWire, as CrewAI's folder cannot be "
            "written: %s",
            error,
        )


def forget_installed() -> None:
    """Removes what `note_installed` noted."""
    try:
        (storage_folder() / _NOTE).unlink(missing_ok=True)
    except OSError as error:
        logger.warning("CrewAI's folder cannot be written: %s", error)


def read_installed() -> dict[str, Any] | None:
    """Returns what `note_installed` noted; empty if nothing was.

    Raises:
        OSError: The note cannot be read.
        ValueError: It is not one.
    """
    note = storage_folder() / _NOTE
    if not note.is_file():
        return {}
    place: dict[str, Any] | None = json.loads(note.read_text("utf-8"))
    return place


def _is_project(folder: Path) -> bool:
    try:
        settings = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return "crewai" in settings.get("tool", {})
