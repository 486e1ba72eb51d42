"""A crew is killed, and its next process knows what it learned, wherever memory lives."""

from __future__ import annotations

import json
from pathlib import Path

from tests.zygote import CREWAI, zygote_of

CREW = """
import json, sys

from crewai.memory import Memory

from botwire_crewai import BotWireStorage
from tests.crews import ScriptedLLM, embed, make_crew

text, namespace, *urls = sys.argv[1:]
llm = ScriptedLLM(model="scripted")
answers = []
for url in urls:
    memory = Memory(storage=BotWireStorage(namespace, url=url), llm=llm, embedder=embed)
    answers.append(str(make_crew(memory).kickoff({"message": text})))
# In one piece and on a line of its own, as CrewAI prints from threads at the same time.
sys.stdout.write("\\nsaid " + json.dumps(answers) + "\\n")
sys.stdout.flush()
sys.stdin.read()
"""


def run_and_kill(storage: Path, *arguments: str) -> list[str]:
    """Runs the crew in each place, kills its process when it is done, and returns its answers."""
    folder = {"CREWAI_STORAGE_DIR": str(storage)}
    with zygote_of(*CREWAI).start(CREW, *arguments, env=folder) as process:
        # CrewAI prints its progress, and our line is somewhere in it.
        answers = next(line for line in process.stdout if line.startswith("said "))
        process.kill()
    found: list[str] = json.loads(answers.removeprefix("said "))
    return found


def test_a_killed_crew_is_remembered(
    server_url: str,
    served_postgres_url: str,
    postgres_server_url: str,
    namespace: str,
    tmp_path: Path,
) -> None:
    # The server over PostgreSQL and the database itself share memory: told here, asked there.
    places = [f"sqlite:///{tmp_path / 'm.db'}", server_url, postgres_server_url]
    told = run_and_kill(tmp_path / "crewai", "My cat is called Turing.", namespace, *places)
    assert told == ["Noted."] * 3
    places[2] = served_postgres_url
    answers = run_and_kill(tmp_path / "crewai", "What is my cat called?", namespace, *places)
    assert answers == ["You told me: My cat is called Turing."] * 3
