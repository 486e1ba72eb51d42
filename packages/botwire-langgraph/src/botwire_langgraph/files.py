"""Files under keys: what deepagents' backend does, as programs that either client runs."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from deepagents.backends.protocol import (
    DeleteResult,
    EditResult,
    FileData,
    FileDownloadResponse,
    FileInfo,
    FileUploadResponse,
    GlobResult,
    GrepMatch,
    GrepResult,
    LsResult,
    ReadResult,
    WriteResult,
)
from deepagents.backends.utils import (
    compile_grep_include_glob,
    perform_string_replacement,
    slice_read_response,
)

from botwire import ConfigurationError, Entry
from botwire import operations as ops
from botwire.arguments import check_type
from botwire.client import AsyncMemory, Memory
from botwire.client.encoding import encode_list, encode_pairs
from botwire.names import check_key, check_string
from botwire.programs import Program

_LAST = "\U0010ffff"
_READ_AT_ONCE = 50  # files per read of a search

Step = Callable[[Any], Any]
"""A step of a program, called with a blocking or an asynchronous client."""
Uploaded = list[FileUploadResponse]
Downloaded = list[FileDownloadResponse]


class Files:
    """The operations on files; each returns a program.

    Args:
        prefix: What the keys begin with; the path of a file follows.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    def ls(self, path: str) -> Program[Step, LsResult]:
        """Lists a folder."""
        folder = self._key(path).rstrip("/") + "/"
        entries: list[FileInfo] = []
        after: str | None = None
        while True:
            (page,) = yield _apply_all(ops.ListKeys(folder, after))
            folders = None
            for key in page.keys:
                name, slash, _ = key[len(folder) :].partition("/")
                if not slash:
                    entries.append({"path": self._path(key), "is_dir": False})
                    continue
                inner = f"{folder}{name}/"
                if not entries or entries[-1]["path"] != self._path(inner):
                    entries.append({"path": self._path(inner), "is_dir": True})
                folders = max(key, inner + _LAST)
                if page.more:
                    break  # the rest of this folder need not be listed
            if not page.more:
                return LsResult(entries=sorted(entries, key=lambda one: one["path"]))
            after = folders or page.keys[-1]

    def read(self, path: str, offset: int, limit: int) -> Program[Step, ReadResult]:
        """Reads lines of a text file, or all of a binary one."""
        entry = yield lambda client: client.entry(self._key(path))
        if entry is None:
            return ReadResult(error=f"File '{path}' not found")
        data = _file_data(entry)
        if data["encoding"] != "utf-8":
            return ReadResult(file_data=data)
        return slice_read_response(data, offset, limit)

    def write(self, path: str, content: str) -> Program[Step, WriteResult]:
        """Stores a file."""
        if (error := self._refused(path)) is not None:
            return WriteResult(error=error)
        if not isinstance(content, bytes):
            check_string(content, "file's content")
        yield _set(self._key(path), content)
        return WriteResult(path=path)

    def edit(self, path: str, old: str, new: str, replace_all: bool) -> Program[Step, EditResult]:
        """Replaces a text in a file, in its newest version."""
        check_string(old, "text to replace")
        check_string(new, "replacement")
        occurrences = 0

        def replace(text: Any) -> Any:
            nonlocal occurrences
            if text is None:
                raise _RefusedError(f"Error: File '{path}' not found")
            if not isinstance(text, str):
                raise _RefusedError("Error: Cannot edit binary files with text replacements.")
            replaced = perform_string_replacement(text, old, new, replace_all)
            if isinstance(replaced, str):
                raise _RefusedError(replaced)
            edited, occurrences = replaced
            return edited

        try:
            yield lambda client: client.update(self._key(path), replace)
        except _RefusedError as error:
            return EditResult(error=str(error))
        return EditResult(path=path, occurrences=occurrences)

    def delete(self, path: str) -> Program[Step, DeleteResult]:
        """Deletes a file, or a folder with all that is in it."""
        key = self._key(path).rstrip("/")
        file, inside = yield _apply_all(ops.DeleteKey(key), ops.ClearKeys(f"{key}/"))
        if not (file or inside):
            return DeleteResult(error=f"Error: File '{path}' not found")
        return DeleteResult(path=path)

    def grep(
        self, pattern: str, path: str | None, glob: str | None, most: int | None
    ) -> Program[Step, GrepResult]:
        """Finds the lines that contain a text."""
        check_string(pattern, "text to find")
        if most is not None:
            ops.check_count(most, "max_count")
        try:
            keys = yield from self._matching(glob, path)
        except ValueError as error:
            return GrepResult(error=str(error))
        found: list[GrepMatch] = []
        for start in range(0, len(keys), _READ_AT_ONCE):
            part = keys[start : start + _READ_AT_ONCE]
            texts = yield _get(part)
            for key in part:
                for match in _lines(self._path(key), texts.get(key), pattern):
                    if most is not None and len(found) >= most:
                        return GrepResult(matches=found, truncated=True)
                    found.append(match)
        return GrepResult(matches=found)

    def glob(self, pattern: str, path: str | None) -> Program[Step, GlobResult]:
        """Finds the files whose paths match a pattern."""
        check_string(pattern, "pattern")
        try:
            keys = yield from self._matching(pattern, path)
        except ValueError as error:
            return GlobResult(error=str(error))
        return GlobResult(matches=[{"path": self._path(key), "is_dir": False} for key in keys])

    def _matching(self, pattern: str | None, path: str | None) -> Program[Step, list[str]]:
        """Returns the keys of the files at or below a path that match a pattern."""
        if pattern is not None:
            check_string(pattern, "glob")
        matches = compile_grep_include_glob(pattern) if pattern else None
        root = self._key(path or "/").rstrip("/")
        exists = yield lambda client: client.exists(root)
        if exists:
            name = root.rpartition("/")[2]
            return [root] if matches is None or matches(name) else []
        keys = yield lambda client: client.list_keys(f"{root}/")
        return [key for key in keys if matches is None or matches(key[len(root) + 1 :])]

    def upload(self, files: Iterable[tuple[str, bytes]]) -> Program[Step, Uploaded]:
        """Stores files."""
        answers = []
        for path, content in _pairs(files):
            if self._refused(path) is not None:
                answers.append(FileUploadResponse(path=path, error="invalid_path"))
                continue
            key, value = self._key(path), _stored(content)
            yield _set(key, value)
            answers.append(FileUploadResponse(path=path))
        return answers

    def download(self, paths: Iterable[str]) -> Program[Step, Downloaded]:
        """Reads files."""
        wanted = [(path, self._key(path)) for path in encode_list(paths, "paths")]
        found = yield _get(key for _, key in wanted)
        answers = []
        for path, key in wanted:
            value = found.get(key)
            if value is None:
                answers.append(FileDownloadResponse(path=path, error="file_not_found"))
            else:
                content = value if isinstance(value, bytes) else str(value).encode()
                answers.append(FileDownloadResponse(path=path, content=content))
        return answers

    def _key(self, path: str) -> str:
        check_string(path, "file path")
        return self.prefix + (path if path.startswith("/") else f"/{path}")

    def _path(self, key: str) -> str:
        return key[len(self.prefix) :]

    def _refused(self, path: str) -> str | None:
        """Returns why a file cannot be stored under a path; None if it can."""
        check_string(path, "file path")
        if not path.startswith("/") or path.endswith("/") or ".." in path.split("/"):
            return f"Error: '{path}' is not the path of a file: it must begin with '/'"
        try:
            check_key(self._key(path))
        except ConfigurationError as error:
            return f"Error: {error}"
        return None


