"""A process that writes until it is killed, and says what was acknowledged.

    python -m tests.chaos.writer URL NAME THREADS

Each thread writes number 1, 2, 3, … in turn as a batch of three items into one history that all
share, and as a transaction over several shapes. It prints ``done NAME.THREAD NUMBER`` for what was
acknowledged, and ``doubt NAME.THREAD NUMBER ERROR`` for what failed, which may be there or not.
"""

from __future__ import annotations

import sys
import threading
from itertools import count

from botwire import Memory, Record, ServerError, TransportError

NAMESPACE = "chaos"
PARTS = 3


def is_batch(number: int) -> bool:
    """Says whether a number is written as a batch, and not as a transaction."""
    return number % 2 == 1


def write(memory: Memory, who: str, number: int) -> None:
    """Writes one number."""
    if is_batch(number):
        memory.history("log").extend([[who, number, part] for part in range(PARTS)])
        return
    with memory.transaction() as tx:
        tx.increment(f"count/{who}")
        tx.set(f"last/{who}", number)
        tx.history(f"each/{who}").append(number)
        note = Record(f"number {number}", id=str(number), embedding=[number, 1])
        tx.records(f"notes/{who}").put([note])


def _work(memory: Memory, who: str) -> None:
    for number in count(1):
        try:
            write(memory, who, number)
        except (TransportError, ServerError) as error:
            line = f"doubt {who} {number} {type(error).__name__}: {error}"
        else:
            line = f"done {who} {number}"
        # One system call a line, so that lines of threads do not mix and none is half there.
        sys.stdout.write(" ".join(line.split()) + "\n")
        sys.stdout.flush()


def main() -> None:
    """Starts the threads."""
    url, name, threads = sys.argv[1:]
    memory = Memory(NAMESPACE, url=url)
    for thread in range(int(threads)):
        threading.Thread(target=_work, args=(memory, f"{name}.{thread}")).start()


if __name__ == "__main__":
    main()
