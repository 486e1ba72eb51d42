"""Scripted models that stand in for your own, so the examples run offline.

Each repeats what it was told before, which it can only know from its input. If ``SCRIPTED_LOG`` is
set, each appends its input to that file, as one JSON list of texts per line.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path


def reply(received: Sequence[str], told: Sequence[str]) -> str:
    """Returns what a model says.

    Args:
        received: All texts of the model's input.
        told: What people said in it, the current question last.
    """
    path = os.environ.get("SCRIPTED_LOG")
    if path:
        with Path(path).open("a") as log:
            log.write(json.dumps(list(received)) + "\n")
    return f"You told me: {'; '.join(told[:-1])}" if told[:-1] else "Noted."
