"""Classes that may be made of what is stored: a framework's own, and those that the caller gives.

Whoever can write to a store must not choose what runs where it is read. So a stored name is never
just imported and called. A class counts if it is the caller's, or defined in the framework's own
package, by its own name and not by that of a module that has imported it; and if it is of the kind
that is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from typing import Any

from botwire.errors import ConfigurationError


def name_of(cls: type) -> str:
    """Returns a class's full name, by which it is found again."""
    return f"{cls.__module__}.{cls.__qualname__}"


class Classes:
    """Finds classes by their full names.

    Args:
        packages: The framework's packages; those below them count too.
        types: The caller's own classes.
        kind: What the caller's must be, at least.
        kinds: What those are called in an error.

    Raises:
        ConfigurationError: One of `types` is no class of this kind.
    """

    def __init__(
        self,
        packages: Iterable[str],
        types: Iterable[type] = (),
        *,
        kind: Callable[[type], bool],
        kinds: str,
    ) -> None:
        self._prefixes = tuple(f"{package}." for package in packages)
        self._found: dict[str, type] = {}
        self._types: dict[str, type] = {}
        for cls in types:
            if not isinstance(cls, type) or not kind(cls):
                raise ConfigurationError(f"types are {kinds}, not {cls!r}")
            self._types[name_of(cls)] = cls

    def find(self, name: object, kind: Callable[[type], bool]) -> type:
        """Returns the class of a full name.

        Args:
            name: Whatever was stored as one.
            kind: What the class must be.

        Raises:
            ValueError: There is none that counts.
        """
        cls = None
        if isinstance(name, str):
            cls = self._types.get(name) or self._found.get(name)
            if cls is None and name.startswith(self._prefixes):
                cls = _import(name)
                if cls is not None and name_of(cls) == name:
                    self._found[name] = cls
        if cls is None or name_of(cls) != name or not kind(cls):
            raise ValueError(f"{name!r:.200} is neither the framework's own nor one of `types`")
        return cls


def _import(name: str) -> type | None:
    """Returns the class that a module defines, or has imported, under this name."""
    parts = name.split(".")
    if any(part.startswith("__") for part in parts):
        return None  # a __main__ is a program
    for length in range(len(parts) - 1, 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:length]))
        except ImportError:
            continue
        for part in parts[length:]:
            # Not getattr(): a module that is asked for what it lacks may import other packages.
            found = vars(found).get(part) if hasattr(found, "__dict__") else None
        return found if isinstance(found, type) else None
    return None