class _RefusedError(Exception):
    """An edit is not possible; the text says why, for the model."""


def _pairs(files: Iterable[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """Returns the files to store, checked before the first is stored."""
    pairs = encode_pairs(files, "files", "a path and bytes")
    for i, (path, content) in enumerate(pairs):
        check_string(path, "file path")
        check_type(content, (bytes, bytearray), f"files[{i}][1]", "bytes")
    return list(pairs)


def _get(keys: Iterable[str]) -> Step:
    return lambda client: client.get_many(keys)


def _set(key: str, value: str | bytes) -> Step:
    return lambda client: client.set(key, value)


def _apply_all(*operations: ops.AnyOperation) -> Step:
    def step(client: Memory | AsyncMemory) -> Any:
        batch = ops.Batch(client.namespace, operations, author=client.author)
        return client.engine.apply(batch)

    return step


def _file_data(entry: Entry) -> FileData:
    value, encoding = entry.value, "utf-8"
    if isinstance(value, bytes):
        value, encoding = base64.b64encode(value).decode(), "base64"
    return {
        "content": str(value),
        "encoding": encoding,
        "created_at": entry.created_at.isoformat(),
        "modified_at": entry.updated_at.isoformat(),
    }


def _stored(content: bytes) -> str | bytes:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content


def _lines(path: str, text: Any, pattern: str) -> Iterator[GrepMatch]:
    if isinstance(text, str) and pattern in text:
        for number, line in enumerate(text.split("\n"), 1):
            if pattern in line:
                yield {"path": path, "line": number, "text": line}
