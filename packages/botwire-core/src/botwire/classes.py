"""Finds the classes that stored data may instantiate: a framework's own and the caller's.

Write access to a store must not decide which code a reader runs, so a stored name is never simply
imported and called. A class is allowed if the caller passed it, or if the framework's own package
defines it under exactly this name. It must also be of the requested kind.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from typing import Any

from botwire.client.encoding import encode_list
from botwire.errors import ConfigurationError


def name_of(cls: type) -> str:
    """Returns a class's full name, by which `Classes` finds it."""
    return f"{cls.__module__}.{cls.__qualname__}"


class Classes:
    """Finds classes by their full names.

    Args:
        packages: The framework's packages, including all below them.
        types: The caller's own classes.
        kind: Returns whether a class of the caller's is acceptable.
        kinds: The name of acceptable classes in errors.

    Raises:
        ConfigurationError: One of `types` is not acceptable.
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
        for cls in encode_list(types, "types", "classes"):
            if not isinstance(cls, type) or not kind(cls):
                raise ConfigurationError(f"types must be {kinds}, not {cls!r}")
            self._types[name_of(cls)] = cls

    def find(self, name: object, kind: Callable[[type], bool]) -> type:
        """Returns the class with a full name.

        Args:
            name: The stored name, of any type.
            kind: Returns whether the class is acceptable.

        Raises:
            ValueError: No such class is allowed.
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
    """Returns the class that a module has under this name, defined or imported there."""
    parts = name.split(".")
    if any(part.startswith("__") for part in parts):
        return None  # importing a __main__ runs a program
    for length in range(len(parts) - 1, 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:length]))
        except ImportError:
            continue
        for part in parts[length:]:
            # Not getattr(): a module's __getattr__ may import other packages.
            found = vars(found).get(part) if hasattr(found, "__dict__") else None
        return found if isinstance(found, type) else None
    return None
