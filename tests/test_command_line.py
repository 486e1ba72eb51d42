"""The command line: as documented, as scripts use it, and in separate processes."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from botwire import Author, Memory, Record
from botwire.cli import main
from botwire.files import unfinished
from conftest import read_url, start_server
from tests.conftest import SHARED

GUIDE = Path(__file__).parent.parent / "docs/command-line.md"


class Terminal(io.TextIOWrapper):
    """A stream of bytes, as the standard ones are, that may claim to be a terminal."""

    def __init__(
        self, content: bytes = b"", *, terminal: bool = False, encoding: str = "utf-8"
    ) -> None:
        super().__init__(io.BytesIO(content), encoding, write_through=True)
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    def read_back(self) -> str:
        self.flush()
        buffer: Any = self.buffer
        return str(buffer.getvalue().decode())


class Ran:
    """The output of a command, and its exit code."""

    def __init__(
        self,
        *arguments: str,
        stdin: bytes = b"",
        terminal: bool = False,
        encoding: str = "utf-8",
    ) -> None:
        streams = {
            "stdin": Terminal(stdin, terminal=terminal),
            "stdout": Terminal(terminal=terminal, encoding=encoding),
            "stderr": Terminal(terminal=terminal),
        }
        with contextlib.ExitStack() as stack:
            for name, stream in streams.items():
                stack.callback(setattr, sys, name, getattr(sys, name))
                setattr(sys, name, stream)
            try:
                self.code: Any = main(arguments)
            except SystemExit as stop:
                self.code = stop.code
        self.out = streams["stdout"].read_back()
        self.err = streams["stderr"].read_back()

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The store that commands use by default."""
    url = f"sqlite:///{tmp_path / 'memory.db'}"
    monkeypatch.setenv("BOTWIRE_URL", url)
    return url


def fill(url: str, namespace: str = "default") -> Memory:
    memory = Memory(namespace, url=url)
    memory.history("chat").extend(
        [
            {"envelope": 1, "role": "user", "text": "How is the weather?"},
            {"envelope": 1, "role": "assistant", "text": "Rain."},
            {"envelope": 1, "role": "user", "text": "And tomorrow?"},
        ]
    )
    memory.records("notes").put(
        [Record("Ada likes green tea", "n1", {"year": 2026}, scope="/people/ada")]
    )
    return memory


