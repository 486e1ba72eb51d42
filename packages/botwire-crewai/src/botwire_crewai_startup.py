"""Lets ``crewai reset-memories`` reach BotWire; loaded when that command starts, and only then.

CrewAI's command imports a project's ``crew.py`` and not the module that calls
`botwire_crewai.install`. Without this it would empty CrewAI's own store, and say that memory has
been reset. `botwire_crewai.pth` loads it, so it imports nothing heavy.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType

_COMMAND = "crewai.utilities.reset_memories"


class _AfterImport(importlib.abc.MetaPathFinder):
    """Installs BotWire where the project did, once the command's own module is imported."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != _COMMAND:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_wrap(module: ModuleType) -> None:
            execute(module)
            _wrap(module)

        spec.loader.exec_module = execute_and_wrap  # type: ignore[method-assign]
        return spec


def _wrap(module: ModuleType) -> None:
    command = module.reset_memories_command

    def reset_memories_command(*args: object, **options: object) -> object:
        from botwire_crewai.factory import reinstall  # noqa: PLC0415 - it imports all of CrewAI

        try:
            reinstall()
        except Exception as error:
            raise SystemExit(f"Memory has not been reset: {error}") from error
        return command(*args, **options)

    module.reset_memories_command = reset_memories_command  # type: ignore[attr-defined]


sys.meta_path.insert(0, _AfterImport())
