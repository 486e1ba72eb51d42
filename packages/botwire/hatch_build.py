"""Puts into this distribution what botwire 0.2 owned and botwire-core has now.

pip removes the old botwire after it has installed botwire-core, and with it the files that both
have. Installed with this distribution, which comes last, they are there again, letter for letter.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

OWNED_BY_0_2 = ("__init__.py", "errors.py", "py.typed")


class OldFiles(BuildHookInterface[Any]):
    """Adds the files to wheels and source distributions, and not to what is edited in place."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it builds; see its `BuildHookInterface`."""
        if version == "editable":
            return
        in_repository = Path(self.root).parent / "botwire-core/src/botwire"
        source = in_repository if in_repository.exists() else Path(self.root, "botwire")
        for name in OWNED_BY_0_2:
            build_data["force_include"][str(source / name)] = f"botwire/{name}"
