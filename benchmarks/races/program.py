"""Runs the races of one framework, in that framework's environment, and prints a row for each.

python -m benchmarks.races.program MODULE PROCESSES WRITES
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import uuid
from collections.abc import Iterator, Sequence

from benchmarks.races import frame


@contextlib.contextmanager
def _databases(wanted: bool) -> Iterator[Iterator[str | None]]:
    """Yields the URLs of empty PostgreSQL databases, one for each race."""
    if not wanted:
        yield iter(lambda: None, 0)
        return
    from tests.chaos.processes import own_postgres  # noqa: PLC0415 - only some races need it

    def make() -> Iterator[str]:
        while True:
            name = f"race_{uuid.uuid4().hex}"
            database.run(f"CREATE DATABASE {name}")
            yield database.url.rpartition("/")[0] + f"/{name}"

    with own_postgres() as database:
        yield make()


def main(arguments: Sequence[str]) -> None:
    """Runs the races of a module."""
    name, processes, writes = arguments
    # LanceDB warns at each fork that forks are experimental, and names what is used here instead.
    os.environ["PYTHONWARNINGS"] = "ignore::RuntimeWarning"
    module = importlib.import_module(f"benchmarks.races.{name}")
    contenders: Sequence[type[frame.Contender]] = module.CONTENDERS
    with _databases(any(each.needs_postgres for each in contenders)) as databases:
        for each in contenders:
            postgres = next(databases) if each.needs_postgres else None
            result = frame.race(each, int(processes), int(writes), postgres)
            print(frame.row(each, result), flush=True)
            if result.missing is not None:
                print(f"{each.title} is missing: {result.missing}", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
