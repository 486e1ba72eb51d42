"""The files that contain memory: private, synced, and named in SQLite's way."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from urllib.parse import quote

if sys.platform != "win32":
    import fcntl

from botwire.errors import ConfigurationError

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
        if sys.platform != "win32":
            os.fchmod(descriptor, _OWNER_ONLY)  # a umask may have taken the owner's own rights
        if sys.platform != "win32" and os.geteuid() == 0:
            folder = Path(path).absolute().parent.stat()
            with contextlib.suppress(OSError):  # a file system without owners
                os.fchown(descriptor, folder.st_uid, folder.st_gid)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def unfinished(target: Path) -> Iterator[Path]:
    """Lends the name under which a file is written until it is complete.

    The file is empty and private, and what a killed program left of it is gone. It is deleted in
    the end, unless it was renamed.

    Args:
        target: The name that it gets then.

    Raises:
        ConfigurationError: Another program is writing it (not noticed on Windows).
        OSError: It cannot be created or written; the error names the target.
    """
    partial = target.with_name(target.name + ".partial")
    try:
        with _claimed(partial, target):
            yield partial
    except OSError as error:
        if error.filename in (None, str(partial)):  # a failed write does not name its file
            error.filename = str(target)
        raise


@contextlib.contextmanager
def _claimed(partial: Path, target: Path) -> Iterator[None]:
    if sys.platform == "win32":  # which renames no file that is open
        make_private(partial)
        lock = None
    else:
        lock = _lock(partial, target)
    try:
        partial.with_name(f"{partial.name}-journal").unlink(missing_ok=True)
        os.truncate(partial, 0)
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            if lock is None or os.path.samestat(partial.stat(), os.fstat(lock.fileno())):
                partial.unlink()
        if lock is not None:
            lock.close()


if sys.platform != "win32":

    def _lock(partial: Path, target: Path) -> IO[bytes]:
        while True:
            make_private(partial)
            # The file is missing, or another one, if the other program has just finished.
            with contextlib.suppress(FileNotFoundError), contextlib.ExitStack() as opened:
                lock = opened.enter_context(partial.open("r+b"))
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise ConfigurationError(
                        f"{target} is being written by another program: wait for it, or choose "
                        "another file"
                    ) from None
                except OSError:  # a file system without locks
                    pass
                if os.path.samestat(partial.stat(), os.fstat(lock.fileno())):
                    opened.pop_all()
                    return lock


def sync(file_descriptor: int) -> None:
    """Returns once a file is on the disk, not only in its cache.

    Args:
        file_descriptor: The file, open for writing; Windows syncs no other.
    """
    if sys.platform == "darwin":  # its fsync leaves the data in the disk's cache
        with contextlib.suppress(OSError):  # a file system without it
            fcntl.fcntl(file_descriptor, fcntl.F_FULLFSYNC)
            return
    os.fsync(file_descriptor)


def sqlite_uri(path: str, parameters: str) -> str:
    """Returns the URI with which SQLite opens a file; see https://sqlite.org/uri.html.

    Args:
        path: The file.
        parameters: What follows the question mark.
    """
    # A path may begin with two slashes, which would otherwise introduce the name of a host.
    authority = "//" if path.startswith("/") else ""
    return f"file:{authority}{quote(path)}?{parameters}"
