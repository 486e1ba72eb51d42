"""The command line: looks at and changes memory wherever it lives.

Other distributions add commands: an entry point in the group ``botwire.commands`` names a function
that is given the subparsers of `argparse` and adds one, with a default ``run`` that takes the
parsed arguments and returns an exit code. ``botwire serve`` comes this way from botwire-server.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from botwire._sync.memory import Memory
from botwire.errors import BotWireError
from botwire.places import API_KEY_VARIABLE, NAMESPACE_VARIABLE, URL_VARIABLE

COMMANDS = "botwire.commands"
"""The entry point group of other distributions' commands."""

OK, NOT_FOUND, FAILED = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command.

    Returns:
        The exit code: 0 when it worked, 1 when there is no such thing, 2 when it failed.
    """
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except BotWireError as error:
        print(f"botwire: {error}", file=sys.stderr)
        return FAILED
    except BrokenPipeError:
        return OK  # whoever read what is printed has read enough
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="botwire",
        description="Memory that stays when the process ends.",
        epilog=f"Memory lives at --url, else {URL_VARIABLE}, else in a file of this user's. "
        f"{API_KEY_VARIABLE} and {NAMESPACE_VARIABLE} stand for --api-key and --namespace.",
    )
    version = importlib.metadata.version("botwire-core")
    parser.add_argument("--version", action="version", version=f"%(prog)s {version}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    get = _command(commands, "get", _get, "print the value of a key, as JSON")
    get.add_argument("key")
    put = _command(commands, "set", _set, "set a key")
    put.add_argument("key")
    put.add_argument("value", help="as JSON: 42, '\"text\"', '{\"a\": 1}'")
    put.add_argument("--ttl", type=float, metavar="SECONDS", help="after which it is gone")
    remove = _command(commands, "rm", _remove, "delete keys")
    remove.add_argument("keys", nargs="+", metavar="key")
    keys = _command(commands, "ls", _list, "list keys, one a line")
    keys.add_argument("prefix", nargs="?", default="", help="that they start with")
    history = _command(commands, "history", _history, "print a history, an item a line, as JSON")
    history.add_argument("name", nargs="?", help="which; without it, the histories there are")
    history.add_argument("-n", type=int, metavar="N", help="only the last N")

    found = importlib.metadata.entry_points(group=COMMANDS)
    for entry_point in found:
        entry_point.load()(commands)
    if "serve" not in found.names:
        commands.add_parser("serve", help="serve memory to other processes").set_defaults(
            run=_no_server
        )
    return parser


def _command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], help: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=help, description=help)
    parser.add_argument("--url", help="where memory lives")
    parser.add_argument("--api-key", help="for a server")
    parser.add_argument("--namespace", "-N", help="whose memory")
    parser.set_defaults(run=run)
    return parser


def _memory(options: argparse.Namespace) -> Memory:
    from botwire.connection import Connection  # noqa: PLC0415 - not needed for `botwire serve`

    return Connection(options.namespace, url=options.url, api_key=options.api_key).memory


def _get(options: argparse.Namespace) -> int:
    entry = _memory(options).entry(options.key)
    if entry is None:
        print(f"botwire: no key {options.key!r}", file=sys.stderr)
        return NOT_FOUND
    if isinstance(entry.value, bytes):
        sys.stdout.buffer.write(entry.value)
    else:
        _print(entry.value)
    return OK


def _set(options: argparse.Namespace) -> int:
    try:
        value = json.loads(options.value)
    except ValueError as error:
        print(
            f"botwire: the value is not JSON ({error}); quote a text twice: '\"text\"'",
            file=sys.stderr,
        )
        return FAILED
    _memory(options).set(options.key, value, ttl=options.ttl)
    return OK


def _remove(options: argparse.Namespace) -> int:
    memory = _memory(options)
    missing = [key for key in options.keys if not memory.delete(key)]
    for key in missing:
        print(f"botwire: no key {key!r}", file=sys.stderr)
    return NOT_FOUND if missing else OK


def _list(options: argparse.Namespace) -> int:
    for key in _memory(options).iter_keys(options.prefix):
        # A key may hold line breaks, which would look like two keys.
        print(key if key.isprintable() else json.dumps(key))
    return OK


def _history(options: argparse.Namespace) -> int:
    memory = _memory(options)
    if options.name is None:
        for info in memory.list_histories():
            _print({"name": info.name, "count": info.count, "archived": info.archived})
        return OK
    history = memory.history(options.name)
    if history.info().last_seq == 0:
        print(f"botwire: no history {options.name!r}", file=sys.stderr)
        return NOT_FOUND
    for value in history.tail(options.n) if options.n is not None else history:
        _print(value if options.n is not None else value.value)
    return OK


def _print(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=not sys.stdout.encoding.lower().startswith("utf")))


def _no_server(options: argparse.Namespace) -> int:
    print(
        'botwire: the server is a package of its own: pip install "botwire[server]"',
        file=sys.stderr,
    )
    return FAILED
