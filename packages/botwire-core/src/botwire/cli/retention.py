"""``botwire retention``: manages policies and holds, previews deletions and applies them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from botwire.cli.exits import NO, OK
from botwire.cli.options import (
    LONG_TIMEOUT,
    add_command,
    add_json,
    add_place,
    duration,
    open_store,
    positive,
)
from botwire.cli.output import count_of, print_rows, say
from botwire.retention import Policy, Report, Retention

_BYTES = {"": 1, "kb": 1_000, "mb": 1_000_000, "gb": 1_000_000_000}
_POLICY_COLUMNS = ["name", "namespaces", "histories", "age", "count", "bytes", "hold", "reason"]
_REMOVAL_COLUMNS = ["namespace", "shape", "name", "count", "bytes", "policy", "held"]

Action = Callable[[argparse.Namespace, Retention], int]


def add_commands(commands: Any) -> None:
    """Adds ``retention`` to the command line."""
    text = "limit how long and how much is kept, and hold what must not be deleted"
    parser = commands.add_parser("retention", help=text, description=text[0].upper() + text[1:])
    actions = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    put = _action(actions, "set", _set, "set a policy; nothing is deleted until it is applied")
    put.add_argument("name", help="the name of the policy")
    _add_namespaces(put)
    _add_histories(put, "all histories and records")
    put.add_argument(
        "--age", type=duration, metavar="TIME", help="delete what is older: 90d, 12h, 52w, 2y"
    )
    put.add_argument(
        "--count", type=positive, metavar="N", help="keep the newest N items of each history"
    )
    put.add_argument(
        "--bytes", type=_bytes, metavar="SIZE", help="keep the newest 500kB, 10MB, 2GB of each"
    )

    hold = _action(actions, "hold", _hold, "keep namespaces or histories from being deleted")
    hold.add_argument("name", help="the name of the hold")
    _add_namespaces(hold)
    _add_histories(hold, "everything in the namespaces")
    hold.add_argument("--reason", help="the reason; errors and the audit log quote it")

    for name, says in (("remove", "remove a policy"), ("release", "release a hold")):
        drop = _action(actions, name, _drop, says)
        drop.add_argument("name")
        _add_namespaces(drop)

    listed = _action(actions, "list", _list, "list policies and holds")
    _add_within(listed)
    add_json(listed)
    plan = _action(actions, "plan", _plan, "show what would be deleted, and how many bytes")
    _add_within(plan)
    add_json(plan)
    apply = _action(actions, "apply", _apply, "delete what the plan shows")
    _add_within(apply)
    add_json(apply)


def _action(actions: Any, name: str, run: Action, text: str) -> argparse.ArgumentParser:
    def open_and_run(options: argparse.Namespace) -> int:
        with open_store(options) as engine:
            return run(options, Retention(engine=engine))

    parser = add_command(actions, name, open_and_run, text)
    add_place(parser, LONG_TIMEOUT)
    return parser


def _add_namespaces(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-N",
        "--namespaces",
        required=True,
        metavar="PATTERN",
        help="the namespaces; * matches any characters",
    )


def _add_histories(parser: argparse.ArgumentParser, otherwise: str) -> None:
    parser.add_argument(
        "--histories",
        metavar="PATTERN",
        help=f"only these histories; * matches any characters (default: {otherwise})",
    )


def _add_within(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-N",
        "--namespaces",
        default="*",
        metavar="PATTERN",
        help="only policies on namespaces within this pattern (default: all)",
    )


def _bytes(text: str) -> int:
    found = re.fullmatch(r"(\d+)(|kb|mb|gb)", text.lower())
    if found is None or not int(found[1]):
        raise argparse.ArgumentTypeError("must be a number of bytes above 0: 500kB, 10MB, 2GB")
    return int(found[1]) * _BYTES[found[2]]


def _set(options: argparse.Namespace, retention: Retention) -> int:
    policy = Policy(
        options.name,
        options.namespaces,
        options.histories,
        age=options.age,
        count=options.count,
        bytes=options.bytes,
    )
    retention.set(policy)
    say("set; botwire retention plan shows what it would delete")
    return OK


def _hold(options: argparse.Namespace, retention: Retention) -> int:
    retention.hold(
        options.name, options.namespaces, histories=options.histories, reason=options.reason
    )
    say("held: nothing can delete it until botwire retention release")
    return OK


def _drop(options: argparse.Namespace, retention: Retention) -> int:
    retention.remove(options.name, options.namespaces)
    return OK


def _list(options: argparse.Namespace, retention: Retention) -> int:
    rows = (asdict(policy) for policy in retention.policies(options.namespaces))
    return OK if print_rows(_POLICY_COLUMNS, rows, as_json=options.json) else NO


def _plan(options: argparse.Namespace, retention: Retention) -> int:
    report = retention.plan(options.namespaces)
    _print(report, as_json=options.json)
    say(f"would delete {_summary(report)}")
    return OK


def _apply(options: argparse.Namespace, retention: Retention) -> int:
    report = retention.apply(options.namespaces)
    _print(report, as_json=options.json)
    say(f"deleted {_summary(report)}")
    return OK


def _print(report: Report, *, as_json: bool) -> None:
    print_rows(_REMOVAL_COLUMNS, (one._asdict() for one in report.removals), as_json=as_json)


def _summary(report: Report) -> str:
    held = sum(one.held for one in report.removals)
    kept = f"; holds keep {held:,} histories and collections" if held else ""
    return f"{count_of(report.count, 'item')}, {count_of(report.bytes, 'byte')}{kept}"
