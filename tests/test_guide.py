"""The Python guide and the recipes run, and the guide leaves out nothing that is public."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import botwire
from botwire import transfer
from tests.pages import run_page

GUIDE = Path(__file__).parent.parent / "docs" / "guide.md"
NOT_FOR_USERS = {"of", "slug"}  # what engines and the wire make results and errors with


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, object]]:
    """Runs the guide; returns the names it has defined."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("guide")
        patch.chdir(folder)
        patch.setenv("BOTWIRE_URL", f"sqlite:///{folder}/memory.db")
        yield run_page(GUIDE)


def public(thing: object) -> set[str]:
    """Returns the attributes and methods of a class or an object that a user may use."""
    others = {*dir(tuple), *dir(BaseException), *NOT_FOR_USERS}
    # Named tuples have fields that hide methods of tuples.
    own = {*set(dir(thing)) - others, *getattr(thing, "_fields", ())}
    return {name for name in own if not name.startswith("_")}


def options(cls: type) -> set[str]:
    """Returns the arguments of a class and of its methods that are given by name."""
    called = [cls, *(getattr(cls, name) for name in public(cls) if hasattr(cls, name))]
    return {
        parameter.name
        for one in called
        if callable(one)
        for parameter in inspect.signature(one).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY
    }


EXAMPLES = [
    "memory",
    "chat",
    "notes",
    "tx",
    "log",
    "facts",
    "entry",
    "item",
    "info",
    "record",
    "match",
    "about",
    "change",
    "error",
]


@pytest.mark.parametrize("name", EXAMPLES)
def test_everything_public_of_an_object_has_an_example(name: str, names: dict[str, object]) -> None:
    thing = botwire.APIError("") if name == "error" else names[name]
    text = GUIDE.read_text()
    assert public(thing) - set(re.findall(rf"\b{name}\.(\w+)", text)) == set()
    if name != "error":
        assert options(type(thing)) - set(re.findall(r"\b(\w+)=", text)) == set()


def test_every_public_name_is_in_the_guide() -> None:
    words = set(re.findall(r"\w+", GUIDE.read_text()))
    assert set(botwire.__all__) - words == set()
    assert set(transfer.__all__) - words == set()


def test_what_only_the_awaited_classes_have_is_in_the_guide() -> None:
    words = set(re.findall(r"\w+", GUIDE.read_text()))
    for awaited, blocking in (
        (botwire.AsyncMemory, botwire.Memory),
        (botwire.AsyncHistory, botwire.History),
        (botwire.AsyncRecords, botwire.Records),
    ):
        assert (public(awaited) - public(blocking)) - words == set()


def test_the_recipes_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BOTWIRE_URL", f"sqlite:///{tmp_path}/memory.db")
    run_page(GUIDE.with_name("recipes.md"))
