"""``botwire keys``: creates, lists, revokes and rotates API keys, and shows the audit log.

These commands access the database directly, not through a server: access to the database is the
right to manage its keys. Running servers notice a change at once.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import getpass
import json
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from botwire.cli import OK
from botwire.cli.options import add_command, duration, positive
from botwire.clock import SECOND, from_iso, now, to_iso
from botwire.engines.opening import open_async_engine
from botwire.errors import ConfigurationError
from botwire.places import Place, without_password
from botwire_server import settings
from botwire_server.api_keys import EVERYTHING, RIGHTS, APIKey, KeyStore

Run = Callable[[argparse.Namespace, KeyStore], Coroutine[Any, Any, None]]


def keys_command(commands: Any) -> None:
    """Adds ``keys`` to the command line; see `botwire.cli`."""
    text = "create, list and revoke API keys"
    parser: argparse.ArgumentParser = commands.add_parser(
        "keys",
        help=text,
        description="Create, list and revoke API keys, directly in the database, whether it is "
        "served or not.",
    )
    actions = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    create = _action(actions, "create", _create, "create a key and print it; it is not shown again")
    create.add_argument("--label", default="", help="what the key is for")
    create.add_argument(
        "--namespaces",
        default=EVERYTHING,
        metavar="PATTERN,…",
        help="namespaces that the key opens; * matches any characters (default: all)",
    )
    create.add_argument(
        "--right",
        choices=list(RIGHTS),
        default="write",
        help="read, write (includes read), admin, or metrics only (%(default)s)",
    )
    create.add_argument(
        "--expires", type=_moment, metavar="WHEN", help="90d or 12h from now, or an ISO 8601 date"
    )
    create.add_argument("--if-none", action="store_true", help="do nothing if a key exists already")
    create.add_argument("--writes", type=positive, metavar="N", help="most writes per day")
    create.add_argument("--rate", type=positive, metavar="N", help="most requests per minute")

    listed = _action(actions, "list", _list, "list all keys")
    listed.add_argument("--json", action="store_true", help="print JSON")

    revoke = _action(actions, "revoke", _revoke, "revoke a key at once")
    revoke.add_argument("id", metavar="ID")

    rotate = _action(actions, "rotate", _rotate, "create a key that replaces another, and print it")
    rotate.add_argument("id", metavar="ID")
    rotate.add_argument(
        "--overlap",
        type=duration,
        default=0.0,
        metavar="TIME",
        help="how long the old key stays valid, such as 24h (default: not at all)",
    )

    reset = _action(actions, "reset", _reset, "delete all keys, so that the server requires none")
    reset.add_argument("--yes", action="store_true", help="confirm")

    audit = _action(actions, "audit", _audit, "show who changed keys and who deleted what")
    audit.add_argument("-n", type=positive, default=50, metavar="N", help="entries (%(default)s)")
    audit.add_argument("--json", action="store_true", help="print JSON, one entry per line")


def _action(actions: Any, name: str, run: Run, help: str) -> argparse.ArgumentParser:
    parser = add_command(actions, name, lambda options: _run(options, run), help)
    settings.add_options(parser, "database")
    return parser


def _place(options: argparse.Namespace) -> Place:
    return settings.load(options, os.environ).settings.place


def _run(options: argparse.Namespace, run: Run) -> int:
    place = _place(options)
    if not place.shareable:
        raise ConfigurationError("keys in memory would be gone at once: name a file or a database")
    new = place.scheme == "sqlite" and not Path(place.sqlite_path).exists()

    async def work() -> None:
        async with contextlib.aclosing(open_async_engine(place)) as engine:
            await run(options, KeyStore(engine))

    try:
        asyncio.run(work())
    finally:
        if new:
            _hand_to_owner(Path(place.sqlite_path))
    return OK


def _hand_to_owner(path: Path) -> None:
    """Gives files that root created to the owner of their folder, who runs the server.

    Root usually creates the first key of a service, before the service starts.
    """
    if sys.platform == "win32" or os.geteuid() != 0:
        return
    folder = path.resolve().parent.stat()
    for suffix in ("", "-wal", "-shm", "-turns"):
        with contextlib.suppress(FileNotFoundError):
            os.chown(f"{path}{suffix}", folder.st_uid, folder.st_gid, follow_symlinks=False)


def _who() -> str:
    try:
        return f"command line of {getpass.getuser()}"
    except (OSError, KeyError, ImportError):  # a user without a name, as in many containers
        if sys.platform == "win32":
            return "command line"
        return f"command line of user {os.getuid()}"


async def _create(options: argparse.Namespace, store: KeyStore) -> None:
    if options.if_none and await store.read():
        print("botwire: a key exists already", file=sys.stderr)
        return
    key, secret = await store.create(
        who=_who(),
        label=options.label,
        namespaces=_patterns(options.namespaces),
        right=options.right,
        expires_at=options.expires,
        writes=options.writes,
        rate=options.rate,
    )
    _hand_over(options, key, secret)


def _patterns(text: str) -> tuple[str, ...]:
    patterns = tuple(part for part in text.split(",") if part)
    for pattern in patterns:
        if pattern != pattern.strip():
            raise ConfigurationError(
                f"--namespaces has blanks around {pattern.strip()!r}, which would be part of the "
                "pattern: remove them"
            )
    return patterns


async def _rotate(options: argparse.Namespace, store: KeyStore) -> None:
    key, secret = await store.rotate(options.id, overlap=options.overlap, who=_who())
    _hand_over(options, key, secret)


def _hand_over(options: argparse.Namespace, key: APIKey, secret: str) -> None:
    """Prints the secret, and nothing else, on standard output, for scripts."""
    print(secret)
    store = without_password(_place(options).url)
    print(
        f"botwire: key {key.id} of {store} has the right {key.right} in "
        f"{', '.join(key.namespaces)}; it is not shown again. Programs use it through "
        "BOTWIRE_API_KEY or api_key=",
        file=sys.stderr,
    )


async def _revoke(options: argparse.Namespace, store: KeyStore) -> None:
    key = await store.revoke(options.id, who=_who())
    print(f"botwire: revoked key {key.id}", file=sys.stderr)


async def _reset(options: argparse.Namespace, store: KeyStore) -> None:
    if not options.yes:
        raise ConfigurationError(
            "without keys the server serves every program on its machine: pass --yes to confirm"
        )
    count = await store.reset(who=_who())
    print(f"botwire: deleted {count} keys", file=sys.stderr)


async def _list(options: argparse.Namespace, store: KeyStore) -> None:
    uses = await store.last_uses()
    rows = [_describe(key, uses.get(key.id)) for key in (await store.read()).values()]
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    shown = ("id", "right", "namespaces", "state", "created_at", "expires_at", "last_used", "label")
    table = [[name.replace("_", " ").upper() for name in shown]]
    for row in rows:
        row["namespaces"] = ",".join(row["namespaces"])
        table.append([str(row[name] or "-").partition(".")[0] for name in shown])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        print("  ".join(cells).rstrip())


def _describe(key: APIKey, used_at: int | None) -> dict[str, Any]:
    at = now()
    ended = key.revoked_at is not None and key.revoked_at <= at
    return {
        "id": key.id,
        "label": key.label,
        "right": key.right,
        "namespaces": list(key.namespaces),
        "state": "valid" if key.is_valid(at) else "revoked" if ended else "expired",
        "created_at": _time(key.created_at),
        "expires_at": _time(key.expires_at),
        "revoked_at": _time(key.revoked_at),
        "last_used": _time(used_at),
        "writes": key.writes,
        "rate": key.rate,
    }


async def _audit(options: argparse.Namespace, store: KeyStore) -> None:
    for entry in await store.audit(options.n):
        entry["at"] = _time(entry["at"])
        if options.json:
            print(json.dumps(entry))
        else:
            at, event, who = entry.pop("at"), entry.pop("event"), entry.pop("who")
            rest = " ".join(f"{name}={json.dumps(value)}" for name, value in entry.items())
            print(f"{at}  {event:18} {who}  {rest}")


def _time(micros: int | None) -> str | None:
    return None if micros is None else to_iso(micros)


def _moment(text: str) -> int:
    """Parses a duration from now, or a date; returns microseconds since 1970."""
    with contextlib.suppress(argparse.ArgumentTypeError):
        return now() + round(duration(text) * SECOND)
    try:
        return from_iso(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            "must be a duration such as 90d, or an ISO 8601 date"
        ) from None