def test_the_guide_does_what_it_shows(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    own_server_url: str,
    fresh_postgres_url: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BOTWIRE_URL", "sqlite:///memory.db")
    text = GUIDE.read_text()
    blocks = re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    shown = []
    for block in blocks:
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, expected = part.partition("\n")
            if command == "botwire history":
                fill("sqlite:///memory.db")
            command = command.replace("http://127.0.0.1:8700", own_server_url)
            command = command.replace("postgresql://db.example/botwire", fresh_postgres_url)
            ran = _shell(command)
            assert ran.code == (1 if "nothing" in command else 0), f"{command}: {ran.err}"
            pattern = re.escape(expected).replace("…", ".*")
            assert re.fullmatch(pattern, ran.out), f"{command}\n{ran.out}{ran.err}"
            shown.append(command.partition("botwire ")[2].split()[0])
    documented = {
        "get", "set", "ls", "history", "search", "rm", "watch", "export", "import", "copy",
        "stats", "check", "backup", "restore", "compact", "forget", "remember", "recall",
        "retention", "past", "versions",
    }  # fmt: skip
    assert set(shown) == documented


def _shell(command: str) -> Ran:
    """Runs ``[echo TEXT |] botwire … [> FILE]``."""
    stdin = b""
    words = shlex.split(command)
    if words[0] == "echo":
        stdin, words = words[1].encode() + b"\n", words[3:]
    target = words.pop() if ">" in words else None
    if target:
        words.remove(">")
    assert words.pop(0) == "botwire"
    ran = Ran(*words, stdin=stdin)
    if target:
        Path(target).write_text(ran.out)
        ran.out = ""
    return ran


def test_every_kind_of_value_comes_back(url: str, tmp_path: Path) -> None:
    file = tmp_path / "blob"
    file.write_bytes(b"\x00\xff\n")
    assert Ran("set", "b", "--bytes", str(file)).code == 0
    assert Memory("default", url=url).get("b") == b"\x00\xff\n"
    assert Ran("get", "b", "--json").lines[0]["bytes"] == "AP8K"
    assert Ran("set", "t", "42", "--text").code == 0
    assert Ran("get", "t").out == '"42"\n'
    assert Ran("set", "s", '"\\ud800 \u00e9"').code == 0
    assert json.loads(Ran("get", "s").out) == "\ud800 \u00e9"
    assert Ran("set", "n", "1", "--if-version", "0", "--json").lines == [{"key": "n", "version": 4}]
    refused = Ran("set", "n", "2", "--if-version", "0")
    assert (refused.code, "expected not to exist" in refused.err) == (3, True)
    for value, says in [
        ("{", "not JSON"),
        ("NaN", "nan, which JSON does not have"),
        ('{"a": 1, "a": 2}', "twice"),
    ]:
        ran = Ran("set", "n", value)
        assert ran.code == 2
        assert says in ran.err
    assert Ran("set", "n", "1", "--bytes", "-").code == 2
    assert Ran("set", "n", "--bytes", str(tmp_path / "none")).err.startswith(
        f"botwire: {tmp_path}/none: No such file"
    )


def test_options_stand_anywhere(url: str) -> None:
    for words in (
        ("set", "k", "--text", "a b"),
        ("set", "--text", "k", "a b"),
        ("set", "k", "a b", "--text"),
        ("set", "--ttl", "60", "k", "--if-version", "3", "--", '"a b"'),
        ("set", "k", "--text", "--", "-a"),
        ("set", "k", "--json", "-1"),
    ):
        assert Ran(*words).code == 0, words
        assert Ran("get", "--json", "k").lines[0]["value"] in ("a b", "-a", -1)
    refused = Ran("set", "k", "1", "2")
    assert refused.code == 2
    assert "usage: botwire set" in refused.err
    assert "unrecognized arguments: 2" in refused.err


def test_standard_input_is_stored_as_it_is(url: str) -> None:
    assert Ran("set", "k", "--text", "-", stdin=b"a\r\nb\n").code == 0
    assert Ran("get", "k").lines == ["a\r\nb\n"]
    for options in ((), ("--text",)):
        refused = Ran("set", "k", "-", *options, stdin=b"ab\xff")
        assert refused.code == 2
        assert "not UTF-8 at byte 2" in refused.err
    assert Ran("get", "k").lines == ["a\r\nb\n"]


@pytest.mark.skipif(os.name == "nt", reason="needs a shell of POSIX")
def test_closed_streams_are_empty(url: str) -> None:
    for words in ("set k --text", "get k"):
        line = f'exec "$0" -m botwire {words} <&- >&-'
        command = ["/bin/sh", "-c", line, sys.executable]
        done = subprocess.run(command, check=False, stderr=subprocess.PIPE)
        assert (done.returncode, done.stderr) == (0, b"")
    assert Memory("default", url=url).get("k") == ""


@pytest.mark.skipif(os.name == "nt", reason="needs limits of POSIX")
@pytest.mark.parametrize("command", ["backup", "export"])
def test_a_copy_without_room_is_named_and_leaves_nothing(
    url: str, tmp_path: Path, command: str
) -> None:
    with Memory("default", url=url) as memory:
        memory.set("k", "x" * 300_000)
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    target = str(folder / "copy")
    limit = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)); "
    call = "from botwire.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", limit + call, command, target],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"botwire: {target}")
    assert not list(folder.iterdir())


