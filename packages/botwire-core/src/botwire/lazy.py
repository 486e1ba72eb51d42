"""Names of a package that are imported when they are first used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from botwire.errors import ConfigurationError


def lazy_names(package: str, homes: Mapping[str, tuple[str, str | None]]) -> Callable[[str], Any]:
    """Returns the ``__getattr__`` of a package (PEP 562).

    It is for a name that an extra brings, that is slow to import, or whose import warns.

    Args:
        package: The package's name.
        homes: For each name, the module that defines it and the extra that this module needs, or
            None if it needs none.

    Returns:
        A function that imports a name. It raises `ConfigurationError`, which says what to install,
        if an extra is missing.
    """

    def __getattr__(name: str) -> Any:  # noqa: N807 - the name in a traceback
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, extra = homes[name]
        try:
            return getattr(import_module(module), name)
        except ModuleNotFoundError as error:
            if extra is None:
                raise
            raise ConfigurationError(
                f"{name} needs {error.name}, which is not installed: "
                f'pip install "{package.replace("_", "-")}[{extra}]"'
            ) from error

    return __getattr__
