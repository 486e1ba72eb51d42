"""The six commands of the memory tool: their texts, and two agents at once."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable
from typing import Any

import pytest

from botwire import AsyncMemory, Memory
from botwire.memory_files import COMMANDS, AsyncMemoryFiles, FileCommandError, MemoryFiles

Run = Callable[..., str]


@pytest.fixture(params=["blocking", "awaited"])
def run(request: pytest.FixtureRequest, namespace: str) -> Run:
    """Runs a command and returns its text, even if it is refused."""
    files = (
        MemoryFiles(Memory(namespace, url="sqlite://"))
        if request.param == "blocking"
        else AsyncMemoryFiles(AsyncMemory(namespace, url="sqlite://"))
    )

    async def awaited(answer: Any) -> str:
        return str(await answer)

    def run(command: str, path: str | None = None, /, **arguments: Any) -> str:
        told = {"command": command, **arguments} | ({} if path is None else {"path": path})
        try:
            answer = files.run(told)
            return asyncio.run(awaited(answer)) if inspect.isawaitable(answer) else str(answer)
        except FileCommandError as error:
            return f"refused: {error}"

    return run


def test_a_file_is_created_viewed_edited_moved_and_deleted(run: Run) -> None:
    path = "/memories/notes/tea.txt"
    said = run("create", path, file_text="green\nblack\n")
    assert said == f"File created successfully at: {path}"
    assert run("view", path) == (
        f"Here's the content of {path} with line numbers:\n     1\tgreen\n     2\tblack\n     3\t"
    )
    assert run("view", path, view_range=[2, -1]).split("\n", 1)[1] == "     2\tblack\n     3\t"
    assert run("str_replace", path, old_str="black", new_str="white\nred") == (
        "The memory file has been edited. Here is the snippet showing the change (with line "
        "numbers):\n     1\tgreen\n     2\twhite\n     3\tred\n     4\t"
    )
    assert run("insert", path, insert_line=0, insert_text="teas:\n") == (
        f"The file {path} has been edited."
    )
    assert run("rename", old_path="/memories/notes", new_path="/memories/old") == (
        "Successfully renamed /memories/notes to /memories/old"
    )
    assert "does not exist" in run("view", path)
    assert "     1\tteas:\n     2\tgreen" in run("view", "/memories/old/tea.txt")
    assert run("delete", "/memories/old") == "Successfully deleted /memories/old"
    assert run("view", "/memories").endswith("hidden items:\n4K\t/memories")


def test_a_folder_is_listed_two_levels_deep_by_name_without_hidden_names(run: Run) -> None:
    for name in ("b.txt", "a/x", "a/deep/er", "a.txt", ".hidden", "a/.h/x", "big"):
        run("create", f"/memories/{name}", file_text="x" * (1536 if name == "big" else 0))
    assert run("view", "/memories").split("\n") == [
        (
            "Here're the files and directories up to 2 levels deep in /memories, excluding hidden "
            "items:"
        ),
        "4K\t/memories",
        "4K\t/memories/a/",
        "4K\t/memories/a/deep/",
        "0B\t/memories/a/x",
        "0B\t/memories/a.txt",
        "0B\t/memories/b.txt",
        "1.5K\t/memories/big",
    ]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (("view", "/etc"), "Path must start with /memories, got: /etc"),
        (("view", "/memories2/x"), "Path must start with /memories, got: /memories2/x"),
        (("view", "/memories/../x"), "Path /memories/../x would escape /memories directory"),
        (
            ("view", "/memories/no"),
            "The path /memories/no does not exist. Please provide a valid path.",
        ),
        (("view", "/memories/" + "x" * 2000), "is not valid"),
        (("view", "/memories", {"view_range": "1"}), "`view_range` must be two integers"),
        (("create", "/memories/f", {"file_text": ""}), "File /memories/f already exists"),
        (("create", "/memories/d", {"file_text": ""}), "File /memories/d already exists"),
        (("create", "/memories", {"file_text": ""}), "File /memories already exists"),
        (
            ("create", "/memories/f/g", {"file_text": ""}),
            "The path /memories/f is not a directory.",
        ),
        (("create", "/memories/x"), "The command `create` needs `file_text`, a string."),
        (
            ("str_replace", "/memories/f", {"old_str": "q", "new_str": ""}),
            "No replacement was performed, old_str `q` did not appear verbatim in /memories/f.",
        ),
        (
            ("str_replace", "/memories/f", {"old_str": "aa", "new_str": ""}),
            "Multiple occurrences of old_str `aa` in lines: 1, 1, 3. Please ensure it is unique",
        ),
        (("str_replace", "/memories/f", {"old_str": "", "new_str": "x"}), "old_str is empty"),
        (
            ("str_replace", "/memories/d", {"old_str": "a", "new_str": ""}),
            "The path /memories/d is not a file.",
        ),
        (
            ("insert", "/memories/f", {"insert_line": 4, "insert_text": ""}),
            "Invalid `insert_line` parameter: 4. It should be within the range [0, 3].",
        ),
        (
            ("insert", "/memories/no", {"insert_line": 0, "insert_text": ""}),
            "The path /memories/no does not exist. Please provide a valid path.",
        ),
        (("insert", "/memories/f", {"insert_line": True, "insert_text": ""}), "an integer"),
        (("delete", "/memories"), "Cannot delete the /memories directory itself"),
        (("delete", "/memories/no"), "The path /memories/no does not exist"),
        (
            ("rename", None, {"old_path": "/memories", "new_path": "/memories/n"}),
            "Cannot rename the /memories directory itself",
        ),
        (
            ("rename", None, {"old_path": "/memories/no", "new_path": "/memories/n"}),
            "The path /memories/no does not exist",
        ),
        (
            ("rename", None, {"old_path": "/memories/f", "new_path": "/memories/d"}),
            "The destination /memories/d already exists",
        ),
        (
            ("rename", None, {"old_path": "/memories/d", "new_path": "/memories/d/e"}),
            "Cannot rename /memories/d to /memories/d/e, which is inside it",
        ),
        (("fetch", "/memories/f"), "Unknown command: fetch"),
    ],
)
def test_what_is_refused_says_why_and_changes_nothing(
    run: Run, command: tuple[Any, ...], expected: str
) -> None:
    run("create", "/memories/f", file_text="aaa\n\naab")
    run("create", "/memories/d/g", file_text="g")
    name, path, arguments = (*command, {})[:3]
    answer = run(name, path, **arguments)
    assert answer.startswith("refused: ")
    assert expected in answer
    assert run("view", "/memories").split("\n")[2:] == [
        "4K\t/memories/d/",
        "1B\t/memories/d/g",
        "8B\t/memories/f",
    ]


def test_what_a_program_stored_under_a_path_is_no_text(place_url: str, namespace: str) -> None:
    memory = Memory(namespace, url=place_url)
    memory.set("/memories/n", 7)
    files = MemoryFiles(memory)
    with pytest.raises(FileCommandError, match="Unsupported file type for /memories/n"):
        files.view("/memories/n")
    with pytest.raises(FileCommandError, match="Unsupported file type"):
        files.insert("/memories/n", 0, "x")
    assert memory.get("/memories/n") == 7


def test_clearing_leaves_other_keys(place_url: str, namespace: str) -> None:
    memory = Memory(namespace, url=place_url)
    memory.set("/memories2", 1)
    files = MemoryFiles(memory)
    files.create("/memories/a", "x")
    assert files.clear() == "All memory cleared"
    assert memory.list_keys() == ["/memories2"]


def test_agents_that_edit_one_file_all_land(place_url: str, namespace: str) -> None:
    def files() -> MemoryFiles:
        return MemoryFiles(Memory(namespace, url=place_url))

    files().create("/memories/list", "")
    agents = [
        threading.Thread(
            target=lambda name=name: [  # type: ignore[misc]
                files().insert("/memories/list", 0, f"{name}-{number}") for number in range(10)
            ]
        )
        for name in "abc"
    ]
    for agent in agents:
        agent.start()
    for agent in agents:
        agent.join()
    found = Memory(namespace, url=place_url).get("/memories/list").split()
    assert sorted(found) == sorted(f"{name}-{number}" for name in "abc" for number in range(10))


async def test_of_agents_that_create_one_file_one_does(place_url: str, namespace: str) -> None:
    files = AsyncMemoryFiles(AsyncMemory(namespace, url=place_url))
    outcomes = await asyncio.gather(
        *(files.create("/memories/one", str(number)) for number in range(5)),
        return_exceptions=True,
    )
    assert [isinstance(one, str) for one in outcomes].count(True) == 1
    assert {str(one) for one in outcomes if not isinstance(one, str)} == {
        "File /memories/one already exists"
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_a_method_with_its_arguments(name: str) -> None:
    for kind in (MemoryFiles, AsyncMemoryFiles):
        parameters = list(inspect.signature(getattr(kind, name)).parameters)[1:]
        assert parameters[: len(COMMANDS[name])] == list(COMMANDS[name])