def test_strange_names_are_one_line_each(url: str) -> None:
    Memory("default", url=url).set_many({"a\nb": 1, "\ud800": 2, "plain \u00e9": 3})
    assert Ran("ls").out.splitlines() == ['"a\\nb"', "plain \u00e9", '"\\ud800"']
    assert [row["key"] for row in Ran("ls", "--json").lines] == ["a\nb", "plain \u00e9", "\ud800"]
    assert Ran("rm", "a\nb", "none").code == 1
    assert Ran("ls", "a").out == ""


def test_a_history_shows_who_wrote_and_filters_by_it(url: str) -> None:
    with Memory("default", url=url, author=Author("ada", "langgraph")) as memory:
        memory.history("team").extend(["a", "b"])
        memory.by("bob").history("team").append("c")
        memory.by(None).history("team").append("d")
    assert Ran("history", "team", "--author", "langgraph").lines == ["a", "b"]
    assert Ran("history", "team", "--author", "ada", "-n", "1").lines == ["b"]
    (row,) = Ran("history", "team", "--author", "bob", "--json").lines
    assert (row["value"], row["author"]) == ("c", {"agent": "bob"})
    assert Ran("history", "team", "--author", "eve").lines == []
    shown = Ran("history", "team", terminal=True).out.splitlines()
    assert ("ada, langgraph" in shown[1], "bob" in shown[3]) == (True, True)
    assert "name the history" in Ran("history", "--author", "ada").err
    assert Ran("watch", "--after", "0", "-n", "1", "--json").lines[0]["author"]["agent"] == "ada"


def test_a_person_sees_tables_and_who_says_what(url: str) -> None:
    memory = fill(url)
    memory.history("chat").append("no message")
    lines = Ran("history", "chat", terminal=True).out.splitlines()
    assert lines[0].split() == ["SEQ", "CREATED", "AT", "AUTHOR", "ITEM"]
    assert lines[1].endswith("user: How is the weather?")
    assert lines[4].endswith('"no message"')
    assert Ran("history", terminal=True).out.splitlines()[0].startswith("NAME  COUNT  ARCHIVED")
    memory.history("chat").archive(up_to=3)
    assert len(Ran("history", "chat").lines) == 1
    assert len(Ran("history", "chat", "--archived", "--json").lines) == 4
    assert len(Ran("history", "chat", "--archived", "-n", "2").lines) == 2
    assert Ran("history", "none").code == 1
    stats = Ran("stats", terminal=True)
    assert stats.out.splitlines()[0].split()[:2] == ["NAMESPACE", "KEYS"]
    assert "1 namespace: 0 keys, 1 history, 4 items, 1 collection, 1 record" in stats.err


def test_histories_and_collections_are_removed(url: str) -> None:
    memory = fill(url)
    assert Ran("rm", "--history", "chat").code == 0
    assert Ran("rm", "--collection", "notes", "none").err == "botwire: no collection 'none'\n"
    assert memory.history("chat").count() == memory.records("notes").count() == 0


@pytest.mark.parametrize("place", ["embedded", *SHARED])
def test_data_commands_work_wherever_memory_lives(
    place: str, request: pytest.FixtureRequest, tmp_path: Path, namespace: str
) -> None:
    url = f"sqlite:///{tmp_path / 'm.db'}"
    if place in SHARED:
        url = str(request.getfixturevalue(SHARED[place]))
    here = ("--url", url, "-N", namespace)
    fill(url, namespace)
    assert Ran("set", "k", "1", *here).code == 0
    assert Ran("get", "k", *here).out == "1\n"
    assert Ran("history", "chat", "-n", "1", *here).lines[0]["text"] == "And tomorrow?"
    found = Ran("search", "green tea", "--collection", "notes", "--json", *here).lines
    assert (found[0]["id"], found[0]["scope"]) == ("n1", "/people/ada")
    assert Ran("stats", "--json", *here).lines[0]["keys"] == 1
    assert Ran("check", *here).code == 0
    exported = Ran("export", *here)
    assert json.loads(exported.out.splitlines()[-1])["key"] == 1
    loaded = Ran("import", "-", "--json", *here, stdin=exported.out.encode())
    assert loaded.lines[0]["there_already"] == 5
    backup = Ran("backup", str(tmp_path / "backup.db"), "--url", url)
    assert backup.code == (0 if place == "embedded" else 2)
    nobody = Ran("export", "--url", url, "-N", "nobody")
    assert (nobody.code, nobody.err) == (1, "botwire: there is no namespace 'nobody'\n")


