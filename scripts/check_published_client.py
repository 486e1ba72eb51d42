"""Shows that the published botwire 0.2.1 client works against this server, on the same memory.

It installs the client from the package index into a separate environment, because that distribution
owns files of the ``botwire`` package. It runs what the client's documentation shows, except what
also failed on the client's own server. `server/tests/test_legacy_wire.py` sends the same requests
without the client, for machines without an index.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from botwire import Memory
from serving import serve

RELEASE = "botwire==0.2.1"

# Two programs for the published client: the first session, and one after a restart.
PROGRAM = """
import sys
from botwire import Memory

first = sys.argv[1] == "first"
memory = Memory("my-agent")
if first:
    assert memory.get("user_name") is None
    assert memory.get("user_name", default="nobody") == "nobody"
    assert "user_name" not in memory
    memory.set("user_name", "Pedro")
    memory.set("prefs", {"theme": "dark", "tags": [1, 2]})
    memory.set("note", "[not a list")
assert memory.get("user_name") == "Pedro"
assert "user_name" in memory
assert memory.get("prefs") == {"theme": "dark", "tags": [1, 2]}
assert memory.get("note") == "[not a list"
listed = {one["key"]: one["bytes"] for one in memory.keys()}
assert listed["user_name"] == 5, listed
if not first:
    # What the new client stored has its type.
    assert memory.get("count") == 42 and type(memory.get("count")) is int
    assert memory.get("ready") is True
    assert memory.get("facts") == [1, None, {"a": "é"}]
    assert memory.delete("user_name") is True
    assert memory.delete("user_name") is False
    assert memory.get("user_name") is None
print("ok")
"""
ATTACK = """
import sys
from botwire import Memory

memory = Memory("typ")
memory.set("mine", "ok")
assert memory.get("mine") == "ok"
try:
    found = memory.get("../victim/secret")
except Exception as error:
    found = None
    assert "403" in str(error), error
assert found is None, found
assert memory.delete("../victim/secret") is False
print("ok")
"""


def main() -> int:
    """Runs the client against a server without keys, and one with a key; returns the exit code."""
    uv = os.environ.get("HATCH_UV", "uv")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scripts = folder / "env" / ("Scripts" if sys.platform == "win32" else "bin")
        _run(uv, "venv", "--quiet", "--python", sys.executable, str(folder / "env"))
        python = str(scripts / "python")
        _run(uv, "pip", "install", "--quiet", "--python", python, RELEASE)
        database = f"sqlite:///{folder / 'memory.db'}"
        with serve(database) as server:
            _try(server.url, database, python)
    print(f"{RELEASE} works against this server")
    return 0


def _try(url: str, database: str, python: str) -> None:
    _run(python, "-I", "-c", PROGRAM, "first", BOTWIRE_URL=url)
    with Memory("my-agent", url=url) as memory:
        assert memory.get("user_name") == "Pedro"
        # The client sent it as a string.
        assert memory.get("prefs") == '{"theme": "dark", "tags": [1, 2]}'
        memory.set_many({"count": 42, "ready": True, "facts": [1, None, {"a": "é"}]})
        memory.with_namespace("victim").set("secret", "s3cret")
    _run(python, "-I", "-c", PROGRAM, "second", BOTWIRE_URL=url)
    create = [sys.executable, "-m", "botwire", "keys", "create", "--database", database]
    key = _run(*create, "--label", "typ", "--namespaces", "typ", "--right", "write").split()[0]
    with_key = url.replace("http://", f"http://key:{key}@")
    _run(python, "-I", "-c", ATTACK, BOTWIRE_URL=with_key)
    assert Memory("victim", url=database).get("secret") == "s3cret"


def _run(*command: str, **environment: str) -> str:
    done = subprocess.run(
        command,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:3])} …\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
