"""Creates the files that contain memory, readable by their owner only."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_OWNER_ONLY = 0o600


def make_private(path: str | os.PathLike[str]) -> None:
    """Creates an empty file that only its owner can read; does nothing if the file exists.

    A file created by root belongs to the owner of its folder, so a service running as that user can
    write to it.

    Args:
        path: The file. SQLite gives its log the same mode and owner.

    Raises:
        OSError: The file cannot be created.
    """
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, _OWNER_ONLY)
    except FileExistsError:
        return
    try:
        if os.name == "posix":
            os.fchmod(descriptor, _OWNER_ONLY)  # a umask may have taken the owner's own rights
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            folder = Path(path).absolute().parent.stat()
            with contextlib.suppress(OSError):  # a file system without owners
                os.fchown(descriptor, folder.st_uid, folder.st_gid)
    finally:
        os.close(descriptor)
