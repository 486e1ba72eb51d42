"""Stores the files of deep agents without losing edits."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar, Unpack

from deepagents.backends.protocol import (
    BackendProtocol,
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
from langgraph.runtime import get_runtime

from botwire import ConfigurationError, Entry
from botwire import operations as ops
from botwire.client import AsyncMemory, Memory
from botwire.connection import Connected, ConnectionOptions
from botwire.names import check_key
from botwire.programs import Program, arun, run
from botwire_langgraph.acting import acting

_LAST = "\U0010ffff"
_READ_AT_ONCE = 50  # files per read of a search

T = TypeVar("T")
Client = Memory | AsyncMemory
Uploaded = list[FileUploadResponse]
Downloaded = list[FileDownloadResponse]
Step = Callable[[Any], Any]
"""A step of a program, called with a blocking or an asynchronous client."""


class BotWireBackend(
    Connected, BackendProtocol, framework="langgraph", acting=acting, shows="prefix"
):
    """Files on BotWire for deep agents: ``create_deep_agent(backend=BotWireBackend("user-42"))``.

    A file is a key, `prefix` followed by its path, and holds text or bytes. If another agent was
    faster, the backend repeats an edit on the newest text, so both edits of one file take effect.
    Listings and globs read names only. A search reads only the files in its scope.

    Args:
        namespace: The namespace of the files. Defaults to the client's, then to
            ``BOTWIRE_NAMESPACE``, then to ``default``.
        prefix: The prefix of the keys in the namespace; the backend ignores other keys.
        namespace_of: Returns the namespace of a run, given its LangGraph `Runtime`, so that one
            backend serves many users. Replaces `namespace`.
        **connection: Where memory lives; see `ConnectionOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    def __init__(
        self,
        namespace: str | None = None,
        *,
        prefix: str = "files",
        namespace_of: Callable[[Any], str] | None = None,
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        if namespace is not None and namespace_of is not None:
            raise ConfigurationError("give namespace or namespace_of, not both")
        self.prefix = prefix
        super().__init__(namespace, **connection)
        self._namespace_of = namespace_of

    # --- the protocol, blocking and awaited

    def ls(self, path: str) -> LsResult:
        """Returns the files and folders in a folder, without reading any file."""
        return self._run(self._ls(path))

    async def als(self, path: str) -> LsResult:
        """Returns what `ls` returns."""
        return await self._arun(self._ls(path))

    def read(self, file_path: str, offset: int = 0, limit: int = 2000) -> ReadResult:
        """Returns lines of a text file, or all of a binary one."""
        return self._run(self._read(file_path, offset, limit))

    async def aread(self, file_path: str, offset: int = 0, limit: int = 2000) -> ReadResult:
        """Returns what `read` returns."""
        return await self._arun(self._read(file_path, offset, limit))

    def write(self, file_path: str, content: str) -> WriteResult:
        """Stores a file, replacing its previous content."""
        return self._run(self._write(file_path, content))

    async def awrite(self, file_path: str, content: str) -> WriteResult:
        """Does what `write` does."""
        return await self._arun(self._write(file_path, content))

    def edit(
        self, file_path: str, old_string: str, new_string: str, replace_all: bool = False
    ) -> EditResult:
        """Replaces a text in a file, in its newest version."""
        return self._run(self._edit(file_path, old_string, new_string, replace_all))

    async def aedit(
        self, file_path: str, old_string: str, new_string: str, replace_all: bool = False
    ) -> EditResult:
        """Does what `edit` does."""
        return await self._arun(self._edit(file_path, old_string, new_string, replace_all))

    def delete(self, file_path: str) -> DeleteResult:
        """Deletes a file, or a folder with everything in it, in one step."""
        return self._run(self._delete(file_path))

    async def adelete(self, file_path: str) -> DeleteResult:
        """Does what `delete` does."""
        return await self._arun(self._delete(file_path))

    def grep(
        self,
        pattern: str,
        path: str | None = None,
        glob: str | None = None,
        *,
        max_count: int | None = None,
    ) -> GrepResult:
        """Returns the lines that contain a text, file by file, up to `max_count` lines."""
        return self._run(self._grep(pattern, path, glob, max_count))

    async def agrep(
        self,
        pattern: str,
        path: str | None = None,
        glob: str | None = None,
        *,
        max_count: int | None = None,
    ) -> GrepResult:
        """Returns what `grep` returns."""
        return await self._arun(self._grep(pattern, path, glob, max_count))

    def glob(self, pattern: str, path: str | None = None) -> GlobResult:
        """Returns the files whose paths match a pattern, sorted, without reading any."""
        return self._run(self._glob(pattern, path))

    async def aglob(self, pattern: str, path: str | None = None) -> GlobResult:
        """Returns what `glob` returns."""
        return await self._arun(self._glob(pattern, path))

    def upload_files(self, files: list[tuple[str, bytes]]) -> list[FileUploadResponse]:
        """Stores files: UTF-8 content as text, other content as bytes."""
        return self._run(self._upload(files))

    async def aupload_files(self, files: list[tuple[str, bytes]]) -> list[FileUploadResponse]:
        """Does what `upload_files` does."""
        return await self._arun(self._upload(files))

    def download_files(self, paths: list[str]) -> list[FileDownloadResponse]:
        """Returns files as bytes."""
        return self._run(self._download(paths))

    async def adownload_files(self, paths: list[str]) -> list[FileDownloadResponse]:
        """Returns what `download_files` returns."""
        return await self._arun(self._download(paths))

    # --- the operations

    def _ls(self, path: str) -> Program[Step, LsResult]:
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

    def _read(self, path: str, offset: int, limit: int) -> Program[Step, ReadResult]:
        entry = yield lambda client: client.entry(self._key(path))
        if entry is None:
            return ReadResult(error=f"File '{path}' not found")
        data = _file_data(entry)
        if data["encoding"] != "utf-8":
            return ReadResult(file_data=data)
        return slice_read_response(data, offset, limit)

    def _write(self, path: str, content: str) -> Program[Step, WriteResult]:
        if (error := self._refused(path)) is not None:
            return WriteResult(error=error)
        yield _set(self._key(path), content)
        return WriteResult(path=path)

    def _edit(self, path: str, old: str, new: str, replace_all: bool) -> Program[Step, EditResult]:
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

    def _delete(self, path: str) -> Program[Step, DeleteResult]:
        key = self._key(path).rstrip("/")
        file, inside = yield _apply_all(ops.DeleteKey(key), ops.ClearKeys(f"{key}/"))
        if not (file or inside):
            return DeleteResult(error=f"Error: File '{path}' not found")
        return DeleteResult(path=path)

    def _grep(
        self, pattern: str, path: str | None, glob: str | None, most: int | None
    ) -> Program[Step, GrepResult]:
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

    def _glob(self, pattern: str, path: str | None) -> Program[Step, GlobResult]:
        try:
            keys = yield from self._matching(pattern, path)
        except ValueError as error:
            return GlobResult(error=str(error))
        return GlobResult(matches=[{"path": self._path(key), "is_dir": False} for key in keys])

    def _matching(self, pattern: str | None, path: str | None) -> Program[Step, list[str]]:
        """Returns the keys of the files at or below a path that match a pattern."""
        matches = compile_grep_include_glob(pattern) if pattern else None
        root = self._key(path or "/").rstrip("/")
        exists = yield lambda client: client.exists(root)
        if exists:
            name = root.rpartition("/")[2]
            return [root] if matches is None or matches(name) else []
        keys = yield lambda client: client.list_keys(f"{root}/")
        return [key for key in keys if matches is None or matches(key[len(root) + 1 :])]

    def _upload(self, files: Iterable[tuple[str, bytes]]) -> Program[Step, Uploaded]:
        answers = []
        for path, content in files:
            if self._refused(path) is not None:
                answers.append(FileUploadResponse(path=path, error="invalid_path"))
                continue
            key, value = self._key(path), _stored(content)
            yield _set(key, value)
            answers.append(FileUploadResponse(path=path))
        return answers

    def _download(self, paths: Iterable[str]) -> Program[Step, Downloaded]:
        wanted = {path: self._key(path) for path in paths}
        found = yield _get(wanted.values())
        answers = []
        for path, key in wanted.items():
            value = found.get(key)
            if value is None:
                answers.append(FileDownloadResponse(path=path, error="file_not_found"))
            else:
                content = value if isinstance(value, bytes) else str(value).encode()
                answers.append(FileDownloadResponse(path=path, content=content))
        return answers

    # --- helpers

    def _key(self, path: str) -> str:
        return self.prefix + (path if path.startswith("/") else f"/{path}")

    def _path(self, key: str) -> str:
        return key[len(self.prefix) :]

    def _refused(self, path: str) -> str | None:
        """Returns why a file cannot be stored under a path; None if it can."""
        if not path.startswith("/") or path.endswith("/") or ".." in path.split("/"):
            return f"Error: '{path}' is not the path of a file: it must begin with '/'"
        try:
            check_key(self._key(path))
        except ConfigurationError as error:
            return f"Error: {error}"
        return None

    def _namespace(self) -> str:
        if self._namespace_of is None:
            return self.connection.namespace
        try:
            runtime = get_runtime()
        except (RuntimeError, KeyError) as error:
            raise ConfigurationError(
                "this backend takes its namespace from a run, so only an agent's tools can use it"
            ) from error
        return self._namespace_of(runtime)

    def _run(self, program: Program[Step, T]) -> T:
        client = self.connection.memory.with_namespace(self._namespace())
        return run(program, lambda step: step(client))

    async def _arun(self, program: Program[Step, T]) -> T:
        client = self.connection.async_memory.with_namespace(self._namespace())
        return await arun(program, lambda step: step(client))


class _RefusedError(Exception):
    """An edit is not possible; the text says why, for the model."""


def _get(keys: Iterable[str]) -> Step:
    return lambda client: client.get_many(keys)


def _set(key: str, value: str | bytes) -> Step:
    return lambda client: client.set(key, value)


def _apply_all(*operations: ops.AnyOperation) -> Step:
    def step(client: Client) -> Any:
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
