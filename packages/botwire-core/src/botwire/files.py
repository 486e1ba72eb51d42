"""Files that hold memory: readable by their owner only."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_OWNER_ONLY = 0o600


def make_private(path: str | os.PathLike[str]) -> None:
    """Makes an empty file that only its owner may read; does nothing if it is there.

    Made by an administrator, it belongs to the owner of its folder: a service that runs as that
    user must be able to write to it.

    Args:
        path: The file. What SQLite puts beside a database has the database's mode and owner.

    Raises:
        OSError: It cannot be made.
    """
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, _OWNER_ONLY)
    except FileExistsError:
        return
    try:
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            folder = Path(path).absolute().parent.stat()
            with contextlib.suppress(OSError):  # a file system without owners
                os.fchown(descriptor, folder.st_uid, folder.st_gid)
    finally:
        os.close(descriptor)
