"""Scripted models: they stand where your own model goes, so that the examples run offline.

Each says what it was told before, which it can only know from what it is given. With
``SCRIPTED_LOG`` set, each appends what it was given to that file, a JSON list of texts a line.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path


def reply(received: Sequence[str], told: Sequence[str]) -> str:
    """Returns what a model says.

    Args:
        received: Everything that the model was given.
        told: What people said in it, the present question last.
    """
    path = os.environ.get("SCRIPTED_LOG")
    if path:
        with Path(path).open("a") as log:
            log.write(json.dumps(list(received)) + "\n")
    return f"You told me: {'; '.join(told[:-1])}" if told[:-1] else "Noted."