def test_what_cannot_be_reached_or_opened_says_so_and_shows_no_secret(
    tmp_path: Path, unused_tcp_port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    gone = f"http://127.0.0.1:{unused_tcp_port}"
    base = f"postgresql://ada:s3cret@127.0.0.1:{unused_tcp_port}/db?password=s3cret"
    for arguments, code, says in [
        (["ls", "--url", gone, "--api-key", "s3cret", "--timeout", "1"], 4, "is `botwire serve`"),
        (["stats", "--url", base, "--timeout", "1"], 4, "postgresql://ada@127.0.0.1"),
        (["ls", "--url", "http://ada:s3cret@h"], 2, "use api_key"),
        (["ls", "--url", "ftp://ada:s3cret@h/?password=s3cret"], 2, "no engine handles the URL"),
        (["export", "--url", f"sqlite:///{tmp_path}/no.db"], 1, "there is no store: the file"),
        (["copy", f"sqlite:///{tmp_path}/no.db", "sqlite://"], 1, "there is no store"),
        (["import", str(tmp_path / "no.ndjson")], 2, "no.ndjson: No such file"),
        (["get"], 2, "usage: botwire get"),
        (["history", "chat", "-n", "0"], 2, "at least 1"),
        (["nonsense"], 2, "invalid choice"),
    ]:
        ran = Ran(*arguments)
        assert ran.code == code, ran.err
        assert says in ran.err
        assert "s3cret" not in ran.err
        assert "Traceback" not in ran.err
    assert not list(tmp_path.glob("*.db"))
    assert "s3cret" not in "".join(capfd.readouterr())


def test_an_export_replaces_no_pipe_no_link_and_no_store(tmp_path: Path) -> None:
    store = tmp_path / "memory.db"
    own = ["--url", f"sqlite:///{store}"]
    fill(own[1])
    whole = Ran("export", "-", *own).lines[1:]  # the first line says when
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with os.fdopen(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)) as reader:
        assert Ran("export", str(pipe), *own).code == 0
        assert [json.loads(line) for line in reader][1:] == whole
    assert pipe.is_fifo()
    link, target = tmp_path / "latest.ndjson", tmp_path / "monday.ndjson"
    link.symlink_to(target)
    assert Ran("export", str(link), *own).code == 0
    assert Ran("export", str(link), "--force", *own).code == 0
    assert link.is_symlink()
    assert [json.loads(line) for line in target.read_text().splitlines()][1:] == whole
    ran = Ran("export", str(store), "--force", *own)
    assert (ran.code, ran.err) == (
        2, f"botwire: {store} is a SQLite database: choose another file\n"
    )  # fmt: skip
    assert Ran("export", "-", *own).lines[1:] == whole


@pytest.mark.parametrize("command", ["export", "backup"])
def test_two_programs_do_not_write_one_file_at_once(command: str, tmp_path: Path) -> None:
    """Otherwise the first to finish gives its name to the half file of the other."""
    own = ["--url", f"sqlite:///{tmp_path / 'memory.db'}"]
    fill(own[1])
    target = tmp_path / "nightly"
    partial = target.with_name("nightly.partial")
    with unfinished(target) as lent:
        lent.write_bytes(b"half")
        ran = Ran(command, str(target), *own)
        assert (ran.code, f"{target} is being written by another program" in ran.err) == (2, True)
        assert partial.read_bytes() == b"half"
        assert not target.exists()
    partial.write_bytes(b"left by a program that was killed")
    assert Ran(command, str(target), *own).code == 0
    assert target.exists()
    assert not partial.exists()


