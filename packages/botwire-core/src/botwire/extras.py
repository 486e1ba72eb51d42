"""Names of a package that are imported when they are first used, since an extra brings the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from botwire.errors import ConfigurationError


def from_extras(package: str, homes: Mapping[str, tuple[str, str]]) -> Callable[[str], Any]:
    """Returns the ``__getattr__`` of a package, which says what to install if an import fails.

    Args:
        package: The package's name.
        homes: For each name, the module that defines it and the extra that this module needs.

    Returns:
        A function that imports a name. It raises `ConfigurationError` if a distribution that the
        name needs is not installed.
    """

    def __getattr__(name: str) -> Any:  # noqa: N807 - the name in a traceback
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, extra = homes[name]
        try:
            return getattr(import_module(module), name)
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                f"{name} needs {error.name}, which is not installed: "
                f'pip install "{package.replace("_", "-")}[{extra}]"'
            ) from error

    return __getattr__
