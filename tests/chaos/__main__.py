"""``hatch run chaos --minutes N``: the fault tests, for longer than the suite can take.

``--place patroni`` and ``--place pgbouncer`` need Debian's packages; see `tests.chaos.patroni` and
`tests.chaos.pgbouncer`.
"""

from __future__ import annotations

import argparse
import random
import sys
import time

from tests.chaos.places import PLACES
from tests.chaos.run import NAMED, run


def main() -> int:
    """Runs every place in turn, repeatedly; returns 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=4.0, help="in all (%(default)s)")
    parser.add_argument("--place", choices=[*PLACES, *NAMED], action="append", help="only this one")
    parser.add_argument("--seed", type=int, help="the first of the choices at random")
    options = parser.parse_args()
    names = options.place or list(PLACES)
    seed = random.randrange(10**6) if options.seed is None else options.seed
    end = time.monotonic() + options.minutes * 60
    each = min(120.0, options.minutes * 60 / len(names))
    broken = False
    while time.monotonic() < end:
        for name in names:
            print(f"{name}, {each:.0f} s, seed {seed}", flush=True)
            report = run(name, each, seed=seed)
            print(report, flush=True)
            broken = broken or bool(report.findings)
            seed += 1
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
