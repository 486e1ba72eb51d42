"""Where memory lives: one URL says it, the rest is defaults."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from urllib.parse import unquote, urlsplit

import platformdirs

from botwire.errors import ConfigurationError

URL_VARIABLE = "BOTWIRE_URL"
"""The environment variable that says where memory lives when no `url` is given."""
API_KEY_VARIABLE = "BOTWIRE_API_KEY"
"""The environment variable that holds the API key when no `api_key` is given."""
NAMESPACE_VARIABLE = "BOTWIRE_NAMESPACE"
"""The environment variable that names the namespace where a framework's class needs none."""

MEMORY = ":memory:"
"""The path of a SQLite database that ends with the process."""

ENGINES = "botwire.engines"
"""The group of entry points by which packages offer schemes; see `botwire.engines.opening`."""
known_schemes = {"sqlite", "http", "https", "postgresql", "postgres"}
"""The schemes of URLs for which there is an engine, without those of entry points."""

DEFAULT_TIMEOUT = 10.0
"""Seconds that a call may take in all."""

# PostgreSQL takes passwords as parameters too.
_PASSWORD = re.compile(r"(?<=[?&])((?:ssl)?password=)[^&]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Place:
    """Where memory lives and how to get there.

    Attributes:
        url: ``sqlite:///path``, ``sqlite://`` (this process's memory), ``http(s)://…`` or
            ``postgresql://…``.
        api_key: For a server; never part of a `repr`.
        timeout: Seconds that a call may take in all.
    """

    url: str
    api_key: str | None = field(default=None, repr=False)
    timeout: float = DEFAULT_TIMEOUT

    @property
    def scheme(self) -> str:
        """The URL's scheme in lower case: ``sqlite``, ``http``, ``https`` or ``postgresql``."""
        return urlsplit(self.url).scheme.lower()

    @property
    def shareable(self) -> bool:
        """Whether two who open this place find the same memory; a process's own is not."""
        return not (self.scheme == "sqlite" and self.sqlite_path == MEMORY)

    @property
    def sqlite_path(self) -> str:
        """The file of a ``sqlite`` URL: three slashes are relative, four absolute, none memory."""
        rest = self.url.split(":", 1)[1].partition("?")[0]
        path = unquote(rest.removeprefix("//").removeprefix("/"))
        return MEMORY if path in ("", MEMORY) else path

    @property
    def read_only(self) -> bool:
        """Whether a file is only read: ``sqlite:///path?mode=ro``."""
        return self.scheme == "sqlite" and self.url.partition("?")[2] == "mode=ro"


def find_place(
    url: str | None = None, api_key: str | None = None, timeout: float = DEFAULT_TIMEOUT
) -> Place:
    """Returns the place that the arguments, else the environment, else the defaults say.

    Without any, it is a SQLite file in the user's data folder, and the folder is made.

    Args:
        url: Where memory lives; see `Place`.
        api_key: For a server.
        timeout: Seconds that a call may take in all.

    Raises:
        ConfigurationError: The URL is not of a kind that is known, or the timeout not a time.
    """
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout > 0:
        raise ConfigurationError(f"timeout is a number of seconds above 0, not {timeout!r}")
    url = url or os.environ.get(URL_VARIABLE)
    api_key = api_key or os.environ.get(API_KEY_VARIABLE) or None
    if not url:
        return Place(f"sqlite:///{default_path()}", api_key, timeout)
    if not isinstance(url, str):
        raise ConfigurationError(f"url is a string, not {type(url).__name__}")
    try:
        scheme = urlsplit(url).scheme.lower()
    except ValueError as error:
        raise ConfigurationError(f"{without_password(url)!r} is not a URL: {error}") from None
    if scheme == "sqlite":
        _check_sqlite(url)
    elif not is_known_scheme(scheme):
        raise ConfigurationError(
            f"{without_password(url)!r} is not where memory can live: use sqlite:///path, "
            "http(s)://host or postgresql://… (a scheme of your own: see "
            "botwire.engines.opening.register_scheme)"
        )
    return Place(url, api_key, timeout)


def is_known_scheme(name: str) -> bool:
    """Says whether there is an engine for the URLs of a scheme."""
    return name in known_schemes or bool(entry_points(group=ENGINES, name=name))


def default_path() -> Path:
    """Returns the file in the user's data folder, and makes the folder."""
    folder = platformdirs.user_data_path("botwire", appauthor=False)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"{folder} cannot be made ({error.strerror}): set {URL_VARIABLE}=sqlite:///path"
        ) from error
    return folder / "memory.db"


def _check_sqlite(url: str) -> None:
    rest, _, query = url.partition(":")[2].removeprefix("//").partition("?")
    is_memory = rest in ("", MEMORY, "/" + MEMORY)
    if not url.partition(":")[2].startswith("//") or not (is_memory or rest.startswith("/")):
        raise ConfigurationError(
            f"{url!r}: write sqlite:///relative/path, sqlite:////absolute/path, or sqlite:// "
            "for memory that ends with the process"
        )
    if unquote(rest).strip("/") == "":
        if rest:
            raise ConfigurationError(
                f"{url!r} names no file: write sqlite:///path, or sqlite:// for memory that ends "
                "with the process (was a variable in it empty?)"
            )
    elif "\0" in unquote(rest):
        raise ConfigurationError(f"{url!r} has a NUL character in it, which no file can have")
    if query not in ("", "mode=ro") or (is_memory and query):
        raise ConfigurationError(
            f"{url!r}: after ? there can be mode=ro, for a file that is only read, and nothing "
            "else; a ? in a file's name is written %3F"
        )


def without_password(url: str) -> str:
    """Returns a URL that may be shown and stored: the user stays, the password does not."""
    url = _PASSWORD.sub(r"\1", url)
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    user, at, host = authority.rpartition("@")
    return f"{scheme}{separator}{user.partition(':')[0]}{at}{host}{slash}{path}"
