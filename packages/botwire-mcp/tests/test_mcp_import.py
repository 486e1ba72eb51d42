"""Imports from other memory servers: all or nothing, repeatable, and never over newer data."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from botwire import Memory, Record
from botwire_mcp.cli import main
from botwire_mcp.importing import markdown, mem0, server_memory
from botwire_mcp.importing.found import Contents
from botwire_mcp.importing.writing import write

GRAPH = """\
{"type":"relation","from":"Ada","to":"BotWire","relationType":"works_on"}
{"type":"entity","name":"Ada","entityType":"person","observations":["likes tea","lives in Oslo"]}

{"type":"entity","name":"BotWire","entityType":"project","observations":[]}
"""
NOTE = """\
---
title: Coffee Brewing
type: note
tags: [coffee, "#brewing"]
permalink: coffee-brewing
---
# Coffee Brewing

Water matters most.

## Observations
- [method] Pour over brings out
  more flavour #clarity
- [technique] 96 degrees (for light roasts)
- [ ] buy a scale
- [00:12] the speaker coughs
- a plain item

## Relations
- relates_to [[Coffee Beans]]
- "needs to have" [[Grinder]] (a good one)
- see [[Tea]] and [[Milk]]

```
- [not] an observation
# not a heading
```
"""
MEM0 = {
    "results": [
        {
            "id": "m1",
            "memory": "Likes tea",
            "user_id": "ada",
            "categories": ["food"],
            "metadata": {"n": 1},
            "created_at": "2026-01-02T03:04:05-07:00",
        },
        {"id": "m2", "memory": "Reviews code", "agent_id": "bot", "categories": None},
    ],
    "relations": [{"source": "ada", "relationship": "works_on", "target": "botwire"}],
}


class Place:
    """A memory, and the command that imports into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"sqlite:///{folder / 'memory.db'}"

    def file(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, newline="")
        return path

    def run(self, path: Path, *options: str) -> int:
        return main(["import", str(path), "--url", self.url, "-N", "n", *options])

    def open(self) -> Memory:
        return Memory("n", url=self.url)

    def notes(self) -> dict[str, Record]:
        with self.open() as memory:
            return {record.text: record for record in memory.records().list(limit=1_000)}


@pytest.fixture
def place(tmp_path: Path) -> Place:  # type: ignore[override]
    return Place(tmp_path)


