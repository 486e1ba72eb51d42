"""Defines hatch's environments of the adapters from their list in ``pyproject.toml``.

hatch loads this file because of ``[tool.hatch.env.collectors.custom]``. An adapter NAME has

- ``NAME``, with the releases in ``constraints/NAME.txt``: what ``hatch run test`` uses;
- ``alone.NAME-lowest-direct`` and ``alone.NAME-highest``, with the oldest and the newest ones.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from hatch.env.collectors.plugin.interface import EnvironmentCollectorInterface


class AdapterEnvironments(EnvironmentCollectorInterface):
    """Adds the adapters' environments to those defined in ``pyproject.toml``."""

    def finalize_config(self, config: dict[str, dict[str, Any]]) -> None:
        """Adds an environment for each adapter, and the matrix of ``alone``."""
        text = Path(self.root, "pyproject.toml").read_text(encoding="utf-8")
        settings = tomllib.loads(text)["tool"]["botwire"]
        adapters, beside = settings["adapters"], settings["beside"]
        template = config["package"]
        for name, requirements in adapters.items():
            # A new adapter has no file until its releases are pinned.
            pins = Path(self.root, "constraints", f"{name}.txt").exists()
            config[name] = {
                "template": "package",
                "workspace": {
                    "members": [*template["workspace"]["members"], f"packages/botwire-{name}"]
                },
                "dependencies": [
                    *template["dependencies"],
                    *requirements,
                    *beside.get(name, ()),
                ],
                "env-vars": {
                    **template["env-vars"],
                    "UV_CONSTRAINT": f"{{root:uri}}/constraints/{name}.txt" if pins else "",
                },
            }
        config["alone"]["matrix"] = [
            {"package": list(adapters), "resolution": ["lowest-direct", "highest"]}
        ]
        config["alone"]["overrides"] = {
            "matrix": {
                "package": {
                    "extra-dependencies": [
                        {"value": requirement, "if": [name]}
                        for name, requirements in adapters.items()
                        for requirement in requirements
                    ]
                }
            },
            "name": {
                rf"\b{name}-highest$": {"extra-dependencies": requirements}
                for name, requirements in beside.items()
            },
        }
