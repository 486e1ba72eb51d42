"""The server's settings, each declared once, from flags, the environment, a file and defaults.

The first source that has a value wins: a flag (``--max-body``), an environment variable
(``BOTWIRE_MAX_BODY``), a line of the TOML file that ``--config`` or ``BOTWIRE_CONFIG`` names
(``max_body = …``), the default.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import difflib
import ipaddress
import re
import tomllib
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from botwire.errors import ConfigurationError
from botwire.places import (
    URL_VARIABLE,
    Place,
    default_path,
    file_url,
    find_place,
    without_password,
)

PREFIX = "BOTWIRE_"
"""Prefix of the environment variables."""
CONFIG = "config"
"""The option that names the configuration file."""

BACKLOG = 2048
"""Most connections that wait to be accepted."""
_DAY_SECONDS = 86_400.0
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#@\s]+")

FREE_TIER_WRITES = 1_000
"""Writes per day of a namespace in the published free tier."""
FREE_TIER_BYTES = 50 * 1024 * 1024
"""Bytes stored in a namespace in the published free tier."""


def _setting(
    default: Any,
    help: str,
    *,
    metavar: str | None = None,
    shown: Callable[[Any], Any] = lambda value: value,
    least: float | None = None,
    most: float | None = None,
    check: Callable[[str], object] | None = None,
) -> Any:
    """Declares a setting.

    Args:
        default: The value if no source has one.
        help: A short explanation of the setting.
        metavar: The name of the value in the help.
        shown: Returns the form of a value that may be printed.
        least: The smallest number allowed.
        most: The largest number allowed.
        check: Raises `ValueError` with the reason if a string, or an element of a list, is invalid.
    """
    metadata = {
        "help": help,
        "metavar": metavar,
        "shown": shown,
        "least": least,
        "most": most,
        "check": check,
    }
    return field(default=default, metadata=metadata)


def _check_proxy(text: str) -> None:
    if text != "*":
        ipaddress.ip_network(text, strict=False)


def _check_origin(text: str) -> None:
    if text != "*" and not _ORIGIN.fullmatch(text):
        raise ValueError(f"{text!r} is not an origin such as https://console.example, nor *")


def _check_database(text: str) -> None:
    if not text.strip():
        raise ValueError(
            "the URL is empty (was a variable in it empty?): leave the setting out for "
            f"{URL_VARIABLE} or the user's own SQLite file"
        )


def _check_host(text: str) -> None:
    if ":" in text:
        with contextlib.suppress(ValueError):
            ipaddress.IPv6Address(text)
            return
    if not text or any(character.isspace() or character in ":/[]" for character in text):
        raise ValueError(
            f"{text!r} is not an address or a name, such as 0.0.0.0 for all of IPv4 or ::1; the "
            "port has a setting of its own"
        )


def _without_password(url: str | None) -> str | None:
    return None if url is None else without_password(url)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of a server; the help text of each explains it."""

    host: str = _setting("127.0.0.1", "address to listen on", check=_check_host)
    port: int = _setting(8700, "port to listen on; 0 picks a free one", least=0)
    database: str | None = _setting(
        None,
        "the store: sqlite:///path or postgresql://… (default: BOTWIRE_URL if it is one of these, "
        "else the user's own SQLite file)",
        metavar="URL",
        shown=_without_password,
        check=_check_database,
    )
    workers: int = _setting(1, "number of processes that serve", metavar="N", least=1)
    allow_anonymous: bool = _setting(
        False, "without API keys, serve anyone who can connect, not only this machine"
    )
    tls_cert: str | None = _setting(None, "certificate chain for HTTPS (PEM)", metavar="FILE")
    tls_key: str | None = _setting(None, "private key of the certificate (PEM)", metavar="FILE")
    trust_proxy: tuple[str, ...] = _setting(
        (),
        "addresses or networks of proxies whose X-Forwarded-For and -Proto are trusted",
        metavar="ADDRESS,…",
        check=_check_proxy,
    )
    cors_origins: tuple[str, ...] = _setting(
        (),
        "origins whose web pages may use the server from a browser; * allows all",
        metavar="ORIGIN,…",
        check=_check_origin,
    )
    max_body: int = _setting(
        16 * 1024 * 1024, "largest request body accepted", metavar="BYTES", least=1024
    )
    max_answer: int = _setting(
        32 * 1024 * 1024, "approximate size of the largest answer", metavar="BYTES", least=1024
    )
    max_batch: int = _setting(
        10_000, "most operations, or elements in their lists, in one batch", metavar="N", least=1
    )
    max_streams: int = _setting(
        100,
        "most open watch streams per process of one API key, or without keys of one address",
        metavar="N",
        least=1,
    )
    max_channels: int = _setting(
        1000,
        "most open channels per process of one API key, or without keys of one address",
        metavar="N",
        least=1,
    )
    max_seconds: float = _setting(
        30.0,
        "most seconds of work on one request",
        metavar="SECONDS",
        least=0.1,
        most=_DAY_SECONDS,
    )
    free_tier: bool = _setting(
        False,
        f"the published free tier: {FREE_TIER_WRITES:,} writes per day and "
        f"{FREE_TIER_BYTES // 1024**2} MB per namespace, unless other limits are set",
    )
    namespace_writes: int | None = _setting(
        None, "most writes per day (UTC) in a namespace", metavar="N", least=1
    )
    namespace_bytes: int | None = _setting(
        None, "most bytes stored in a namespace", metavar="BYTES", least=1
    )
    namespace_rate: int | None = _setting(
        None, "most requests per minute for a namespace", metavar="N", least=1
    )
    key_writes: int | None = _setting(
        None, "most writes per day (UTC) by an API key", metavar="N", least=1
    )
    key_rate: int | None = _setting(
        None, "most requests per minute by an API key", metavar="N", least=1
    )
    audit_days: int = _setting(
        400, "days that entries stay in the audit log; 0 keeps them forever", metavar="N", least=0
    )
    drain: float = _setting(
        0.0,
        "seconds to keep serving after SIGTERM, while /readyz answers 503",
        metavar="SECONDS",
        least=0,
        most=_DAY_SECONDS,
    )
    grace: float = _setting(
        30.0,
        "most seconds to finish accepted requests when stopping",
        metavar="SECONDS",
        least=0,
        most=_DAY_SECONDS,
    )

    def __post_init__(self) -> None:
        for one in dataclasses.fields(self):
            least, value = one.metadata["least"], getattr(self, one.name)
            if least is not None and value is not None and not value >= least:
                raise ConfigurationError(f"{one.name} must be at least {least}, not {value}")
            most, check = one.metadata["most"], one.metadata["check"]
            if most is not None and value > most:
                raise ConfigurationError(f"{one.name} must be at most {most:g}, not {value}")
            parts = (value,) if isinstance(value, str) else value
            for part in () if check is None or parts is None else parts:
                try:
                    check(part)
                except ValueError as error:
                    raise ConfigurationError(f"{one.name}: {error}") from None
        if self.port > 65535:
            raise ConfigurationError(f"port must be at most 65535, not {self.port}")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ConfigurationError("HTTPS needs both tls_cert and tls_key")

    def __repr__(self) -> str:
        shown = (
            f"{one.name}={one.metadata['shown'](getattr(self, one.name))!r}"
            for one in dataclasses.fields(self)
        )
        return f"Settings({', '.join(shown)})"

    @property
    def place(self) -> Place:
        """The place of the store that is served.

        Raises:
            ConfigurationError: `database` is not a URL of a database.
        """
        place = find_place(self.database or file_url(default_path()))
        if place.scheme in ("http", "https"):
            raise ConfigurationError("database must be a sqlite or postgresql URL, not a server's")
        return place

    @property
    def writes_a_day(self) -> int | None:
        """Most writes per day in a namespace."""
        free = FREE_TIER_WRITES if self.free_tier else None
        return free if self.namespace_writes is None else self.namespace_writes

    @property
    def bytes_stored(self) -> int | None:
        """Most bytes stored in a namespace."""
        free = FREE_TIER_BYTES if self.free_tier else None
        return free if self.namespace_bytes is None else self.namespace_bytes


