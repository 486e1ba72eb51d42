"""The demo works, and reports a framework that forgets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import demo_trial
from demo import demonstrate, main
from demo_interfaces import INTERFACES, Interface
from tests.across.conftest import Forks

# What a program needs to take part, besides a memory: it answers, and its model records.
CHAT = """
import json, os, sys
given = []
for line in sys.stdin:
    given.append(line.strip())
    with open(os.environ["SCRIPTED_LOG"], "a") as log:
        log.write(json.dumps(given) + "\\n")
    print("Noted.", flush=True)
"""


def program(folder: Path, text: str) -> Interface:
    """An interface whose program is `text`."""
    path = folder / "program.py"
    path.write_text(text)
    return Interface("None", "no memory", "botwire:History.tail", str(path))


def test_all_frameworks_remember(
    forks: Forks, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo_trial, "start", forks.start)
    code = demonstrate(INTERFACES)
    done = capsys.readouterr()
    assert code == 0, done.out + done.err
    assert f"All {len(INTERFACES)} remembered across SIGKILL" in done.out
    # The made-up words, and the milliseconds of a memory call at both places.
    row = re.compile(r"heron-[0-9a-f]{6}, \d{6} +\d+\.\d +\d+\.\d$", re.MULTILINE)
    assert len(row.findall(done.out)) == len(INTERFACES)
    assert done.err.count("its model received both facts") == 2 * len(INTERFACES)


def test_an_interface_that_is_given_another_place_forgets(
    forks: Forks, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo_trial, "start", forks.start)
    assert main(["--only", "langchain_history.py", "--amnesia"]) == 1
    printed = capsys.readouterr()
    assert re.search(r"^LangChain .* not all +FORGOT +FORGOT$", printed.out, re.MULTILINE)
    assert "1 of 1 forgot" in printed.out
    assert "LangChain, RunnableWithMessageHistory" in printed.out.splitlines()[-1]
    assert "heron-" not in printed.out


def test_a_program_that_only_prints_the_facts_has_forgotten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "kept"
    aside = f"""
with open({str(kept)!r}, "a+") as file:
    file.write("".join(given))
    file.seek(0)
    print(file.read(), flush=True)
"""
    assert demonstrate([program(tmp_path, CHAT + aside)]) == 1
    assert "FORGOT" in capsys.readouterr().out


def test_what_is_kept_in_the_home_folder_does_not_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    in_home = CHAT.replace(
        "given = []",
        "from pathlib import Path\n"
        "kept = Path.home() / 'kept.json'\n"
        "given = json.loads(kept.read_text()) if kept.exists() else []",
    ).replace("    print(", "    kept.write_text(json.dumps(given))\n    print(")
    assert demonstrate([program(tmp_path, in_home)]) == 1
    assert "FORGOT" in capsys.readouterr().out


def test_a_program_that_breaks_is_named_with_what_it_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert demonstrate([program(tmp_path, "raise SystemExit('no model here')")]) == 1
    printed = capsys.readouterr().out
    assert "FAILED" in printed
    assert "process A took note of 0 facts. It said: no model here" in printed
    assert "None, no memory" in printed.splitlines()[-1]


def test_an_unknown_example_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--only", "nothing.py"])
    assert ended.value.code == 2
    assert "no example is called nothing.py; there are ag2_agent.py" in capsys.readouterr().err
