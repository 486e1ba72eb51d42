"""The second process of `AdapterTests`: ``python -m botwire.testing.child``."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import signal
import sys
from typing import Any

STARTED, FINISHED, REFUSED = "started", "finished", "refused"
"""What it prints: it is inside the tool, it has finished, it was refused."""
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
"""The signal that kills it; on Windows, every signal does."""


def main() -> None:
    """Does what its argument describes, using the test class that the argument names."""
    does, path, module_name, class_name, *rest = json.loads(sys.argv[1])
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
    found: Any = module
    for part in class_name.split("."):
        found = getattr(found, part)
    tests = found()
    _say(asyncio.run(_work(tests, does, *rest)))


async def _work(tests: Any, does: str, url: str, namespace: str, user: str, said: str) -> str:
    # Imported late, as the test class imports it too: this module runs as __main__.
    from botwire.testing.scene import Address, Turn  # noqa: PLC0415

    async def die() -> str:
        os.kill(os.getpid(), KILL)
        return "never"

    async def wait() -> str:
        _say(STARTED)
        await asyncio.to_thread(sys.stdin.readline)
        return "found"

    address = Address(url, namespace)
    if does == "stores":
        await tests.store_own(address)
        return FINISHED
    if does == "killed":
        await tests.turn(tests.open(address, user), Turn("before", tool=None))
        await tests.turn(tests.open(address, user), Turn(said, tool=die, call_id="killed"))
        return FINISHED
    try:
        await tests.turn(tests.open(address, user), Turn(said, "answer 0", wait, "call-0"))
    except Exception as error:
        if tests.is_refused(error):
            return REFUSED
        raise
    return FINISHED


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