class LoadedSettings(NamedTuple):
    """Settings and the sources of their values."""

    settings: Settings
    sources: Mapping[str, str]

    def describe(self) -> list[tuple[str, Any, str]]:
        """Returns each setting's name, its value in printable form, and the source of the value."""
        return [
            (
                one.name,
                one.metadata["shown"](getattr(self.settings, one.name)),
                self.sources.get(one.name, "default"),
            )
            for one in dataclasses.fields(Settings)
        ]


def add_options(parser: argparse.ArgumentParser, *names: str) -> None:
    """Adds an option for each setting, and ``--config``.

    Args:
        parser: The parser to extend.
        names: Only these settings; all if none are given.
    """
    variable = PREFIX + CONFIG.upper()
    parser.add_argument(
        "--config", metavar="FILE", help=f"TOML file with these settings (also {variable})"
    )
    for one in dataclasses.fields(Settings):
        if names and one.name not in names:
            continue
        flag = "--" + one.name.replace("_", "-")
        text = one.metadata["help"]
        if _type(one) is bool:
            parser.add_argument(
                flag, action=argparse.BooleanOptionalAction, default=None, help=text
            )
        else:
            if one.default not in (None, ()):
                text += f" (default: {one.default})"
            parser.add_argument(flag, metavar=one.metadata["metavar"], help=text.replace("%", "%%"))


