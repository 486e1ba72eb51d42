"""The base of tools: a class declares its arguments, its answer and what it does."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from mcp.types import Tool, ToolAnnotations
from pydantic import BaseModel, ConfigDict, model_validator

from botwire import AsyncMemory

Answer = dict[str, Any]
"""A tool's answer: a JSON object."""


class RefusedError(Exception):
    """A tool refuses a call, for a reason that the model should read.

    Attributes:
        answer: What the model needs in order to try again, if anything.
    """

    def __init__(self, text: str, answer: Answer | None = None) -> None:
        super().__init__(text)
        self.answer = answer


class MemoryTool(BaseModel):
    """A call of a tool: its fields are the arguments, and the model reads its docstring.

    Attributes:
        name: The tool's name.
        reads: Whether it only reads.
        overwrites: Whether it may replace or delete something.
        repeatable: Whether a repeated call changes nothing more.
        nothings: Values that mean that an argument was not given, unless it is required.
        answers: The fields of the answer, each with its JSON type.
    """

    model_config = ConfigDict(extra="forbid")

    name: ClassVar[str]
    reads: ClassVar[bool] = False
    overwrites: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True
    nothings: ClassVar[Sequence[object]] = (None, "", [])
    answers: ClassVar[Mapping[str, str]]

    @model_validator(mode="before")
    @classmethod
    def _leave_out_nothings(cls, given: Any) -> Any:
        # In the strict mode of some models, every argument must have a value.
        if not isinstance(given, dict):
            return given
        optional = {name for name, field in cls.model_fields.items() if not field.is_required()}
        return {
            name: value
            for name, value in given.items()
            if name not in optional or value not in cls.nothings
        }

    @abstractmethod
    async def run(self, memory: AsyncMemory) -> Answer:
        """Runs the tool and returns its answer.

        Raises:
            RefusedError: The call makes no sense, or the data has changed.
            BotWireError: The memory refused the call.
        """

    @classmethod
    def describe(cls) -> Tool:
        """Returns the description of the tool for a client."""
        return Tool(
            name=cls.name,
            description=" ".join((inspect.getdoc(cls) or "").split()),
            input_schema=_input_schema(cls),
            output_schema={
                "type": "object",
                "properties": {name: _type(kind) for name, kind in cls.answers.items()},
            },
            annotations=ToolAnnotations(
                read_only_hint=cls.reads,
                destructive_hint=not cls.reads and cls.overwrites,
                idempotent_hint=cls.reads or cls.repeatable,
                open_world_hint=False,
            ),
        )


def _type(kind: str) -> dict[str, str]:
    return {} if kind == "any" else {"type": kind}


def _input_schema(cls: type[MemoryTool]) -> dict[str, Any]:
    """Returns the schema of a tool's arguments, without fields that only cost tokens."""
    schema = cls.model_json_schema()
    short = {
        "type": "object",
        "properties": {name: _shorten(part) for name, part in schema["properties"].items()},
        "additionalProperties": False,
    }
    if "required" in schema:
        short["required"] = schema["required"]
    return short


def _shorten(part: Mapping[str, Any]) -> dict[str, Any]:
    short = {key: value for key, value in part.items() if key not in ("title", "anyOf")}
    for choice in part.get("anyOf", ()):
        if choice.get("type") != "null":
            short = {**choice, **short}
    if short.get("default", 0) in (None, []):
        del short["default"]
    return short
