"""What a server can be told, each setting declared once: flags, environment, a file, defaults.

The first place that says something wins: a flag (``--max-body``), a variable of the environment
(``BOTWIRE_MAX_BODY``), a line of the TOML file that ``--config`` or ``BOTWIRE_CONFIG`` names
(``max_body = …``), the default.
"""

from __future__ import annotations

import argparse
import dataclasses
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
from botwire.places import Place, default_path, find_place, without_password

PREFIX = "BOTWIRE_"
"""What the names of variables of the environment begin with."""
CONFIG = "config"
"""The option that names the file."""

BACKLOG = 2048
"""Connections that wait to be accepted."""
_DAY_SECONDS = 86_400.0
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#@\s]+")

FREE_TIER_WRITES = 1_000
"""Writes a day that the published free tier gives a namespace."""
FREE_TIER_BYTES = 50 * 1024 * 1024
"""Bytes that the published free tier gives a namespace."""


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
        default: Its value where nothing says otherwise.
        help: What it does, in a few words.
        metavar: What its value is called.
        shown: Makes of a value what may be printed.
        least: The least a number may be.
        most: The most it may be.
        check: Raises `ValueError`, which says why, for a part of a list that cannot be one.
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
        raise ValueError(f"{text!r} is no origin, as https://console.example, nor *")


def _without_password(url: str | None) -> str | None:
    return None if url is None else without_password(url)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a server is told. Each attribute's help says what it means."""

    host: str = _setting("127.0.0.1", "address to listen at")
    port: int = _setting(8700, "port to listen at; 0 takes a free one", least=0)
    database: str | None = _setting(
        None,
        "where memory is kept: sqlite:///path (unset: the user's own file) or postgresql://…",
        metavar="URL",
        shown=_without_password,
    )
    workers: int = _setting(1, "processes that serve", metavar="N", least=1)
    allow_anonymous: bool = _setting(
        False, "while there is no API key, serve whoever can connect, not only this machine"
    )
    tls_cert: str | None = _setting(None, "certificate chain (PEM) for HTTPS", metavar="FILE")
    tls_key: str | None = _setting(None, "the certificate's private key (PEM)", metavar="FILE")
    trust_proxy: tuple[str, ...] = _setting(
        (),
        "addresses or networks of proxies whose X-Forwarded-For and -Proto are believed",
        metavar="ADDRESS,…",
        check=_check_proxy,
    )
    cors_origins: tuple[str, ...] = _setting(
        (),
        "web pages that may call from a browser, or *",
        metavar="ORIGIN,…",
        check=_check_origin,
    )
    max_body: int = _setting(16 * 1024 * 1024, "of a request's body", metavar="BYTES", least=1024)
    max_answer: int = _setting(
        32 * 1024 * 1024, "that the answers to one request hold, about", metavar="BYTES", least=1024
    )
    max_batch: int = _setting(10_000, "operations in one batch", metavar="N", least=1)
    max_streams: int = _setting(
        100,
        "watch streams that one API key, or without keys one address, may hold open per process",
        metavar="N",
        least=1,
    )
    max_seconds: float = _setting(
        30.0,
        "seconds of work that one request may take",
        metavar="SECONDS",
        least=0.1,
        most=_DAY_SECONDS,
    )
    free_tier: bool = _setting(
        False,
        f"the published free tier: {FREE_TIER_WRITES:,} writes a day and "
        f"{FREE_TIER_BYTES // 1024**2} MB a namespace, unless other limits are set",
    )
    namespace_writes: int | None = _setting(
        None, "writes that a namespace may make in a day (UTC)", metavar="N", least=1
    )
    namespace_bytes: int | None = _setting(
        None, "bytes that a namespace may hold", metavar="BYTES", least=1
    )
    namespace_rate: int | None = _setting(
        None, "requests a minute on a namespace", metavar="N", least=1
    )
    key_writes: int | None = _setting(
        None, "writes that an API key may make in a day (UTC)", metavar="N", least=1
    )
    key_rate: int | None = _setting(None, "requests a minute by an API key", metavar="N", least=1)
    audit_days: int = _setting(
        400, "days that the audit log keeps its lines; 0: for ever", metavar="N", least=0
    )
    drain: float = _setting(
        0.0,
        "seconds to go on serving after the signal to stop, while /readyz says 503",
        metavar="SECONDS",
        least=0,
        most=_DAY_SECONDS,
    )
    grace: float = _setting(
        30.0,
        "seconds that accepted requests get to finish",
        metavar="SECONDS",
        least=0,
        most=_DAY_SECONDS,
    )

    def __post_init__(self) -> None:
        for one in dataclasses.fields(self):
            least, value = one.metadata["least"], getattr(self, one.name)
            if least is not None and value is not None and not value >= least:
                raise ConfigurationError(f"{one.name} is at least {least}, not {value}")
            most, check = one.metadata["most"], one.metadata["check"]
            if most is not None and value > most:
                raise ConfigurationError(f"{one.name} is at most {most:g}, not {value}")
            for part in value if check is not None else ():
                try:
                    check(part)
                except ValueError as error:
                    raise ConfigurationError(f"{one.name}: {error}") from None
        if self.port > 65535:
            raise ConfigurationError(f"port is at most 65535, not {self.port}")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ConfigurationError("HTTPS needs both tls_cert and tls_key")

    @property
    def place(self) -> Place:
        """The place of the memory that is served.

        Raises:
            ConfigurationError: It is none that can be.
        """
        place = find_place(self.database or f"sqlite:///{default_path()}")
        if place.scheme in ("http", "https"):
            raise ConfigurationError("--database is a sqlite or postgresql URL")
        return place

    @property
    def writes_a_day(self) -> int | None:
        """Writes that a namespace may make in a day."""
        free = FREE_TIER_WRITES if self.free_tier else None
        return free if self.namespace_writes is None else self.namespace_writes

    @property
    def bytes_stored(self) -> int | None:
        """Bytes that a namespace may hold."""
        free = FREE_TIER_BYTES if self.free_tier else None
        return free if self.namespace_bytes is None else self.namespace_bytes