def load(options: argparse.Namespace, environ: Mapping[str, str]) -> LoadedSettings:
    """Returns the settings of a command.

    Args:
        options: The parsed options of `add_options`.
        environ: The environment.

    Raises:
        ConfigurationError: A value is invalid; the message names it and its source.
    """
    path = options.config
    if path is None:
        path = environ.get(PREFIX + CONFIG.upper())
    if path == "":
        raise ConfigurationError(
            f"the name of the configuration file is empty: name a TOML file, or leave --{CONFIG} "
            f"and {PREFIX}{CONFIG.upper()} out"
        )
    file = {} if path is None else _read(Path(path))
    fields = {one.name: one for one in dataclasses.fields(Settings)}
    unknown = file.keys() - fields.keys()
    if unknown:
        raise ConfigurationError(
            f"{path}: unknown setting {min(unknown)!r}; known are {', '.join(fields)}"
        )
    _refuse_misspelt(environ, [PREFIX + name.upper() for name in (*fields, CONFIG)])
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for name, one in fields.items():
        variable = PREFIX + name.upper()
        for source, given in (
            ("--" + name.replace("_", "-"), getattr(options, name, None)),
            (variable, _read_variable(environ, variable)),
            (str(path), file.get(name)),
        ):
            if given is not None:
                values[name] = _convert(_type(one), given, source, name)
                sources[name] = source
                break
    url = environ.get(URL_VARIABLE, "")
    if "database" not in values and url.partition(":")[0].lower() in _DATABASES:
        values["database"], sources["database"] = url, URL_VARIABLE
    return LoadedSettings(Settings(**values), sources)


def _refuse_misspelt(environ: Mapping[str, str], variables: list[str]) -> None:
    """Raises `ConfigurationError` for a variable that is almost that of a setting.

    Other variables with the prefix are those of clients, of adapters and of Kubernetes.
    """
    for name in environ:
        if name in variables or not name.startswith(PREFIX):
            continue
        for meant in difflib.get_close_matches(name, variables, 1, _ALIKE):
            raise ConfigurationError(
                f"the environment variable {name} is not a setting: did you mean {meant}?"
            )


def _read_variable(environ: Mapping[str, str], name: str) -> str | None:
    value = environ.get(name)
    # In Kubernetes, a service called "botwire" sets BOTWIRE_PORT=tcp://10.0.0.7:8700 in each pod.
    return None if value is not None and value.startswith("tcp://") else value


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8-sig"))  # editors on Windows write a BOM
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from None


_ALIKE = 0.9  # BOTWIRE_NAMESPACE and BOTWIRE_NAMESPACE_RATE: 0.87
_DATABASES = ("sqlite", "postgresql", "postgres")  # schemes of URLs
_TYPES = typing.get_type_hints(Settings)


def _type(one: dataclasses.Field[Any]) -> Any:
    """Returns the type of a setting, without None."""
    declared = _TYPES[one.name]
    if isinstance(declared, types.UnionType):
        (declared,) = [part for part in typing.get_args(declared) if part is not type(None)]
    return declared


_WORDS = {"true": True, "yes": True, "on": True, "1": True}
_WORDS |= {"false": False, "no": False, "off": False, "0": False}
_WANTED = {bool: "true or false", int: "a whole number", float: "a number", str: "a string"}
_WANTED[tuple[str, ...]] = "a list of strings, none of them empty"


def _convert(kind: Any, given: Any, source: str, name: str) -> Any:
    """Converts the text of a flag or variable, or the value of a line in the file."""
    try:
        return _parse(kind, given)
    except (KeyError, ValueError, TypeError, AttributeError):
        at = source if source.startswith(("--", PREFIX)) else f"{source}: {name}"
        raise ConfigurationError(f"{at} must be {_WANTED[kind]}, not {given!r:.80}") from None


def _parse(kind: Any, given: Any) -> Any:
    if kind is bool:
        return given if isinstance(given, bool) else _WORDS[given.strip().lower()]
    if kind is int and type(given) in (int, str):
        return int(given)
    if kind is float and type(given) in (int, float, str):
        return float(given)
    if kind is str and isinstance(given, str):
        return given
    if kind == tuple[str, ...]:
        if isinstance(given, str):
            given = given.split(",") if given.strip() else ()
        parts = tuple(part.strip() for part in given)
        if all(parts):
            return parts
    raise TypeError
