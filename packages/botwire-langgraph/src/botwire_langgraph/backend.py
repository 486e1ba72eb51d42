"""Stores the files of deep agents without losing edits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, Unpack

from deepagents.backends.protocol import (
    BackendProtocol,
    DeleteResult,
    EditResult,
    FileDownloadResponse,
    FileUploadResponse,
    GlobResult,
    GrepResult,
    LsResult,
    ReadResult,
    WriteResult,
)
from langgraph.runtime import get_runtime

from botwire import ConfigurationError
from botwire.connection import Connected, ConnectionOptions, check_named, check_namespace_of
from botwire.names import check_prefix
from botwire.programs import Program, arun, run
from botwire_langgraph.acting import acting
from botwire_langgraph.files import Files, Step

T = TypeVar("T")


class BotWireBackend(
    Connected, BackendProtocol, framework="langgraph", acting=acting, shows="prefix"
):
    """Files on BotWire for deep agents: ``create_deep_agent(backend=BotWireBackend("user-42"))``.

    A file is a key, `prefix` followed by its path, and holds text or bytes. If another agent was
    faster, the backend repeats an edit on the newest text, so both edits of one file take effect.
    Listings and globs read names only. A search reads only the files in its scope.

    Args:
        namespace: The namespace of the files. Defaults to the client's, then to
            ``BOTWIRE_NAMESPACE``. One of them, `namespace_of` or a url is required, because all
            users would share the files otherwise.
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
        check_namespace_of(namespace, namespace_of)
        self.prefix = check_prefix(prefix)
        given = (namespace, namespace_of, connection.get("client"), connection.get("url"))
        check_named(type(self), given, "namespace_of", "their files")
        super().__init__(namespace, **connection)
        self._files = Files(prefix)
        self._namespace_of = namespace_of

    # --- the protocol, blocking and awaited

    def ls(self, path: str) -> LsResult:
        """Returns the files and folders in a folder, without reading any file."""
        return self._run(self._files.ls(path))

    async def als(self, path: str) -> LsResult:
        """Returns what `ls` returns."""
        return await self._arun(self._files.ls(path))

    def read(self, file_path: str, offset: int = 0, limit: int = 2000) -> ReadResult:
        """Returns lines of a text file, or all of a binary one."""
        return self._run(self._files.read(file_path, offset, limit))

    async def aread(self, file_path: str, offset: int = 0, limit: int = 2000) -> ReadResult:
        """Returns what `read` returns."""
        return await self._arun(self._files.read(file_path, offset, limit))

    def write(self, file_path: str, content: str) -> WriteResult:
        """Stores a file, replacing its previous content."""
        return self._run(self._files.write(file_path, content))

    async def awrite(self, file_path: str, content: str) -> WriteResult:
        """Does what `write` does."""
        return await self._arun(self._files.write(file_path, content))

    def edit(
        self, file_path: str, old_string: str, new_string: str, replace_all: bool = False
    ) -> EditResult:
        """Replaces a text in a file, in its newest version."""
        return self._run(self._files.edit(file_path, old_string, new_string, replace_all))

    async def aedit(
        self, file_path: str, old_string: str, new_string: str, replace_all: bool = False
    ) -> EditResult:
        """Does what `edit` does."""
        return await self._arun(self._files.edit(file_path, old_string, new_string, replace_all))

    def delete(self, file_path: str) -> DeleteResult:
        """Deletes a file, or a folder with everything in it, in one step."""
        return self._run(self._files.delete(file_path))

    async def adelete(self, file_path: str) -> DeleteResult:
        """Does what `delete` does."""
        return await self._arun(self._files.delete(file_path))

    def grep(
        self,
        pattern: str,
        path: str | None = None,
        glob: str | None = None,
        *,
        max_count: int | None = None,
    ) -> GrepResult:
        """Returns the lines that contain a text, file by file, up to `max_count` lines."""
        return self._run(self._files.grep(pattern, path, glob, max_count))

    async def agrep(
        self,
        pattern: str,
        path: str | None = None,
        glob: str | None = None,
        *,
        max_count: int | None = None,
    ) -> GrepResult:
        """Returns what `grep` returns."""
        return await self._arun(self._files.grep(pattern, path, glob, max_count))

    def glob(self, pattern: str, path: str | None = None) -> GlobResult:
        """Returns the files whose paths match a pattern, sorted, without reading any."""
        return self._run(self._files.glob(pattern, path))

    async def aglob(self, pattern: str, path: str | None = None) -> GlobResult:
        """Returns what `glob` returns."""
        return await self._arun(self._files.glob(pattern, path))

    def upload_files(self, files: list[tuple[str, bytes]]) -> list[FileUploadResponse]:
        """Stores files: UTF-8 content as text, other content as bytes."""
        return self._run(self._files.upload(files))

    async def aupload_files(self, files: list[tuple[str, bytes]]) -> list[FileUploadResponse]:
        """Does what `upload_files` does."""
        return await self._arun(self._files.upload(files))

    def download_files(self, paths: list[str]) -> list[FileDownloadResponse]:
        """Returns files as bytes."""
        return self._run(self._files.download(paths))

    async def adownload_files(self, paths: list[str]) -> list[FileDownloadResponse]:
        """Returns what `download_files` returns."""
        return await self._arun(self._files.download(paths))

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
