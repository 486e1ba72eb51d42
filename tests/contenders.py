"""Contenders of a race whose outcome is known."""

from __future__ import annotations

import os
from collections.abc import Iterable

from benchmarks.races.frame import Contender, MissingError, Place


class Faithful(Contender):
    """Appends lines to a file in one system call each, which keeps them all."""

    framework = "none"
    title = "Faithful"
    distribution = "pytest"
    what = "a line"

    def __init__(self, place: Place) -> None:
        self.path = place.folder / "lines"

    def prepare(self) -> None:
        self.path.touch()

    def write(self, token: str) -> None:
        self.append(f"{token}\n")

    def append(self, text: str) -> None:
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        os.write(file, text.encode())
        os.close(file)

    def tokens(self) -> Iterable[str]:
        return self.path.read_text().splitlines()


class Forgetful(Faithful):
    """Acknowledges the first write of each process without keeping it."""

    def write(self, token: str) -> None:
        if not token.endswith("-0"):
            super().write(token)


class Repeating(Faithful):
    """Keeps the first write of each process twice."""

    def write(self, token: str) -> None:
        super().write(token)
        if token.endswith("-0"):
            super().write(token)


class Failing(Faithful):
    """Raises for the first write of each process, although it kept it."""

    def write(self, token: str) -> None:
        super().write(token)
        if token.endswith("-0"):
            raise OSError(token)


class Refusing(Faithful):
    """Refuses each write once, and keeps it when it is written again."""

    refusals = (PermissionError,)

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.refused: set[str] = set()

    def write(self, token: str) -> None:
        if token not in self.refused:
            self.refused.add(token)
            raise PermissionError(token)
        super().write(token)


class Unreadable(Faithful):
    """Stores data that cannot be read back."""

    def tokens(self) -> Iterable[str]:
        raise UnicodeError


class NotInstalled(Faithful):
    """Needs a program that does not exist."""

    def __init__(self, place: Place) -> None:
        raise MissingError("no such program")
