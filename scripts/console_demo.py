"""Serves a lively store to try the console on: ``hatch run demo --console``.

It runs in the environment of the console, on a temporary store, until interrupted. Meanwhile an
agent keeps writing, so the live pages update.
"""

from __future__ import annotations

import contextlib
import gzip
import itertools
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from botwire import Author, Memory, transfer
from botwire import operations as ops
from botwire.engines.opening import open_engine
from botwire.errors import BotWireError
from botwire.messages import Message, Native, ToolCall
from botwire.places import find_place
from botwire.retention import Policy, Retention
from serving import NotServingError, serve

THREADS = Path(__file__).parents[1] / "packages/botwire-console/tests/langgraph_threads.jsonl.gz"
"""An export of what LangGraph stored of two threads: the console itself needs no LangGraph."""

EVERY_SECONDS = 4.0
"""Seconds between the agent's writes."""

TRIP = (
    Message("system", "You are a travel agent. Be brief, and ask before you book."),
    Message("user", "Hi, I am Ada. Is it a good week for Oslo? I would leave on Thursday."),
    Message(
        "assistant",
        "",
        tool_calls=(ToolCall("call-1", "weather", {"city": "Oslo", "days": 4}),),
        native=Native(
            "langchain",
            1,
            {"content": [{"type": "thinking", "thinking": "The forecast first, then trains."}]},
        ),
    ),
    Message(
        "tool",
        '{"thursday": "12°, light rain", "friday": "14°, sun", "saturday": "15°, sun"}',
        name="weather",
        tool_call_id="call-1",
    ),
    Message(
        "assistant",
        "Thursday is wet, but Friday and Saturday are sunny with 14 to 15 degrees. "
        "Shall I look for a train on Thursday evening?",
    ),
    Message("user", "Yes please. A window seat, and nothing before six."),
    Message(
        "assistant",
        "",
        tool_calls=(
            ToolCall("call-2", "search_trains", {"to": "Oslo", "after": "18:00", "seat": "window"}),
            ToolCall("call-3", "remember", {"text": "Ada prefers window seats."}),
        ),
    ),
    Message("tool", '[{"departs": "18:24", "price": 419}]', tool_call_id="call-2"),
    Message("tool", "stored", tool_call_id="call-3"),
    Message("assistant", "There is one at 18:24 for 419 kr, window seat. Shall I book it?"),
)


def fill(url: str) -> None:
    """Stores what several agents might have remembered."""
    engine = open_engine(find_place(url))
    with gzip.open(THREADS) as file:
        transfer.load(engine, file, conflict=ops.OVERWRITE)
    agent = Author("travel", framework="langchain", run="7f3a")
    with Memory("user-123", url=url, author=agent) as memory:
        memory.set("prefs", {"theme": "dark", "language": "en", "seat": "window", "budget": 2500})
        memory.set("profile/name", "Ada Lovelace")
        memory.set("profile/email", "ada@example.org")
        memory.set("profile/home/city", "London")
        memory.set("session/token", {"step": 4}, ttl=86_400)
        memory.set_many({f"cache:weather:{city}": {"degrees": 12} for city in ("oslo", "rome")})
        for name, title, count in (
            ("onboarding", "First steps", 6),
            ("invoices", "Where is my invoice?", 14),
        ):
            history = memory.history(name)
            history.set_metadata({"title": title})
            roles = itertools.cycle(("user", "assistant"))
            history.extend(
                [{"role": next(roles), "content": f"Message {n} of {count}."} for n in range(count)]
            )
        trip = memory.history("trip")
        trip.set_metadata({"title": "A long weekend in Oslo", "owner": "ada"})
        trip.extend([message.to_item() for message in TRIP])
        memory.remember("Ada prefers window seats.", tags=["travel"])
        memory.remember("Ada lives in London.", about="/people/ada")
        memory.remember("Ada drinks green tea, never coffee.", about="/people/ada", tags=["taste"])
        memory.remember("The budget for a weekend is 2,500 kr.", tags=["travel"], ttl=30 * 86_400)
        memory.remember("Trains to Oslo leave at 18:24 and 20:10.", about="/trips/oslo")
        memory.keep_past(timedelta(days=30))
        memory.set("prefs", {"theme": "dark", "language": "en", "seat": "window", "budget": 3000})
        memory.delete("profile/email")
    retention = Retention(engine=engine)
    retention.set(Policy("chats", "team-*", age=90 * 86_400))
    retention.hold("case-7", "user-456", reason="litigation")
    engine.close()
    for name in ("user-456", "team-research", "team-support"):
        with Memory(name, url=url, author=Author("support", framework="langgraph")) as memory:
            memory.set("status", {"open": 3})
            memory.remember(f"{name} answers within a day.")


def run() -> int:
    """Serves until interrupted; returns the exit code."""
    with tempfile.TemporaryDirectory(prefix="botwire-console-") as folder:
        try:
            with serve(f"sqlite:///{folder}/memory.db", log=Path(folder, "server.log")) as server:
                fill(server.url)
                print(f"The console: {server.url}/console (Ctrl-C ends it)", flush=True)
                with contextlib.suppress(KeyboardInterrupt, BotWireError):
                    write(server.url)
        except NotServingError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


def write(url: str) -> None:
    """Keeps writing, as an agent would."""
    with Memory("user-123", url=url, author=Author("travel", framework="langchain")) as memory:
        for number in itertools.count(1):
            time.sleep(EVERY_SECONDS)
            memory.increment("visits")
            memory.history("trip").append(
                Message("assistant", f"Still looking for trains ({number}).").to_item()
            )


if __name__ == "__main__":
    sys.exit(run())
