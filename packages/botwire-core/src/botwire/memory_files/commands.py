"""The commands of the memory tool: their effects and their answers. Does no I/O.

Models are trained on the texts of Anthropic's ``memory_20250818`` tool, so these match them word
for word. A file is a key, named by its path, with a string as its value. Folders exist only as
parts of file paths.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from botwire.errors import BotWireError, ConfigurationError
from botwire.names import check_key

ROOT = "/memories"
"""The folder that holds every file."""

COMMANDS: Mapping[str, Mapping[str, type]] = {
    "view": {"path": str},
    "create": {"path": str, "file_text": str},
    "str_replace": {"path": str, "old_str": str, "new_str": str},
    "insert": {"path": str, "insert_line": int, "insert_text": str},
    "delete": {"path": str},
    "rename": {"old_path": str, "new_path": str},
}
"""Each command with its required arguments. `view` also takes `view_range`, two integers."""

_MAX_LINES = 999_999
_WIDTH = len(str(_MAX_LINES))
_FOLDER_SIZE = 4096  # as most file systems report for a folder
_LEVELS = 2


class FileCommandError(BotWireError):
    """A command was refused, and nothing was changed. The message is meant for the model."""


class NoSuchFileError(FileCommandError):
    """No file exists at the path; a folder may."""


# --- arguments ----------------------------------------------------------------------------------


def read_command(command: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Returns the name and the arguments of a command in the form a model sends.

    Raises:
        FileCommandError: The command is unknown, or an argument is missing or has a wrong type.
    """
    name = command.get("command")
    if not isinstance(name, str) or name not in COMMANDS:
        raise FileCommandError(f"Unknown command: {name}")
    arguments = {}
    for argument, kind in COMMANDS[name].items():
        value = command.get(argument)
        if not isinstance(value, kind) or isinstance(value, bool):
            what = "a string" if kind is str else "an integer"
            raise FileCommandError(f"The command `{name}` needs `{argument}`, {what}.")
        arguments[argument] = value
    view_range = command.get("view_range")
    if name == "view" and view_range is not None:
        if not isinstance(view_range, (list, tuple)) or not all(
            isinstance(line, int) and not isinstance(line, bool) for line in view_range
        ):
            raise FileCommandError("`view_range` must be two integers: [first line, last line].")
        arguments["view_range"] = view_range
    return name, arguments


def to_key(path: str) -> str:
    """Returns the key of a path: the path without ``..``, ``.`` and repeated slashes.

    Raises:
        FileCommandError: The path is not in `ROOT`, or is too long.
    """
    if path != ROOT and not path.startswith(ROOT + "/"):
        raise FileCommandError(f"Path must start with {ROOT}, got: {path}")
    relative = path[len(ROOT) :].lstrip("/")
    key = posixpath.normpath(posixpath.join(ROOT, relative))
    if key != ROOT and not key.startswith(ROOT + "/"):
        raise FileCommandError(f"Path {path} would escape {ROOT} directory")
    try:
        return check_key(key)
    except ConfigurationError as error:
        raise FileCommandError(f"The path {path:.80} is not valid: {error}") from None


def folders_above(key: str) -> list[str]:
    """Returns the folders above a file, without `ROOT`."""
    parts = key.split("/")
    return ["/".join(parts[:end]) for end in range(3, len(parts))]


def inside(key: str) -> str:
    """Returns the prefix of the keys of a folder's files."""
    return key + "/"


def deletable(path: str) -> str:
    """Returns the key of a path to delete.

    Raises:
        FileCommandError: The path is `ROOT`.
    """
    key = to_key(path)
    if key == ROOT:
        raise FileCommandError(f"Cannot delete the {ROOT} directory itself")
    return key


def renamable(old_path: str, new_path: str) -> tuple[str, str]:
    """Returns the keys of a path to rename and of its new name.

    Raises:
        FileCommandError: The path is `ROOT`, or would move into itself.
    """
    old, new = to_key(old_path), to_key(new_path)
    if old == ROOT:
        raise FileCommandError(f"Cannot rename the {ROOT} directory itself")
    if new.startswith(inside(old)):
        raise FileCommandError(f"Cannot rename {old_path} to {new_path}, which is inside it")
    return old, new


# --- answers ------------------------------------------------------------------------------------


def text_of(value: Any, path: str) -> str:
    """Returns the text of a file, given the value of its key.

    Raises:
        NoSuchFileError: The value is None: there is no such key.
        FileCommandError: A program stored something other than text.
    """
    if value is None:
        raise NoSuchFileError(f"The path {path} does not exist. Please provide a valid path.")
    if not isinstance(value, str):
        raise FileCommandError(f"Unsupported file type for {path}")
    return value


def not_a_file(path: str) -> FileCommandError:
    """Returns the refusal to edit a folder."""
    return FileCommandError(f"The path {path} is not a file.")


def not_a_folder(path: str) -> FileCommandError:
    """Returns the refusal to put a file into a file."""
    return FileCommandError(f"The path {path} is not a directory.")


def not_found(path: str) -> FileCommandError:
    """Returns the refusal to delete or rename a path that does not exist."""
    return FileCommandError(f"The path {path} does not exist")


def exists_already(path: str) -> FileCommandError:
    """Returns the refusal to create a file that exists."""
    return FileCommandError(f"File {path} already exists")


