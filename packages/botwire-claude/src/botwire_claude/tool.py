"""The memory tool of Anthropic's SDK: files that a model keeps, on BotWire."""

from __future__ import annotations

from typing import Any, Unpack

from anthropic.lib.tools import BetaAbstractMemoryTool, BetaAsyncAbstractMemoryTool, ToolError
from anthropic.types.beta import BetaCacheControlEphemeralParam

from botwire.connection import Connected, ConnectionOptions
from botwire.memory_files import AsyncMemoryFiles, FileCommandError, MemoryFiles


class BotWireMemoryTool(Connected, BetaAbstractMemoryTool, framework="claude"):
    """Claude's memory tool on BotWire: its files outlive the process and are shared.

    ::

        tool = BotWireMemoryTool("user-42")
        client.beta.messages.tool_runner(model=…, messages=…, tools=[tool], max_tokens=…)

    If two agents edit a file at the same time, both edits take effect.

    Args:
        namespace: The namespace of the files. Defaults to the client's, then to
            ``BOTWIRE_NAMESPACE``, then to ``default``.
        cache_control: As for `BetaAbstractMemoryTool`.
        **connection: Where memory lives; see `ConnectionOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    def __init__(
        self,
        namespace: str | None = None,
        *,
        cache_control: BetaCacheControlEphemeralParam | None = None,
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        BetaAbstractMemoryTool.__init__(self, cache_control=cache_control)
        super().__init__(namespace, **connection)

    def _run(self, command: Any) -> str:
        try:
            return MemoryFiles(self.connection.memory).run(dict(command))
        except FileCommandError as error:
            raise ToolError(str(error)) from error

    view = create = str_replace = insert = delete = rename = _run

    def clear_all_memory(self) -> str:
        """Deletes every file. Other memory of the namespace stays."""
        return MemoryFiles(self.connection.memory).clear()


class BotWireAsyncMemoryTool(Connected, BetaAsyncAbstractMemoryTool, framework="claude"):
    """`BotWireMemoryTool` for `AsyncAnthropic`, without threads.

    Args:
        namespace: The namespace of the files. Defaults to the client's, then to
            ``BOTWIRE_NAMESPACE``, then to ``default``.
        cache_control: As for `BetaAsyncAbstractMemoryTool`.
        **connection: Where memory lives; see `ConnectionOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    def __init__(
        self,
        namespace: str | None = None,
        *,
        cache_control: BetaCacheControlEphemeralParam | None = None,
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        BetaAsyncAbstractMemoryTool.__init__(self, cache_control=cache_control)
        super().__init__(namespace, **connection)

    async def _run(self, command: Any) -> str:
        try:
            return await AsyncMemoryFiles(self.connection.async_memory).run(dict(command))
        except FileCommandError as error:
            raise ToolError(str(error)) from error

    view = create = str_replace = insert = delete = rename = _run

    async def clear_all_memory(self) -> str:
        """Deletes every file. Other memory of the namespace stays."""
        return await AsyncMemoryFiles(self.connection.async_memory).clear()
