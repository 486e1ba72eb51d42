"""A scripted language model for DSPy."""

from __future__ import annotations

import re
from typing import Any

from dspy.utils import DummyLM

from scripted import reply

_QUESTION = re.compile(r"\[\[ ## question ## \]\]\n(.*?)\n\n", re.DOTALL)


class ScriptedLM(DummyLM):
    """A model that repeats what people said before."""

    def __init__(self) -> None:
        super().__init__([])

    def __call__(self, *args: Any, messages: Any = None, **kwargs: Any) -> Any:
        """Answers in one piece."""
        texts = [str(message["content"]) for message in messages]
        asked = [
            text
            for message in messages
            if message["role"] == "user"
            for text in [str(message["content"])]
        ]
        said = [found[1].strip() for text in asked if (found := _QUESTION.search(text + "\n\n"))]
        self.answers = iter([{"answer": reply([*texts, *said], said)}])
        return super().__call__(*args, messages=messages, **kwargs)