def destination_exists(path: str) -> FileCommandError:
    """Returns the refusal to rename a file over another one."""
    return FileCommandError(f"The destination {path} already exists")


def view_file(path: str, text: str, view_range: Sequence[int] | None) -> str:
    """Returns the numbered lines of a file.

    Args:
        path: The path, as the model wrote it.
        text: The text of the file.
        view_range: The first and the last line to show; -1 is the end.

    Raises:
        FileCommandError: The file has too many lines.
    """
    lines = text.split("\n")
    if len(lines) > _MAX_LINES:
        raise FileCommandError(f"File {path} exceeds maximum line limit of 999,999 lines.")
    first = 0
    if view_range is not None and len(view_range) == 2:
        first = max(1, view_range[0]) - 1
        lines = lines[first : len(lines) if view_range[1] == -1 else view_range[1]]
    return f"Here's the content of {path} with line numbers:\n" + _numbered(lines, first + 1)


def view_folder(path: str, key: str, files: Iterable[tuple[str, Any]]) -> str:
    """Returns the listing of a folder.

    Args:
        path: The path, as the model wrote it.
        key: Its key.
        files: The key and the value of each file at any depth.
    """
    found: dict[tuple[str, ...], str] = {}
    for name, value in files:
        parts = name[len(key) + 1 :].split("/")
        for level in range(1, min(len(parts), _LEVELS) + 1):
            if parts[level - 1].startswith("."):
                break
            if level == len(parts):
                found[tuple(parts)] = f"{_size(_bytes(value))}\t{path}/{'/'.join(parts)}"
            else:
                shown = "/".join(parts[:level])
                # A file and a folder of the same name can be created at the same moment: list both.
                found[(*parts[:level], "")] = f"{_size(_FOLDER_SIZE)}\t{path}/{shown}/"
    lines = [f"{_size(_FOLDER_SIZE)}\t{path}", *(found[parts] for parts in sorted(found))]
    return (
        f"Here're the files and directories up to {_LEVELS} levels deep in {path}, excluding "
        "hidden items:\n" + "\n".join(lines)
    )


def replace(path: str, text: str, old: str, new: str) -> tuple[str, str]:
    """Returns the text with one part replaced, and the answer.

    Args:
        path: The file's path, as the model wrote it.
        text: The file's text.
        old: The part to replace, which must occur exactly once.
        new: The replacement.

    Raises:
        FileCommandError: The part does not occur, or occurs more than once.
    """
    if not old:
        raise FileCommandError("No replacement was performed, old_str is empty.")
    count = text.count(old)
    if count == 0:
        raise FileCommandError(
            f"No replacement was performed, old_str `{old}` did not appear verbatim in {path}."
        )
    if count > 1:
        raise FileCommandError(
            f"No replacement was performed. Multiple occurrences of old_str `{old}` in lines: "
            f"{', '.join(map(str, _lines_with(text, old)))}. Please ensure it is unique"
        )
    changed = text.count("\n", 0, text.find(old))
    text = text.replace(old, new)
    first = max(0, changed - 2)
    snippet = _numbered(text.split("\n")[first : changed + 3], first + 1)
    return text, (
        "The memory file has been edited. Here is the snippet showing the change (with line "
        f"numbers):\n{snippet}"
    )


def insert(path: str, text: str, line: int, added: str) -> tuple[str, str]:
    """Returns the text with lines added, and the answer.

    Args:
        path: The file's path, as the model wrote it.
        text: The file's text.
        line: The line after which to insert; 0 means at the beginning.
        added: The lines to insert.

    Raises:
        FileCommandError: The file has no such line.
    """
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    if not 0 <= line <= len(lines):
        raise FileCommandError(
            f"Invalid `insert_line` parameter: {line}. It should be within the range "
            f"[0, {len(lines)}]."
        )
    lines.insert(line, added.rstrip("\n"))
    text = "\n".join(lines)
    if not text.endswith("\n"):
        text += "\n"
    return text, f"The file {path} has been edited."


def created(path: str) -> str:
    """Returns the answer to `create`."""
    return f"File created successfully at: {path}"


def deleted(path: str) -> str:
    """Returns the answer to `delete`."""
    return f"Successfully deleted {path}"


def renamed(old_path: str, new_path: str) -> str:
    """Returns the answer to `rename`."""
    return f"Successfully renamed {old_path} to {new_path}"


def cleared() -> str:
    """Returns the answer to `clear`."""
    return "All memory cleared"


def _numbered(lines: Iterable[str], first: int) -> str:
    return "\n".join(f"{number:>{_WIDTH}}\t{line}" for number, line in enumerate(lines, first))


def _lines_with(text: str, part: str) -> list[int]:
    """Returns the line number of every occurrence, including overlapping ones."""
    found = []
    line, seen, position = 1, 0, text.find(part)
    while position != -1:
        line += text.count("\n", seen, position)
        found.append(line)
        seen, position = position, text.find(part, position + 1)
    return found


def _bytes(value: Any) -> int:
    return len(value.encode("utf-8", "surrogatepass")) if isinstance(value, str) else 0


def _size(size: int) -> str:
    if size == 0:
        return "0B"
    unit = min((size.bit_length() - 1) // 10, 3)
    amount = size / 1024**unit
    return f"{int(amount) if amount == int(amount) else format(amount, '.1f')}{'BKMG'[unit]}"
