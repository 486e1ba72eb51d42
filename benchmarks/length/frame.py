"""What the programs of this benchmark share: the row."""

from __future__ import annotations

HEAD = """\
| a turn of | with | early | late | CPU early | CPU late | late to early |
|---|---|---|---|---|---|---|"""


def print_row(what: str, store: str, counts: tuple[int, int], spent: tuple[float, float]) -> None:
    """Prints how long an early and a late turn take.

    Args:
        what: What takes turns.
        store: What keeps its conversation.
        counts: What came before the early and the late turn, in turns or messages.
        spent: The CPU seconds of the early and of the late turn.
    """
    early, late = (f"{seconds * 1e3:.1f} ms" for seconds in spent)
    row = [what, store, *map(str, counts), early, late, f"{spent[1] / spent[0]:.2f}"]
    print(f"| {' | '.join(row)} |", flush=True)
