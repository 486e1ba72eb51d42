"""Places: where memory lives, given by one URL, with defaults for the rest."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from urllib.parse import unquote, urlsplit

import platformdirs

from botwire.arguments import check_seconds
from botwire.errors import ConfigurationError

URL_VARIABLE = "BOTWIRE_URL"
"""The environment variable with the URL to use when no `url` is given."""
API_KEY_VARIABLE = "BOTWIRE_API_KEY"
"""The environment variable with the API key to use when no `api_key` is given."""
NAMESPACE_VARIABLE = "BOTWIRE_NAMESPACE"
"""The environment variable with the namespace to use when an adapter's class is given none."""

MEMORY = ":memory:"
"""The path of a SQLite database that ends with the process."""

ENGINES = "botwire.engines"
"""The entry point group in which packages declare schemes; see `botwire.engines.opening`."""
known_schemes = {"sqlite", "http", "https", "postgresql", "postgres"}
"""The URL schemes that have an engine, except those declared by entry points."""

DEFAULT_TIMEOUT = 10.0
"""Seconds that a call may take, retries included."""

_FILE = "memory.db"  # in the user's data folder
_HOST = r"(?:\[[^\]@]*\]|[^:\[\]@,]*)(?::\d*)?"
_HOSTS = re.compile(f"{_HOST}(?:,{_HOST})*")
_ESCAPES = (
    "in a user name or a password, write / as %2F, ? as %3F, # as %23, @ as %40, % as %25 and a "
    "space as %20"
)
# PostgreSQL also accepts passwords as parameters.
_PASSWORD = re.compile(r"(?<=[?&])((?:ssl)?password=)[^&]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Place:
    """Where memory lives and how to get there.

    Attributes:
        url: ``sqlite:///path``, ``sqlite://`` (this process's memory), ``http(s)://…`` or
            ``postgresql://…``.
        api_key: The API key for a server; as the password in a URL, never part of a `repr`.
        timeout: Seconds that a call may take, retries included.
    """

    url: str
    api_key: str | None = None
    timeout: float = DEFAULT_TIMEOUT

    def __repr__(self) -> str:
        return f"Place(url={without_password(self.url)!r}, timeout={self.timeout!r})"

    @property
    def scheme(self) -> str:
        """The URL's scheme in lower case: ``sqlite``, ``http``, ``https`` or ``postgresql``."""
        return urlsplit(self.url).scheme.lower()

    @property
    def shareable(self) -> bool:
        """Whether all who open this place share its memory; False for ``sqlite://``."""
        return not (self.scheme == "sqlite" and self.sqlite_path == MEMORY)

    @property
    def sqlite_path(self) -> str:
        """The path in a ``sqlite`` URL: after three slashes relative, after four absolute."""
        rest = self.url.split(":", 1)[1].partition("?")[0]
        path = unquote(rest.removeprefix("//").removeprefix("/"))
        return MEMORY if path in ("", MEMORY) else path

    @property
    def read_only(self) -> bool:
        """Whether writes are refused: ``sqlite:///path?mode=ro``."""
        return self.scheme == "sqlite" and self.url.partition("?")[2] == "mode=ro"


def find_place(
    url: str | None = None, api_key: str | None = None, timeout: float = DEFAULT_TIMEOUT
) -> Place:
    """Returns the place given by the arguments, the environment or the defaults, in that order.

    The default is a SQLite file in the user's data folder, which is created.

    Args:
        url: Where memory lives; see `Place`.
        api_key: The API key for a server.
        timeout: Seconds that a call may take, retries included.

    Raises:
        ConfigurationError: The URL or the timeout is not valid.
    """
    check_seconds(timeout, "timeout")
    if url == "":
        raise ConfigurationError(
            f"url is empty (was a variable in it empty?): leave it out for {URL_VARIABLE} or the "
            "default file"
        )
    url = url or os.environ.get(URL_VARIABLE)
    api_key = api_key or os.environ.get(API_KEY_VARIABLE) or None
    if api_key is not None and not isinstance(api_key, str):
        raise ConfigurationError(f"api_key must be a string, not {type(api_key).__name__}")
    if not url:
        return Place(file_url(default_path()), api_key, timeout)
    if not isinstance(url, str):
        raise ConfigurationError(f"url must be a string, not {type(url).__name__}")
    try:
        parts = urlsplit(url)
        scheme = parts.scheme.lower()
        if "," not in parts.netloc:  # PostgreSQL takes several hosts, each with a port
            _ = parts.port
    except ValueError as error:
        raise not_a_url(url, str(error)) from None
    if scheme == "sqlite":
        _check_sqlite(url)
    else:
        _check_credentials(url)
        if not is_known_scheme(scheme):
            raise ConfigurationError(
                f"no engine handles the URL {without_password(url)!r}: {_intended(url)}"
            )
    return Place(url, api_key, timeout)


def _intended(url: str) -> str:
    """Returns what to write instead of a URL without an engine."""
    if re.fullmatch(r"[A-Za-z0-9.-]+:\d+(/.*)?", url):
        return f"did you mean http://{url}?"
    if "://" not in url and "@" not in url:
        path = os.path.expanduser(url)  # noqa: PTH111 - Path's raises an error if there is no home
        return f"for a file use {file_url(Path(path))}"
    return (
        "use sqlite:///path, http(s)://host or postgresql://… (for a scheme of your own, see "
        "botwire.engines.opening.register_scheme)"
    )


def is_known_scheme(name: str) -> bool:
    """Returns whether a URL scheme has an engine."""
    return name in known_schemes or bool(entry_points(group=ENGINES, name=name))


def file_url(path: str | os.PathLike[str]) -> str:
    """Returns the URL of a SQLite file."""
    return "sqlite:///" + os.fspath(path).replace("%", "%25").replace("?", "%3F")


def default_url() -> str | None:
    """Returns the URL that is used where none is given; neither checks nor creates anything.

    None: there is none, because this user has no home.
    """
    try:
        return os.environ.get(URL_VARIABLE) or file_url(_data_folder() / _FILE)
    except ConfigurationError:
        return None


def default_path() -> Path:
    """Returns the default file, in the user's data folder, and creates the folder."""
    folder = _data_folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"{folder} cannot be created ({error.strerror}): set {URL_VARIABLE}=sqlite:///path"
        ) from error
    return folder / _FILE


