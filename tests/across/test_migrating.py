"""The programs of docs/migrating.md migrate data from the stores they name."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

import environments
from botwire import Memory
from environments import ROOT
from tests.across.conftest import Forks
from tests.programs import RUN

PAGE = ROOT / "docs/migrating.md"
PROGRAMS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)

MESSAGES = [
    {"type": "human", "data": {"type": "human", "content": "I am Ada."}},
    {"type": "ai", "data": {"type": "ai", "content": "Hello Ada.", "tool_calls": []}},
]


def run(forks: Forks, holding: str, folder: Path, **settings: str) -> None:
    """Runs the program of the page that holds a text, twice."""
    [program] = [one for one in PROGRAMS if holding in one]
    (folder / "migrate.py").write_text(program)
    adapter = re.search(r"botwire_(\w+)", program)
    name = adapter[1].replace("_", "-") if adapter else environments.DEFAULT
    zygote = forks.zygote(name)
    for _ in range(2):
        env = {"BOTWIRE_URL": f"sqlite:///{folder}/new.db", **settings}
        with zygote.start(RUN, str(folder / "migrate.py"), env=env, folder=folder) as process:
            process.communicate()
            assert process.returncode == 0, process.stderr


def new(folder: Path, namespace: str) -> Memory:
    return Memory(namespace, url=f"sqlite:///{folder}/new.db")


def test_from_botwire_02(forks: Forks, server_url: str, tmp_path: Path) -> None:
    """A server that speaks the old protocol."""
    old = {"name": "Ada", "number": "42", "list": '["a"]', "zip": "01234", "a/b?": "NaN"}
    for key, value in old.items():
        url = f"{server_url}/memory/my-agent/{quote(key, safe='')}"
        httpx.put(url, json={"value": value}).raise_for_status()
    run(forks, "OLD_BOTWIRE_URL", tmp_path, OLD_BOTWIRE_URL=server_url)
    with new(tmp_path, "my-agent") as memory:
        assert {key: memory.get(key) for key in memory.keys()} == {  # noqa: SIM118
            "name": "Ada",
            "number": 42,
            "list": ["a"],
            "zip": "01234",
            "a/b?": "NaN",
        }


def test_from_a_history_in_sql(forks: Forks, tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "chat.db")) as database, database:
        database.execute(
            "CREATE TABLE message_store (id INTEGER PRIMARY KEY, session_id TEXT, message TEXT)"
        )
        for session in ("user-1", "user-2"):
            for message in MESSAGES:
                database.execute(
                    "INSERT INTO message_store (session_id, message) VALUES (?, ?)",
                    (session, json.dumps(message)),
                )
    run(forks, "chat.db", tmp_path)
    check_histories(tmp_path, ["user-1", "user-2"])


def test_from_a_history_in_redis(forks: Forks, tmp_path: Path) -> None:
    lines = [json.dumps(message) for message in reversed(MESSAGES)]
    (tmp_path / "user-42.jsonl").write_text("\n".join(lines) + "\n")
    run(forks, "user-42.jsonl", tmp_path)
    check_histories(tmp_path, ["user-42"])


def check_histories(folder: Path, sessions: list[str]) -> None:
    with new(folder, "my-app") as memory:
        histories = memory.list_histories()
        assert [one.name.rpartition("/")[2] for one in histories] == sessions
        for one in histories:
            texts = [json.dumps(item.value) for item in memory.history(one.name)]
            assert ["I am Ada." in texts[0], "Hello Ada." in texts[1]] == [True, True]
            assert len(texts) == 2


def test_from_a_saver_of_langgraph(forks: Forks, tmp_path: Path) -> None:
    """The package's own tests compare the checkpoints; this runs the program on a real file."""
    make = (
        "from langgraph.checkpoint.base import empty_checkpoint\n"
        "from langgraph.checkpoint.sqlite import SqliteSaver\n"
        "with SqliteSaver.from_conn_string('checkpoints.db') as saver:\n"
        "    config = {'configurable': {'thread_id': 'user-42', 'checkpoint_ns': ''}}\n"
        "    saver.put(config, empty_checkpoint(), {}, {})\n"
    )
    (tmp_path / "make.py").write_text(make)
    zygote = forks.zygote("langgraph")
    with zygote.start(RUN, str(tmp_path / "make.py"), folder=tmp_path) as process:
        process.communicate()
        assert process.returncode == 0, process.stderr
    run(forks, "SqliteSaver", tmp_path)
    with new(tmp_path, "my-app") as memory:
        names = [*memory.list_keys(), *(one.name for one in memory.list_histories())]
        assert any("user-42" in name for name in names)


def test_every_program_of_the_page_is_run() -> None:
    source = Path(__file__).read_text()
    for program in PROGRAMS:
        files = re.findall(r'"([\w-]+\.(?:db|json|jsonl))"|(OLD_BOTWIRE_URL)', program)
        assert any(name in source for pair in files for name in pair if name)


@pytest.mark.parametrize("word", ["0.2", "Redis", "SQL", "LangGraph", "mem0", "server-memory"])
def test_the_page_says_how_to_come_from(word: str) -> None:
    assert re.search(rf"^## From .*{re.escape(word)}", PAGE.read_text(), re.MULTILINE)