def test_an_export_is_a_whole_file_or_none(url: str, tmp_path: Path) -> None:
    fill(url)
    target = tmp_path / "all.ndjson.gz"
    assert Ran("export", str(target)).code == 0
    again = Ran("export", str(target))
    assert (again.code, "--force" in again.err) == (2, True)
    assert Ran("export", str(target), "--force").code == 0
    assert Ran("export", "-N", "nobody", str(tmp_path / "none.ndjson")).code == 1
    assert sorted(file.suffix for file in tmp_path.glob("*nd*")) == [".gz"]
    nowhere = str(tmp_path / "nowhere" / "all.ndjson")
    assert Ran("export", nowhere).err == f"botwire: {nowhere}: No such file or directory\n"
    other = f"sqlite:///{tmp_path / 'other.db'}"
    assert Ran("import", str(target), "--url", other).err == (
        "botwire: 1 namespace, 0 keys, 1 history, 3 items, 1 collection, 1 record: 4 written\n"
    )
    assert Ran("check", "--compare", url, other).err == "botwire: no differences\n"
    for broken in (target.read_bytes()[:-30], b"not packed"):
        (tmp_path / "broken.gz").write_bytes(broken)
        ran = Ran("import", str(tmp_path / "broken.gz"), "--url", other)
        assert (ran.code, "broken.gz is not a gzip file" in ran.err) == (2, True)
    memory = Memory("default", url=other)
    memory.set("more", 1)
    compared = Ran("check", "--compare", url, other, "--json")
    assert (compared.code, compared.lines[0]["name"]) == (1, "more")


def test_conflicts_are_refused_kept_or_overwritten(url: str, tmp_path: Path) -> None:
    Memory("default", url=url).set("k", "old")
    other = f"sqlite:///{tmp_path / 'other.db'}"
    file = str(tmp_path / "all.ndjson")
    assert Ran("export", file).code == Ran("copy", url, other, "--verify").code == 0
    Memory("default", url=other).set("k", "newer")
    for command in (["import", file, "--url", other], ["copy", url, other]):
        refused = Ran(*command)
        assert (refused.code, "was set later" in refused.err) == (3, True)
        assert "--on-conflict" in refused.err
    assert "1 newer and kept" in Ran("copy", url, other, "--on-conflict", "keep").err
    kept = Ran("copy", url, other, "--on-conflict", "keep", "--verify")
    assert (kept.code, "'k' is different" in kept.err) == (1, True)
    assert Memory("default", url=other).get("k") == "newer"
    assert Ran("import", file, "--url", other, "--overwrite").code == 0
    assert Ran("copy", url, other, "--verify").code == 0


def test_restore_looks_for_the_backup_before_it_asks(tmp_path: Path) -> None:
    store = tmp_path / "new.db"
    ran = Ran("restore", str(tmp_path / "none.db"), "--url", f"sqlite:///{store}")
    assert (ran.code, "none.db does not exist" in ran.err) == (2, True)
    assert not store.exists()


def test_forget_asks_and_prints_a_receipt(url: str, tmp_path: Path) -> None:
    memory = Memory("eve@example.org", url=url)
    memory.set("secret", "Rosebud")
    alone = Ran("forget", "eve@example.org")
    assert (alone.code, "confirm with --yes" in alone.err) == (2, True)
    asked = Ran("forget", "eve@example.org", stdin=b"n\n", terminal=True)
    assert asked.code == 1
    assert "for good. Continue? [y/N]" in asked.err
    assert memory.get("secret") == "Rosebud"
    receipt = Ran("forget", "eve@example.org", stdin=b"y\n", terminal=True).lines[0]
    assert receipt["erased"]["keys"] == 1
    assert receipt["rewritten"] is True
    assert receipt["store"] == url
    memory.set("secret", "Rosebud")
    later = Ran("forget", "eve@example.org", "nobody", "--yes", "--no-rewrite")
    assert later.code == 0
    assert [row["erased"]["keys"] for row in later.lines] == [1, 0]
    assert [row["rewritten"] for row in later.lines] == [False, False]
    assert Ran("forget", "eve@example.org", "--yes").code == 0
    left = b"".join(file.read_bytes() for file in tmp_path.glob("memory.db*"))
    assert b"Rosebud" not in left
    assert b"eve@" not in left


