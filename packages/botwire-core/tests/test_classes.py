"""Which class a stored name stands for, and how values beyond JSON and tags are stored."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from botwire import ConfigurationError, NotJSONError
from botwire.classes import Classes, name_of
from botwire.tagged import from_json, to_json


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A framework's package with a module that is a program and one that must not be imported."""
    name = "framework_of_a_test"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").write_text("def __getattr__(name): raise SystemExit(name)\n")
    (folder / "__main__.py").write_text("raise SystemExit('run')\n")
    (folder / "values.py").write_text(
        "from pathlib import Path\nclass Value:\n    class Inner: pass\n"
        "def make(): pass\nCONSTANT = 1\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    for module in [module for module in sys.modules if module.split(".")[0] == name]:
        del sys.modules[module]


class Own:
    pass


def test_a_frameworks_classes_and_the_callers_are_found(package: str) -> None:
    classes = Classes([package], [Own], kind=lambda _: True, kinds="classes")
    for name in (f"{package}.values.Value", f"{package}.values.Value.Inner", name_of(Own)):
        for _ in range(2):
            assert name_of(classes.find(name, lambda _: True)) == name
        with pytest.raises(ValueError, match="neither"):
            classes.find(name, lambda _: False)


@pytest.mark.parametrize(
    "name",
    [
        "{0}.values.Path", "{0}.values.make", "{0}.values.CONSTANT", "{0}.values.CONSTANT.real",
        "{0}.values", "{0}.Value", "{0}.Anything", "{0}.__main__.x", "{0}.values.Value.__class__",
        "{0}_more.X", "{0}..values.Value", "{0}.", "", "builtins.dict", "pathlib.Path", 1, None,
        ["{0}.values.Value"],
    ],
)  # fmt: skip
def test_nothing_else_is(package: str, name: Any) -> None:
    classes = Classes([package], [Own], kind=lambda _: True, kinds="classes")
    with pytest.raises(ValueError, match="neither"):
        classes.find(name.format(package) if isinstance(name, str) else name, lambda _: True)


def test_what_is_no_class_of_the_kind_is_refused() -> None:
    for wrong in (1, "module:Own", Own()):
        with pytest.raises(ConfigurationError, match="types must be classes, not"):
            Classes([], [wrong], kind=lambda _: True, kinds="classes")  # type: ignore[list-item]
    with pytest.raises(ConfigurationError, match="types must be errors"):
        Classes([], [Own], kind=lambda cls: issubclass(cls, Exception), kinds="errors")


class Text(str):
    __slots__ = ()


def write(value: Any, path: str) -> tuple[str, Any]:
    if isinstance(value, Text):
        return "$text", [str(value), {"$text": "no tag"}]
    if isinstance(value, complex):
        return "$complex", (value.real, Text(value.imag))
    raise NotJSONError(f"{path} is odd", path)


READERS = {
    "$text": lambda held: Text(held[0]),
    "$complex": lambda held: complex(held[0], float(held[1])),
}


def test_a_writer_is_asked_for_what_is_of_no_known_class_exactly() -> None:
    value = {"a": [Text("x"), 1 + 2j], Text("key"): {"$text": "no tag either"}, "s": (Text("y"),)}
    found = from_json(json.loads(json.dumps(to_json(value, write=write))), readers=READERS)
    assert found == value
    assert [type(part) for part in (*found["a"], *found["s"])] == [Text, complex, Text]
    assert Text in map(type, found)
    assert to_json(value["a"][0]) == "x"  # without a reader it stays a string
    with pytest.raises(NotJSONError, match=r"value\['a'\]\[0\] is odd"):
        to_json({"a": [object()]}, write=write)
    with pytest.raises(ValueError, match="has invalid content"):
        from_json({"$complex": 1}, readers=READERS)
    assert from_json({"$text": 1}) == {"$text": 1}  # a tag without a reader