def _data_folder() -> Path:
    try:
        folder = platformdirs.user_data_path("botwire", appauthor=False)
    except RuntimeError:
        folder = Path("~")
    if not folder.is_absolute():  # as in a container whose user has neither HOME nor a name
        raise ConfigurationError(
            f"this user has no home, and so no folder for data: set {URL_VARIABLE}=sqlite:///path"
        )
    return folder


def _check_sqlite(url: str) -> None:
    rest, _, query = url.partition(":")[2].removeprefix("//").partition("?")
    is_memory = rest in ("", MEMORY, "/" + MEMORY)
    if not url.partition(":")[2].startswith("//") or not (is_memory or rest.startswith("/")):
        raise ConfigurationError(
            f"{url!r} is not a SQLite URL: use sqlite:///relative/path, sqlite:////absolute/path, "
            "or sqlite:// for memory that ends with the process"
        )
    if unquote(rest).strip("/") == "":
        if rest:
            raise ConfigurationError(
                f"{url!r} names no file: use sqlite:///path, or sqlite:// for memory that ends "
                "with the process (was a variable in it empty?)"
            )
    elif "\0" in unquote(rest):
        raise ConfigurationError(f"{url!r} has a NUL character, which no file name can have")
    else:
        try:
            os.fsencode(unquote(rest))
        except UnicodeEncodeError as error:
            raise ConfigurationError(
                f"{url!r} is not a file name of this system: {error.reason}"
            ) from None
    if query not in ("", "mode=ro") or (is_memory and query):
        raise ConfigurationError(
            f"{url!r} has an unknown parameter: only ?mode=ro is supported, which opens a file "
            "read-only; write a ? in a file name as %3F"
        )


def without_password(url: str) -> str:
    """Returns a URL without its password, safe to show and store."""
    url = _PASSWORD.sub(r"\1", url)
    scheme, separator, rest = url.partition("://") if "://" in url else ("", "", url)
    end = -1 if scheme == "sqlite" else _end_of_credentials(rest)
    if end < 0:
        return url
    return f"{scheme}{separator}{rest[:end].partition(':')[0]}{rest[end:]}"


def _end_of_credentials(rest: str) -> int:
    """Returns where the ``@`` after the user and password is, -1 if there are none.

    Args:
        rest: A URL after ``://``. A password in it may contain what it should not.
    """
    before_query, _, query = rest.partition("?")
    if "@" in before_query:
        return before_query.rindex("@")
    has_query = _HOSTS.fullmatch(_authority(rest)) and "=" in query
    return -1 if has_query else rest.rfind("@")


def _authority(rest: str) -> str:
    return re.split("[/?#]", rest, maxsplit=1)[0]


def _check_credentials(url: str) -> None:
    """Raises `ConfigurationError` for a URL whose password contains ``/`` or ``@``."""
    rest = url.partition("://")[2]
    authority = _authority(rest)
    if authority.count("@") > 1 or "@" in rest.partition("?")[0][len(authority) :]:
        raise not_a_url(url)


def not_a_url(url: str, reason: str = "", kind: str = "URL") -> ConfigurationError:
    """Returns the error for a URL that cannot be parsed.

    Args:
        url: The URL.
        reason: What the parser says. It may quote a password, so it is left out if there is one.
        kind: What the URL should be.
    """
    hint = _ESCAPES if "@" in url else reason.strip()
    return ConfigurationError(f"{without_password(url)!r} is not a {kind}: {hint}")
