"""A run killed in the middle of a step resumes there, as with LangGraph's own saver."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from conftest import read_url, start_server
from tests.zygote import Zygote

RUN = """
import json, operator, os, signal, sys, time
from collections import Counter
from pathlib import Path
from typing import Annotated, TypedDict

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph

from botwire_langgraph import BotWireSaver

THREAD = {"configurable": {"thread_id": "t"}}


class State(TypedDict):
    log: Annotated[list[str], operator.add]


def run(saver, log, given, durability, on_slow):
    def ran(name):
        with open(log, "a") as file:
            print(name, file=file)
        return {"log": [name]}

    def slow(state):
        ran("slow")
        on_slow(saver)
        return {"log": ["slow"]}

    builder = StateGraph(State)
    builder.add_node("before", lambda state: ran("before"))
    builder.add_node("quick", lambda state: ran("quick"))
    builder.add_node("slow", slow)
    builder.add_node("after", lambda state: ran("after"))
    builder.add_edge(START, "before")
    builder.add_edge("before", "quick")
    builder.add_edge("before", "slow")
    builder.add_edge(["quick", "slow"], "after")
    builder.add_edge("after", END)
    app = builder.compile(checkpointer=saver)
    return app.invoke(given, THREAD, durability=durability)["log"]


def wait_for_quick(saver):
    # The step's other task has finished, and what it wrote is stored. With the durability "async",
    # the first checkpoint may not be stored yet.
    while True:
        found = saver.get_tuple(THREAD)
        if found and any(value == ["quick"] for _, _, value in found.pending_writes):
            return
        time.sleep(0.01)


def in_a_process(work, where):
    child = os.fork()
    if not child:
        try:
            if where.endswith(".theirs"):
                with SqliteSaver.from_conn_string(where) as saver:
                    work(saver)
            else:
                work(BotWireSaver(where.partition(" ")[0], url=where.partition(" ")[2]))
        finally:
            os._exit(1)
    return child
"""

KILLS = (
    RUN
    + """
def stop(saver, log, durability):
    def die(saver):
        wait_for_quick(saver)
        os.kill(os.getpid(), signal.SIGKILL)

    run(saver, log, {"log": ["in"]}, durability, die)


def resume(saver, log, durability):
    print(json.dumps(run(saver, log, None, durability, lambda saver: None)), flush=True)
    os._exit(0)


for number, (where, durability) in enumerate(json.loads(sys.argv[2])):
    log = f"{sys.argv[1]}/{number}"
    stopped = in_a_process(lambda saver: stop(saver, log, durability), where)
    assert os.waitpid(stopped, 0)[1] == signal.SIGKILL
    resumed = in_a_process(lambda saver: resume(saver, log, durability), where)
    assert os.waitpid(resumed, 0)[1] == 0
"""
)

WAITS = (
    RUN
    + """
def wait_for_the_server(saver):
    wait_for_quick(saver)
    print("now", flush=True)
    sys.stdin.readline()


saver = BotWireSaver("killed", url=sys.argv[1])
print(json.dumps(run(saver, sys.argv[2], {"log": ["in"]}, "sync", wait_for_the_server)))
"""
)

DONE = ["in", "before", "quick", "slow", "after"]


def test_each_node_runs_as_often_as_with_the_official_saver(
    zygote: Zygote, tmp_path: Path, server_url: str, namespace: str
) -> None:
    runs = [
        (where, durability)
        for durability in ("sync", "async")
        for where in (
            f"{tmp_path}/{durability}.theirs",
            f"{namespace}-{durability} sqlite:///{tmp_path}/{durability}.db",
            f"{namespace}-{durability} {server_url}",
        )
    ]
    said = zygote.read(KILLS, str(tmp_path), json.dumps(runs))
    assert [json.loads(line) for line in said.splitlines()] == [DONE] * len(runs)
    counts = [sorted((tmp_path / str(number)).read_text().split()) for number in range(len(runs))]
    # Only the unfinished task of the killed step ran again.
    assert counts == [["after", "before", "quick", "slow", "slow"]] * len(runs)


def test_a_server_killed_in_the_middle_of_a_step_costs_no_node(
    zygote: Zygote, tmp_path: Path, unused_tcp_port: int
) -> None:
    database, port = tmp_path / "memory.db", ("--port", str(unused_tcp_port))
    log = tmp_path / "log"
    with start_server(database, *port) as server:
        url = read_url(server)
        with zygote.start(WAITS, url, str(log)) as process:
            assert process.stdout.readline() == "now\n"
            os.kill(server.pid, signal.SIGKILL)
            server.wait()
            with start_server(database, *port) as again:
                assert read_url(again) == url
                # The run continues with its old connections, which are dead.
                process.stdin.write("\n")
                process.stdin.flush()
                assert json.loads(process.stdout.readline()) == DONE
                again.terminate()
    assert sorted(log.read_text().split()) == ["after", "before", "quick", "slow"]
