"""The tools that a server offers, and how calls are run."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from mcp import MCPError
from mcp.types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ContentBlock,
    TextContent,
)
from pydantic import ValidationError

from botwire import AsyncMemory
from botwire.engines.protocol import AsyncEngine
from botwire.errors import BotWireError, InvalidRequestError
from botwire.operations import Batch, Results
from botwire_mcp import bounds, tool_names
from botwire_mcp.conversations import History
from botwire_mcp.files import Files, ViewFiles
from botwire_mcp.listing import List
from botwire_mcp.notes import Forget, Recall, Remember, Update
from botwire_mcp.tool import Answer, MemoryTool, RefusedError
from botwire_mcp.values import Get, Set

TOOLS: Mapping[str, type[MemoryTool]] = {
    tool.name: tool for tool in (Remember, Recall, Update, Forget, List, Get, Set, Files, History)
}
"""Every tool by its name."""

IDEMPOTENCY_KEY = "botwire/idempotencyKey"
"""The field of a call's ``_meta`` with which a repeated call writes only once."""

_USED = 422  # the status if another write has used the id

logger = logging.getLogger("botwire.mcp")


def choose_tools(
    tools: Collection[str] | None = None, *, read_only: bool = False
) -> dict[str, type[MemoryTool]]:
    """Returns the tools to offer.

    Args:
        tools: Their names; None means all.
        read_only: Offer only tools that read. Of the tool for files, only the command `view` is
            left.

    Raises:
        ConfigurationError: There is no such tool.
    """
    tool_names.check(tools)
    chosen = {name: tool for name, tool in TOOLS.items() if tools is None or name in tools}
    if not read_only:
        return chosen
    if "memory" in chosen:
        chosen["memory"] = ViewFiles
    return {name: tool for name, tool in chosen.items() if tool.reads}


async def call_tool(
    tools: Mapping[str, type[MemoryTool]],
    memory: AsyncMemory,
    params: CallToolRequestParams,
    meta: Mapping[str, Any],
) -> CallToolResult:
    """Runs a tool and returns its answer, or an error that the model can read.

    Args:
        tools: The tools that the caller may use.
        memory: The memory to run it on.
        params: The call.
        meta: The ``_meta`` of the call.

    Raises:
        MCPError: There is no such tool.
    """
    tool = tools.get(params.name)
    if tool is None:
        raise MCPError(INVALID_PARAMS, f"there is no tool {params.name!r:.80} here")
    try:
        call = tool.model_validate(params.arguments or {})
        answer = await call.run(_repeatable(memory, params, meta))
    except ValidationError as error:
        return _refusal(_wrong_arguments(params.name, error))
    except _AppliedError:
        return _result({"text": "This call was applied before. Nothing was written again."})
    except RefusedError as error:
        return _refusal(str(error), error.answer)
    except BotWireError as error:
        return _refusal(str(error))
    except Exception:
        logger.exception("the tool %s failed", params.name)
        return _refusal(f"{params.name} failed unexpectedly: the server's log says why")
    return _result(answer)


def _result(answer: Answer) -> CallToolResult:
    answer = bounds.portable(answer)
    # A file's text is shown as it is; models are trained on it.
    text = answer["text"] if answer.keys() == {"text"} else bounds.to_text(answer)
    return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=answer)


def _refusal(text: str, answer: Answer | None = None) -> CallToolResult:
    content: list[ContentBlock] = [TextContent(type="text", text=bounds.portable(text))]
    if answer is None:
        return CallToolResult(content=content, is_error=True)
    answer = bounds.portable(answer)
    content.append(TextContent(type="text", text=bounds.to_text(answer)))
    return CallToolResult(content=content, structured_content=answer, is_error=True)


def _wrong_arguments(name: str, error: ValidationError) -> str:
    faults = [
        f"{'.'.join(map(str, fault['loc'])) or 'arguments'}: "
        f"{fault['msg'].removeprefix('Value error, ')}"
        for fault in error.errors(include_url=False, include_input=False)[:10]
    ]
    return f"wrong arguments for {name}: {'; '.join(faults)}"


def _repeatable(
    memory: AsyncMemory, params: CallToolRequestParams, meta: Mapping[str, Any]
) -> AsyncMemory:
    """Returns a memory to which a call writes only once, if the client gives the call an id."""
    given = meta.get(IDEMPOTENCY_KEY)
    if not isinstance(given, str) or not given:
        return memory
    call = f"{given}\0{params.name}\0{bounds.to_text(params.arguments)}"
    id = hashlib.sha256(call.encode("utf-8", "surrogatepass")).hexdigest()[:40]
    return AsyncMemory(memory.namespace, engine=_RepeatableEngine(memory.engine, id))


class _AppliedError(Exception):
    """A repeated call was already applied."""


class _RepeatableEngine:
    """Gives a call's writes ids, so that the store recognizes them when the call is repeated."""

    def __init__(self, engine: AsyncEngine, id: str) -> None:
        self._engine = engine
        self._id = id
        self._count = 0

    async def apply(self, batch: Batch) -> Results:
        """Applies a batch, unless an earlier call has already applied it."""
        if not batch.writes or batch.idempotency_id is not None:
            return await self._engine.apply(batch)
        id = f"mcp-{self._id}-{self._count}"
        try:
            results = await self._engine.apply(replace(batch, idempotency_id=id))
        except InvalidRequestError as error:
            # A server compares the requests, and a repeated edit is made of the edited text.
            if error.status == _USED and id in error.detail:
                raise _AppliedError from None
            raise
        self._count += 1  # a failed write does not use up its id
        return results

    async def sweep(self) -> None:
        """Removes expired data."""
        await self._engine.sweep()

    async def aclose(self) -> None:
        """Does nothing: the engine belongs to someone else."""