def test_forget_on_postgres_says_what_is_left_to_do(own_postgres_url: str, namespace: str) -> None:
    Memory(namespace, url=own_postgres_url).set("k", 1)
    ran = Ran("forget", namespace, "--yes", "--url", own_postgres_url)
    assert (ran.code, "VACUUM FULL" in ran.err) == (0, True)
    assert ran.lines[0]["rewritten"] is False


def test_a_key_opens_what_it_is_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, namespace: str
) -> None:
    database = f"sqlite:///{tmp_path / 'served.db'}"
    admin, reader = (
        Ran("keys", "create", "--database", database, *options).out.strip()
        for options in (["--right", "admin"], ["--right", "read", "--namespaces", namespace])
    )
    Memory(namespace, url=database).set("k", 1)
    Memory("other", url=database).set("k", 2)
    with start_server(tmp_path / "served.db") as process:
        here = ("--url", read_url(process))
        exported = Ran("export", "-N", namespace, *here, "--api-key", reader)
        assert (exported.code, '"k"' in exported.out) == (0, True)
        assert Ran("check", "-N", namespace, *here, "--api-key", reader).code == 0
        for key, command in [
            (reader, ["export"]),
            (reader, ["stats"]),
            (reader, ["export", "-N", "other"]),
            (reader, ["import", "-"]),
            (reader, ["forget", namespace, "--yes"]),
            (reader, ["set", "k", "2", "-N", namespace]),
            ("bw_wrong", ["get", "k", "-N", namespace]),
        ]:
            ran = Ran(*command, *here, "--api-key", key, stdin=exported.out.encode())
            assert ran.code == 5, command
            assert key not in ran.err
        assert Ran("get", "k", "-N", namespace, *here).code == 5
        monkeypatch.setenv("BOTWIRE_API_KEY", admin)
        assert Ran("import", "-", *here, stdin=exported.out.encode()).code == 0
        assert len(Ran("stats", "--json", *here).lines) == 2
        assert Ran("copy", here[1], f"sqlite:///{tmp_path / 'copy.db'}", "--verify").code == 0
        assert Ran("forget", namespace, "--yes", *here).lines[0]["rewritten"] is True
        assert [row["namespace"] for row in Ran("stats", "--json", *here).lines] == ["other"]
        process.terminate()


def test_check_says_what_is_wrong(url: str, tmp_path: Path) -> None:
    import sqlite3

    memory = fill(url)
    with contextlib.closing(sqlite3.connect(tmp_path / "memory.db")) as database:
        database.execute("UPDATE botwire_histories SET size = 9")
        database.commit()
    ran = Ran("check")
    assert (ran.code, "has a wrong count of items" in ran.err) == (1, True)
    assert Ran("check", "--json").lines[0]["sound"] is False
    memory.close()