class Loaded(NamedTuple):
    """Settings, and where each came from."""

    settings: Settings
    sources: Mapping[str, str]

    def describe(self) -> list[tuple[str, Any, str]]:
        """Returns each setting's name, its value as it may be shown, and where that came from."""
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
        parser: What gets them.
        names: Only these settings; all without any.
    """
    variable = PREFIX + CONFIG.upper()
    parser.add_argument(
        "--config", metavar="FILE", help=f"TOML with these settings, also {variable}"
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
                text += f" ({one.default})"
            parser.add_argument(flag, metavar=one.metadata["metavar"], help=text.replace("%", "%%"))


def load(options: argparse.Namespace, environ: Mapping[str, str]) -> Loaded:
    """Returns the settings of a command.

    Args:
        options: What the options of `add_options` were parsed to.
        environ: The environment.

    Raises:
        ConfigurationError: A value is not one; the message says which and where it stands.
    """
    path = options.config or environ.get(PREFIX + CONFIG.upper())
    file = _read(Path(path)) if path else {}
    fields = {one.name: one for one in dataclasses.fields(Settings)}
    unknown = file.keys() - fields.keys()
    if unknown:
        raise ConfigurationError(
            f"{path}: there is no setting {min(unknown)!r}; there are: {', '.join(fields)}"
        )
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for name, one in fields.items():
        variable = PREFIX + name.upper()
        for source, given in (
            ("--" + name.replace("_", "-"), getattr(options, name, None)),
            (variable, environ.get(variable)),
            (str(path), file.get(name)),
        ):
            if given is not None:
                values[name] = _convert(_type(one), given, source, name)
                sources[name] = source
                break
    return Loaded(Settings(**values), sources)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from None


_TYPES = typing.get_type_hints(Settings)


def _type(one: dataclasses.Field[Any]) -> Any:
    """Returns a setting's type, without None."""
    declared = _TYPES[one.name]
    if isinstance(declared, types.UnionType):
        (declared,) = [part for part in typing.get_args(declared) if part is not type(None)]
    return declared


_WORDS = {"true": True, "yes": True, "on": True, "1": True}
_WORDS |= {"false": False, "no": False, "off": False, "0": False}


_WANTED = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def _convert(kind: Any, given: Any, source: str, name: str) -> Any:
    """Makes a value of what a flag, a variable or a line of the file says."""
    try:
        return _parse(kind, given)
    except (KeyError, ValueError, TypeError, AttributeError):
        at = source if source.startswith(("--", PREFIX)) else f"{source}: {name}"
        raise ConfigurationError(
            f"{at} is {_WANTED.get(kind, 'a list of texts')}, not {given!r:.80}"
        ) from None


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
        parts = given.split(",") if isinstance(given, str) else given
        if all(isinstance(part, str) for part in parts):
            return tuple(part.strip() for part in parts if part.strip())
    raise TypeError
