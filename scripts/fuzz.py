"""Fuzzes a server with requests that its OpenAPI description allows, and ones that it forbids.

Schemathesis generates the requests. It checks that no answer is a 5xx, that answers match the
description, and that the server refuses what the description forbids. It does not check that the
server accepts everything else: a schema cannot say that two fields exclude each other, or that an
id was used before.

    python scripts/fuzz.py [OPTIONS OF schemathesis run]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from serving import serve


def main(options: list[str]) -> int:
    """Starts a server with an empty store and fuzzes it; returns the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        database, log = f"sqlite:///{Path(folder, 'memory.db')}", Path(folder, "log")
        with serve(database, log=log) as server:
            url = server.url
            done = subprocess.run(
                [
                    *(sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json"),
                    *("--checks", "all", "--exclude-checks", "positive_data_acceptance"),
                    *("--phases", "examples,coverage,fuzzing", "--no-color"),
                    *("--exclude-path-regex", "/watch$"),  # its answers never end
                    *options,
                ],
                cwd=folder,
                check=False,
            )
            with urllib.request.urlopen(f"{url}/readyz") as answer:  # noqa: S310 - our own server
                assert answer.status == 200
        tracebacks = log.read_text().count("Traceback")
    print(f"Tracebacks in the server's log: {tracebacks}")
    return done.returncode or int(tracebacks > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