def test_the_graph_of_server_memory(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    path = place.file("memory.jsonl", GRAPH)
    assert place.run(path) == 0
    said = capsys.readouterr().out
    assert "read 1 relations, 2 entities, 2 observations" in said
    assert "4 notes and files written, 0 already there" in said
    notes = place.notes()
    assert {text: note.scope for text, note in notes.items()} == {
        "Ada: likes tea": "/person/Ada",
        "Ada: lives in Oslo": "/person/Ada",
        "BotWire (project)": "/project/BotWire",
        "Ada works on BotWire": "/person/Ada",
    }
    assert notes["Ada works on BotWire"].metadata["relation"] == "works_on"
    with place.open() as memory:
        assert [note.text for note in memory.recall("what does Ada like?", limit=1)] == [
            "Ada: likes tea"
        ]


def test_a_folder_of_markdown(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    folder = place.folder / "notes"
    place.file("notes/drinks/coffee.md", NOTE)
    place.file("notes/plain.md", "just text\r\n\r\nin two paragraphs")
    place.file("notes/empty.md", "")
    place.file("notes/.obsidian/hidden.md", "# hidden")
    place.file("notes/picture.png", "no text")
    assert place.run(folder) == 0
    assert "read 3 documents" in capsys.readouterr().out
    with place.open() as memory:
        assert memory.list_keys() == [
            "/memories/drinks/coffee.md",
            "/memories/empty.md",
            "/memories/plain.md",
        ]
        assert memory["/memories/drinks/coffee.md"] == NOTE  # word for word
        assert memory["/memories/plain.md"] == "just text\r\n\r\nin two paragraphs"
    notes = place.notes()
    observation = notes["Coffee Brewing: Pour over brings out more flavour #clarity"]
    assert observation.scope == "/drinks/coffee"
    assert set(observation.tags) == {"coffee", "brewing", "method", "clarity"}
    assert observation.metadata["permalink"] == "coffee-brewing"
    assert notes["Coffee Brewing: 96 degrees (for light roasts)"].metadata["context"] == (
        "for light roasts"
    )
    assert notes["Coffee Brewing relates to Coffee Beans"].metadata["to"] == "Coffee Beans"
    assert "Coffee Brewing needs to have Grinder (a good one)" in notes
    assert "Coffee Brewing / Coffee Brewing\nWater matters most." in notes
    # Anything other than an observation or a relation is text.
    assert (
        "Coffee Brewing / Observations\n"
        "- [ ] buy a scale\n- [00:12] the speaker coughs\n- a plain item"
    ) in notes
    assert any("see [[Tea]]" in text and "[not] an observation" in text for text in notes)
    assert "plain\njust text\n\nin two paragraphs" in notes
    assert len(notes) == 8


@pytest.mark.parametrize("form", ["object", "list", "lines"])
def test_an_export_of_mem0(place: Place, form: str) -> None:
    text = {
        "object": json.dumps(MEM0, indent=2),
        "list": json.dumps(MEM0["results"]),
        "lines": "\n".join(map(json.dumps, MEM0["results"])),
    }[form]
    assert place.run(place.file("mem0.json", text)) == 0
    notes = place.notes()
    tea = notes["Likes tea"]
    assert (tea.scope, list(tea.tags)) == ("/users/ada", ["food"])
    assert tea.created_at is not None
    assert tea.created_at.isoformat() == "2026-01-02T10:04:05+00:00"
    assert (tea.metadata["id"], tea.metadata["metadata"]) == ("m1", {"n": 1})
    assert notes["Reviews code"].scope == "/agents/bot"
    assert ("ada works on botwire" in notes) == (form == "object")


def test_a_second_import_writes_nothing_and_changes_stay(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = place.file("memory.jsonl", GRAPH)
    note = place.file("coffee.md", NOTE)
    for path in (graph, note):
        assert place.run(path) == 0
    with place.open() as memory:
        revision = memory.revision()
        for path in (graph, note):
            assert place.run(path) == 0
        assert "0 notes and files written" in capsys.readouterr().out
        assert memory.revision() == revision
        (tea,) = [one for one in memory.records().list(limit=100) if "likes tea" in one.text]
        memory.records().put([Record("Ada: likes coffee", id=tea.id, scope=tea.scope)])
        memory["/memories/coffee.md"] = "mine"
        for path in (graph, note):
            assert place.run(path) == 3
        said = capsys.readouterr().out
        assert f"the note {tea.id}" in said
        assert "the file /memories/coffee.md" in said
        assert memory["/memories/coffee.md"] == "mine"
        (now,) = memory.records().get([tea.id])
        assert now is not None
        assert now.text == "Ada: likes coffee"


def test_a_dry_run_counts_and_makes_no_store(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    path = place.file("memory.jsonl", GRAPH)
    assert place.run(path, "--dry-run") == 0
    assert "4 notes and files to write" in capsys.readouterr().out
    assert [one.name for one in place.folder.iterdir()] == ["memory.jsonl"]
    assert place.run(path) == 0
    place.file("memory.jsonl", GRAPH.replace("Oslo", "Bergen"))
    assert place.run(path, "--dry-run") == 0
    assert "1 notes and files to write, 3 already there" in capsys.readouterr().out
    assert not any("Bergen" in text for text in place.notes())


LINES: list[tuple[str, str, str]] = [
    ("m.jsonl", GRAPH + '{"type":"entity","na', ":5: this is not a line of JSON"),
    ("m.jsonl", GRAPH + "[]", ":5: this is neither an entity nor a relation"),
    ("m.jsonl", GRAPH + '{"type":"entity","name":1}', ":5: name of this entity must be a string"),
    (
        "m.jsonl",
        GRAPH + '{"type":"entity","name":"a","entityType":"b","observations":[1]}',
        ":5: observations of this entity must be a list of strings",
    ),
    (
        "m.jsonl",
        GRAPH + '{"type":"relation","from":"' + "x" * 3_000 + '","to":"b","relationType":"c"}',
        ":5: ",
    ),
    ("a.md", "---\ntitle: a\ntags: [x\n---\n", ":3: this front matter is not YAML"),
    ("a.md", "---\n- a\n---\n", ":2: the front matter must have"),
    ("a.md", "---\ntags: {a: 1}\n---\n", ":2: tags must be a list"),
    ("m.json", '{"results": [\n{"memory": "a"},\n{"memory": 1}]}', ":3: a memory must have its"),
    ("m.json", '[{"memory": "a"},\n{"memory": "b", "created_at": "x"}]', ":2: created_at"),
    ("m.json", '{"memory": "a"}\n{"memory": ', ":2: this is not a line of JSON"),
    ("m.json", '{"results": [\n', ":2: this is not JSON"),
    ("m.json", '{"other": 1}', ":1: this is not an export of mem0"),
    ("m.json", '[{"memory": "a", "categories": [1]}]', ":1: categories must be"),
    ("m.json", '[{"memory": "' + "x" * 20_001 + '"}]', ":1: a note has at most 20,000"),
    ("m.json", '[{"memory": " "}]', ":1: it has no text"),
]


@pytest.mark.parametrize(("name", "text", "said"), LINES)
def test_what_cannot_be_read_is_named_before_anything_is_written(
    place: Place, name: str, text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = place.file(name, text)
    assert place.run(path) == 2
    error = capsys.readouterr().err
    assert error.startswith("nothing was imported")
    assert f"{path}{said}" in error
    assert [one.name for one in place.folder.iterdir()] == [name]


def test_what_cannot_be_read_may_be_left_out(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    path = place.file("memory.jsonl", GRAPH + '{"type":"entity","name":"Ad')
    assert place.run(path, "--skip-invalid") == 0
    printed = capsys.readouterr()
    assert f"left out: {path}:5:" in printed.err
    assert len(place.notes()) == 4


def test_wrong_sources_are_refused(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    (place.folder / "empty").mkdir()
    (place.folder / "latin.json").write_bytes(b"[\n\xe9]")
    for path, said in (
        (place.folder / "none", "does not exist"),
        (place.folder / "empty", "has no Markdown files"),
        (place.folder / "latin.json", "latin.json:2: this is not UTF-8"),
    ):
        assert place.run(path) == 2
        assert said in capsys.readouterr().err


# --- whatever there is in a source, all of it arrives ---------------------------------------

names = st.text(min_size=1, max_size=8).filter(str.strip)
entities = st.builds(
    dict,
    type=st.just("entity"),
    name=names,
    entityType=names,
    observations=st.lists(names, max_size=3),
)
relations = st.fixed_dictionaries(
    {"type": st.just("relation"), "from": names, "to": names, "relationType": names}
)
graphs = st.lists(entities | relations, max_size=8)


def imported(memory: Memory, found: Contents) -> list[Record]:
    """Imports twice; returns what is stored."""
    expected = len(found.notes) + len(found.files)
    memory.clear()
    memory.records().delete(all=True)
    assert write(memory, found, dry_run=True).new == expected
    assert memory.records().count() == 0
    assert write(memory, found).new == expected
    again = write(memory, found)
    assert (again.new, again.known, again.changed) == (0, expected, [])
    return memory.records().list(limit=1_000)


@pytest.fixture(scope="module")
def memory() -> Any:
    with Memory("n", url="sqlite:///:memory:") as memory:
        yield memory


@settings(max_examples=40)
@given(graph=graphs)
def test_any_graph_arrives(
    graph: list[dict[str, Any]], memory: Memory, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "graph.jsonl"
    path.write_text("\n".join(map(json.dumps, graph)))
    found = server_memory.read(path)
    found.check()
    records = [record.metadata for record in imported(memory, found)]
    seen = {
        (one["entity"], one["entity_type"], one.get("observation"))
        for one in records
        if "entity" in one
    }
    assert seen == {
        (one["name"], one["entityType"], observation)
        for one in graph
        if one["type"] == "entity"
        for observation in (one["observations"] or [None])
    }
    assert {(one["from"], one["relation"], one["to"]) for one in records if "from" in one} == {
        (one["from"], one["relationType"], one["to"]) for one in graph if one["type"] == "relation"
    }


@settings(max_examples=40)
@given(
    memories=st.lists(
        st.fixed_dictionaries(
            {"id": st.uuids().map(str), "memory": names},
            optional={"user_id": names, "run_id": names, "categories": st.lists(names, max_size=2)},
        ),
        unique_by=lambda one: one["id"],
        max_size=8,
    ),
    indent=st.sampled_from([None, 2]),
)
def test_any_export_arrives(
    memories: list[dict[str, Any]],
    indent: int | None,
    memory: Memory,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.getbasetemp() / "mem0.json"
    path.write_text(json.dumps({"results": memories}, indent=indent))
    found = mem0.read(path)
    found.check()
    seen = {record.metadata["id"]: record for record in imported(memory, found)}
    assert {id: record.text for id, record in seen.items()} == {
        one["id"]: one["memory"] for one in memories
    }
    for one in memories:
        assert set(seen[one["id"]].tags) == set(one.get("categories", ()))
        assert seen[one["id"]].metadata.get("user_id") == one.get("user_id")


lines = st.sampled_from(
    [
        "# A heading",
        "text",
        "",
        "- [fact] it holds #x (so)",
        "- implies [[Other]]",
        "- an item",
        "  goes on",
        "```",
        "---",
        "#",
        "- [x] done",
        "- [a](b)",
        "é\u2028 \x0c",
    ]
)


@settings(max_examples=40)
@given(document=st.lists(lines, max_size=12).map("\n".join))
def test_no_word_of_a_document_is_lost(
    document: str, memory: Memory, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "a.md"
    path.write_bytes(document.encode())
    found = markdown.read(path)
    records = imported(memory, found)
    if found.faults:  # the lines before a second "---" are front matter
        assert document.startswith("---")
        return
    assert found.files == {"/memories/a.md": document}
    if document.startswith("---"):
        return
    given_words = Counter(document.split())
    noted = Counter(word for record in records for word in record.text.split())
    headings = {"#", "A", "heading", "-", "[fact]", "[[Other]]", "implies", "```"}
    for word, count in given_words.items():
        if word not in headings:
            assert noted[word] >= count, word
