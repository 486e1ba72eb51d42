"""`server.json`, with which the MCP registry lists the package.

The registry's schema of 2025-12-11 is not ours to copy, so what it requires of such a file is
checked by hand.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from botwire.places import API_KEY_VARIABLE, NAMESPACE_VARIABLE, URL_VARIABLE

PACKAGE = Path(__file__).parent.parent
SERVER: dict[str, Any] = json.loads((PACKAGE / "server.json").read_text())
PROJECT: dict[str, Any] = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]

SCHEMA = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"


def test_the_server_is_described_as_the_schema_requires() -> None:
    assert SERVER.keys() == {
        "$schema", "name", "title", "description", "version", "repository", "packages",
    }  # fmt: skip
    assert SERVER["$schema"] == SCHEMA
    assert 3 <= len(SERVER["name"]) <= 200
    assert re.fullmatch(r"[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+", SERVER["name"])
    assert 1 <= len(SERVER["title"]) <= 100
    assert 1 <= len(SERVER["description"]) <= 100
    repository = SERVER["repository"]
    assert repository.keys() == {"url", "source", "subfolder"}
    assert urlsplit(repository["url"]).hostname == f"{repository['source']}.com"
    assert SERVER["name"].startswith(
        f"io.github.{urlsplit(repository['url']).path.split('/')[1]}/"
    )  # what may be published by the owner of the repository
    assert (PACKAGE.parent.parent / repository["subfolder"]) == PACKAGE


def test_the_package_is_the_one_on_pypi() -> None:
    (package,) = SERVER["packages"]
    assert package.keys() == {
        "registryType", "registryBaseUrl", "identifier", "version", "runtimeHint", "transport",
        "environmentVariables",
    }  # fmt: skip
    assert package["registryType"] == "pypi"
    assert package["registryBaseUrl"] == "https://pypi.org"
    assert package["identifier"] == PROJECT["name"]
    assert package["identifier"] in PROJECT["scripts"]  # what uvx runs
    assert package["transport"] == {"type": "stdio"}
    assert SERVER["version"] == package["version"] == PROJECT["version"]
    # By this line of the README on PyPI, the registry knows that the package is the owner's.
    assert f"mcp-name: {SERVER['name']} -->" in (PACKAGE / PROJECT["readme"]).read_text()


def test_the_settings_are_those_that_the_server_reads() -> None:
    variables = {one["name"]: one for one in SERVER["packages"][0]["environmentVariables"]}
    assert list(variables) == [URL_VARIABLE, API_KEY_VARIABLE, NAMESPACE_VARIABLE]
    for name, one in variables.items():
        assert one.keys() <= {
            "name", "description", "format", "isRequired", "isSecret", "default",
        }  # fmt: skip
        assert one["format"] == "string"
        assert one["isRequired"] is False
        assert one.get("isSecret", False) is (name == API_KEY_VARIABLE)
