"""Every framework reads the conversations of every other, completely.

Each framework runs in a process of its own environment; see `tests.across.speakers.said`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, replace
from typing import Any, Self

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import environments
from tests.across.conftest import Forks
from tests.across.speakers.said import Said, text
from tests.programs import RUN

FRAMEWORKS = (
    "langchain",
    "llamaindex",
    "autogen",
    "agent-framework",
    "openai-agents",
    "claude",
    "pydantic-ai",
    "strands",
    "google-adk",
)
SPLITTING = ("openai-agents",)
"""Those for which a text and each call of a tool are messages of their own."""
WITHOUT_SYSTEM = ("strands", "google-adk")
"""Those whose conversations have no system messages: an agent has a system prompt of its own."""
WITH_PICTURES = ("langchain", "llamaindex", "autogen")
"""Those whose adapter keeps an image as its framework has it."""


class Speaker:
    """A process that speaks for one framework."""

    def __init__(self, forks: Forks, name: str) -> None:
        module = environments.ROOT / f"tests/across/speakers/{name.replace('-', '_')}.py"
        zygote = forks.zygote(name)
        self._process = zygote.start(RUN, str(module), folder=environments.ROOT)

    def ask(self, method: str, *arguments: Any) -> Any:
        """Calls a method of `tests.across.speakers.said.Speaker` and returns its answer."""
        self._process.stdin.write(json.dumps([method, *arguments]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the process ended with {self._process.wait()}"
        told = json.loads(line)
        assert "error" not in told, told["error"]
        return told["answer"]

    def write(self, conversation: list[Said]) -> list[Any]:
        return list(self.ask("write", [asdict(one) for one in conversation]))

    def read(self, values: list[Any]) -> list[Said]:
        return [Said.of(one) for one in self.ask("read", values)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with self._process as process:
            process.kill()


@pytest.fixture(scope="session")
def speakers(forks: Forks) -> Iterator[Mapping[str, Speaker]]:
    """Starts all frameworks at once, because each takes seconds to import."""
    with ExitStack() as opened:
        yield {name: opened.enter_context(Speaker(forks, name)) for name in FRAMEWORKS}


EVERY = pytest.mark.parametrize("reader", FRAMEWORKS)
BY_EVERY = pytest.mark.parametrize("writer", FRAMEWORKS)

CONVERSATION = [
    Said("system", "You are kind."),
    Said("user", "What is the weather in Oslo and 日本? 😀"),
    Said(
        "assistant",
        "I shall look.",
        (("c1", "weather", text({"city": "Oslo"})), ("c2", "weather", text({"city": "日本"}))),
    ),
    Said("tool", "12 degrees", answers="c1"),
    Said("tool", "", answers="c2"),
    Said("assistant", "", (("c3", "none", "{}"),)),
    Said("tool", "nothing", answers="c3"),
    Said("assistant", "It is 12 degrees."),
]


def heard(reader: str, conversation: list[Said]) -> list[Said]:
    """Returns a conversation as a framework reads it."""
    return [one for one in conversation if one.role != "system" or reader not in WITHOUT_SYSTEM]


def written_by(writer: str, conversation: list[Said]) -> list[Said]:
    """Returns a conversation written by a framework, as others read it."""
    conversation = heard(writer, conversation)
    if writer not in SPLITTING:
        return conversation
    parts = []
    for one in conversation:
        if one.text or not one.calls:
            parts.append(replace(one, calls=()))
        parts += [replace(one, text="", calls=(call,)) for call in one.calls]
    return parts


@EVERY
@BY_EVERY
def test_what_one_wrote_another_reads(
    speakers: Mapping[str, Speaker], writer: str, reader: str
) -> None:
    written = speakers[writer].write(CONVERSATION)
    assert speakers[reader].read(written) == heard(reader, written_by(writer, CONVERSATION))


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
ids = st.text("abcdefghijklmnop0123456789-_", min_size=1, max_size=12)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
calls = st.tuples(ids, ids, st.dictionaries(words, json_values, max_size=3).map(text))
said = st.one_of(
    st.builds(Said, st.sampled_from(["system", "user"]), words),
    st.builds(Said, st.just("assistant"), words, st.lists(calls, max_size=3).map(tuple)),
    st.builds(Said, st.just("tool"), words, st.just(()), ids),
)


# The only fixtures shared by the examples are the processes and conftest's settings.
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(conversation=st.lists(said, max_size=5), writer=st.sampled_from(FRAMEWORKS))
def test_whatever_is_said_is_read_by_all(
    speakers: Mapping[str, Speaker], conversation: list[Said], writer: str
) -> None:
    written = speakers[writer].write(conversation)
    for name, reader in speakers.items():
        assert reader.read(written) == heard(name, written_by(writer, conversation))


@pytest.mark.parametrize("reader", WITH_PICTURES)
def test_a_text_with_an_image_keeps_its_text_elsewhere_and_its_image_at_home(
    speakers: Mapping[str, Speaker], reader: str
) -> None:
    written = [value for name in WITH_PICTURES for value in speakers[name].ask("write_picture")]
    assert speakers[reader].ask("read_pictures", written) == [
        "the picture" if name == reader else "look" for name in WITH_PICTURES
    ]


def test_a_session_goes_from_one_to_the_other_and_on(
    speakers: Mapping[str, Speaker], shared_url: str, namespace: str
) -> None:
    """Each framework's own classes, in turn, on one history."""
    for i, one in enumerate(CONVERSATION):
        speakers[WITH_PICTURES[i % 3]].ask("tell", namespace, shared_url, asdict(one))
    for name in WITH_PICTURES:
        heard = speakers[name].ask("hear", namespace, shared_url)
        assert [Said.of(told) for told in heard] == CONVERSATION