def test_progress_is_shown_on_a_terminal_only(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botwire.cli.output._REDRAWN_EVERY", 0.0)
    Memory("default", url=url).set_many({f"k{i}": i for i in range(600)})
    shown = Ran("export", str(tmp_path / "a"), terminal=True).err
    assert "export: 0 lines of 0 namespaces, 500 read ahead" in shown
    assert "export: 500 lines of 1 namespace" in shown
    assert "\r" not in Ran("export", str(tmp_path / "b")).err
    assert "backup: [#" in Ran("backup", str(tmp_path / "c.db"), terminal=True).err


# --- processes of their own -----------------------------------------------------------------


def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "botwire", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_a_watch_follows_what_another_process_does_until_it_is_stopped(
    own_server_url: str, namespace: str
) -> None:
    here = ("--url", own_server_url, "-N", namespace)
    Memory(namespace, url=own_server_url).set("first", 1)
    watch = start("watch", "--after", "0", "--json", *here)
    assert watch.stdout is not None
    changes = [json.loads(watch.stdout.readline())]  # a new namespace may begin above 0
    with start("set", "second", "2", *here) as other:
        assert other.wait() == 0
    while changes[-1]["name"] != "second":
        changes.append(json.loads(watch.stdout.readline()))
    assert changes[-1]["action"] == "put"
    watch.send_signal(signal.SIGINT)
    assert watch.wait() == 130
    assert watch.communicate()[1] == ""


def test_a_reader_that_has_read_enough_is_no_error(url: str) -> None:
    Memory("default", url=url).set_many({f"key {i:06}" * 10: i for i in range(5000)})
    reader, writer = os.pipe()
    os.close(reader)
    with subprocess.Popen(
        [sys.executable, "-m", "botwire", "ls"], stdout=writer, stderr=subprocess.PIPE, text=True
    ) as listing:
        os.close(writer)
        assert listing.communicate()[1] == ""
        assert listing.returncode == 0


def test_an_import_from_a_pipe_that_is_killed_is_run_again(url: str, tmp_path: Path) -> None:
    Memory("default", url=url).set_many({f"k{i}": "x" * 1000 for i in range(2000)})
    file, pipe = tmp_path / "all.ndjson", tmp_path / "pipe"
    with start("export", str(file)) as export:
        assert export.wait() == 0
    other = f"sqlite:///{tmp_path / 'other.db'}"
    memory = Memory("default", url=other)
    os.mkfifo(pipe)
    with start("import", str(pipe), "--url", other) as load, pipe.open("wb") as slow:
        slow.writelines(file.read_bytes().splitlines(keepends=True)[:1500])
        slow.flush()
        for _ in memory.watch(after=0):
            if memory.count() >= 1000:  # two batches have come
                break
        load.kill()
        assert load.wait() == -signal.SIGKILL
    assert memory.count() < 2000
    assert Ran("import", str(file), "--url", other).code == 0
    assert Ran("check", "--compare", url, other).code == 0


def test_a_copy_to_postgres_that_is_killed_is_run_again(
    url: str, own_postgres_url: str, namespace: str
) -> None:
    memory = Memory(namespace, url=url)
    memory.set_many({f"k{i}": "x" * 1000 for i in range(3000)})
    memory.history("h").extend(list(range(3000)))
    copied = Memory(namespace, url=own_postgres_url)
    with start("copy", url, own_postgres_url, "-N", namespace) as copying:
        for _ in copied.watch(after=0, poll=0.01):
            break  # the first batch has come
        copying.kill()
        assert copying.wait() == -signal.SIGKILL
    assert copied.history("h").count() < 3000
    memory.delete("k7")
    again = Ran("copy", url, own_postgres_url, "-N", namespace, "--verify", "--json")
    assert again.code == 0, again.err
    assert again.lines[0]["there_already"] >= 400


def test_names_that_the_encoding_of_the_output_lacks_are_escaped(url: str) -> None:
    """As Windows prints them to a pipe."""
    with Memory("\u7528\u6237", url=url) as memory:
        memory.set("\u952e", "\U0001f600")
        memory.history("\u4f1a\u8bdd").append("\u4f60\u597d")
        memory.remember("\u732b \U0001f600", tags=["\u6807"])
    mine = ("-N", "\u7528\u6237")
    for command in (
        ("ls", *mine),
        ("get", "\u952e", *mine),
        ("history", *mine),
        ("history", "\u4f1a\u8bdd", *mine),
        ("search", "\u732b", *mine),
        ("recall", "\u732b", *mine),
        ("changes", *mine),
        ("stats",),
    ):
        for terminal in (False, True):
            ran = Ran(*command, terminal=terminal, encoding="cp1252")
            assert ran.code == 0, ran.err
            assert "\\u" in ran.out
