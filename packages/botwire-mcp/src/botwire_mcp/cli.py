"""The commands ``botwire-mcp`` and ``botwire mcp``."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from typing import Any

from botwire.cli import escape_output
from botwire.cli.exits import exit_code
from botwire.errors import BotWireError, ConfigurationError
from botwire.places import API_KEY_VARIABLE, NAMESPACE_VARIABLE, URL_VARIABLE
from botwire_mcp import import_command, installing, tool_names
from botwire_mcp.claude_code import hooks, settings
from botwire_mcp.installing import CLIENTS, FileChange


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs ``botwire-mcp`` and returns its exit code."""
    escape_output()
    parser = argparse.ArgumentParser(
        prog="botwire-mcp", description="Serves one memory to every agent that speaks MCP."
    )
    _add_options(parser)
    options = parser.parse_args(arguments)
    try:
        code: int = options.run(options)
    except BotWireError as error:
        print(error, file=sys.stderr)
        return exit_code(error)
    return code


def mcp_command(commands: Any) -> None:
    """Adds ``botwire mcp`` to the command line of botwire."""
    text = "serve memory to agents over MCP, on stdin and stdout"
    _add_options(commands.add_parser("mcp", help=text, description=text[0].upper() + text[1:]))


def _add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", help="where memory lives (default: BOTWIRE_URL, else a file)")
    parser.add_argument("--api-key", metavar="KEY", help="API key; safer in BOTWIRE_API_KEY")
    parser.add_argument(
        "-N", "--namespace", help="namespace (default: BOTWIRE_NAMESPACE, else default)"
    )


def _add_options(parser: argparse.ArgumentParser, *, is_main: bool = True) -> None:
    _add_place(parser)
    parser.add_argument(
        "--tools",
        type=lambda text: [name for name in text.replace(",", " ").split() if name],
        metavar="NAMES",
        help=f"tools to offer, separated by commas (default: {','.join(tool_names.NAMES)})",
    )
    parser.add_argument("--read-only", action="store_true", help="only offer tools that read")
    parser.set_defaults(run=_serve)
    if not is_main:
        return
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=False)
    text = "add the server to the settings of a client; keeps a backup and never overwrites"
    install = actions.add_parser("install", help=text, description=text[0].upper() + text[1:])
    install.add_argument("client", choices=list(CLIENTS))
    install.add_argument("--dry-run", action="store_true", help="only show the change")
    install.add_argument(
        "--project", action="store_true", help="only for the project in this folder"
    )
    install.add_argument(
        "--hooks",
        action="store_true",
        help="claude-code: recall when a session starts, save before compaction and at its end",
    )
    _add_options(install, is_main=False)
    install.set_defaults(run=_install)
    text = "import the data of another memory server; can be repeated and never overwrites"
    importing = actions.add_parser("import", help=text, description=text[0].upper() + text[1:])
    import_command.add_arguments(importing)
    _add_place(importing)
    importing.set_defaults(run=import_command.run)
    text = "answer an event of Claude Code"
    hook = actions.add_parser("hook", help=text, description=text[0].upper() + text[1:])
    _add_place(hook)
    hook.set_defaults(run=hooks.run)


def _serve(options: argparse.Namespace) -> int:
    # Every hook and every botwire command imports this module, and the MCP SDK is slow to import.
    from botwire_mcp import serving  # noqa: PLC0415

    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    serving.serve(
        options.namespace,
        tools=options.tools,
        read_only=options.read_only,
        url=options.url,
        api_key=options.api_key,
    )
    return 0


def _install(options: argparse.Namespace) -> int:
    tool_names.check(options.tools)
    arguments = ["--read-only"] if options.read_only else []
    if options.tools:
        arguments += ["--tools", ",".join(options.tools)]
    environment = {
        URL_VARIABLE: options.url,
        NAMESPACE_VARIABLE: options.namespace,
        API_KEY_VARIABLE: options.api_key,
    }
    entry = installing.entry_of(arguments, environment)
    changes = [installing.plan(options.client, entry, project=options.project)]
    if options.hooks:
        changes.append(_plan_hooks(options))
    wanted = [change for change in changes if change is not None]
    if not wanted:
        print("it is already installed: nothing to change")
        return 0
    for change in wanted:
        print(change.show(options.api_key))
    if options.dry_run:
        print("nothing was written (--dry-run)")
        return 0
    for change in wanted:
        backup = change.write()
        kept = "" if backup is None else f"; the old file is {backup}"
        print(f"installed in {change.path}{kept}")
    print(f"Restart {options.client} to use it.")
    return 0


def _plan_hooks(options: argparse.Namespace) -> FileChange | None:
    if options.client != "claude-code":
        raise ConfigurationError(f"{options.client} has no hooks: omit --hooks")
    if options.read_only:
        raise ConfigurationError("hooks save sessions: omit --read-only or --hooks")
    place = [("--url", options.url), ("--namespace", options.namespace)]
    words = [word for name, value in place if value for word in (name, value)]
    return settings.plan(settings.command_of(words), options.api_key, project=options.project)
