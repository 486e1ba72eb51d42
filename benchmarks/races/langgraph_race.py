"""LangGraph: turns of one thread, through its checkpointers; edits of one file of deepagents."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.graph import END, START, MessagesState, StateGraph

from benchmarks.races.frame import Contender, Place
from botwire_langgraph import BotWireSaver, ConcurrentRunError

THREAD: Any = {"configurable": {"thread_id": "t"}}


class _Saver(Contender):
    """Runs turns of a graph of one node, all on one thread."""

    framework = "LangGraph"
    what = "a turn of a graph"

    def __init__(self, place: Place) -> None:
        self.closing = contextlib.ExitStack()
        builder = StateGraph(MessagesState)
        builder.add_node("answer", lambda _: {"messages": [AIMessage("noted")]})
        builder.add_edge(START, "answer")
        builder.add_edge("answer", END)
        self.saver = self.open(place)
        self.app = builder.compile(checkpointer=self.saver)

    @abstractmethod
    def open(self, place: Place) -> Any:
        """Returns the checkpointer."""

    def write(self, token: str) -> None:
        self.app.invoke({"messages": [HumanMessage("hi", id=token)]}, THREAD)

    def tokens(self) -> Iterable[str]:
        messages = self.app.get_state(THREAD).values.get("messages", ())
        return [message.id or "" for message in messages if isinstance(message, HumanMessage)]

    def close(self) -> None:
        self.closing.close()


class _OurSaver(_Saver):
    ours = True
    distribution = "botwire-langgraph"

    def open(self, place: Place) -> Any:
        url = place.postgres or f"sqlite:///{place.folder / 'ours.db'}"
        saver = BotWireSaver("race", url=url, on_conflict=self.on_conflict)
        self.closing.callback(saver.connection.memory.close)
        return saver

    on_conflict: Any = "wait"


class OurSaver(_OurSaver):
    """Ours on a file; a second run waits."""

    title = 'BotWireSaver(on_conflict="wait")'


class OurStrictSaver(_OurSaver):
    """Ours on a file; a second run is refused, the default."""

    title = "BotWireSaver"
    on_conflict = "reject"
    refusals = (ConcurrentRunError,)


class OurPostgresSaver(_OurSaver):
    """Ours on PostgreSQL; a second run waits."""

    title = 'BotWireSaver(on_conflict="wait"), PostgreSQL'
    needs_postgres = True


class StockSqliteSaver(_Saver):
    """LangGraph's own, on a file."""

    title = "SqliteSaver"
    distribution = "langgraph-checkpoint-sqlite"

    def open(self, place: Place) -> Any:
        from langgraph.checkpoint.sqlite import SqliteSaver  # noqa: PLC0415 - may be missing

        path = str(place.folder / "stock.db")
        return self.closing.enter_context(SqliteSaver.from_conn_string(path))

    def prepare(self) -> None:
        self.saver.setup()


class StockPostgresSaver(_Saver):
    """LangGraph's own, on PostgreSQL."""

    title = "PostgresSaver"
    distribution = "langgraph-checkpoint-postgres"
    needs_postgres = True

    def open(self, place: Place) -> Any:
        from langgraph.checkpoint.postgres import PostgresSaver  # noqa: PLC0415 - may be missing

        assert place.postgres
        return self.closing.enter_context(PostgresSaver.from_conn_string(place.postgres))

    def prepare(self) -> None:
        self.saver.setup()


class _Backend(Contender):
    """Adds lines to one file, each by an edit, as agents keep notes."""

    framework = "deepagents"
    what = "an edit of one file"
    backend: Any
    file = "/notes.md"
    end = "END"

    def prepare(self) -> None:
        self.backend.write(self.file, self.end)

    def write(self, token: str) -> None:
        answer = self.backend.edit(self.file, self.end, f"{token}\n{self.end}")
        if answer.error:
            raise RuntimeError(answer.error)

    def tokens(self) -> Iterable[str]:
        text: str = self.backend.read(self.file, limit=100_000).file_data["content"]
        return [line for line in text.splitlines() if line.startswith("token-")]


class OurBackend(_Backend):
    """Ours, on a file."""

    title = "BotWireBackend"
    distribution = "botwire-langgraph"
    ours = True

    def __init__(self, place: Place) -> None:
        from botwire_langgraph import BotWireBackend  # noqa: PLC0415 - needs deepagents

        self.backend = BotWireBackend("race", url=f"sqlite:///{place.folder / 'ours.db'}")


class StockBackend(_Backend):
    """The one of deepagents, on LangGraph's own store on PostgreSQL."""

    title = "StoreBackend(PostgresStore)"
    distribution = "deepagents"
    needs_postgres = True

    def __init__(self, place: Place) -> None:
        from deepagents.backends import StoreBackend  # noqa: PLC0415 - may be missing
        from langgraph.store.postgres import PostgresStore  # noqa: PLC0415 - may be missing

        assert place.postgres
        self.closing = contextlib.ExitStack()
        self.store = self.closing.enter_context(PostgresStore.from_conn_string(place.postgres))
        self.backend = StoreBackend(store=self.store, namespace=lambda _: ("files",))

    def prepare(self) -> None:
        self.store.setup()
        super().prepare()

    def close(self) -> None:
        self.closing.close()


CONTENDERS = (
    *(OurSaver, OurStrictSaver, StockSqliteSaver, OurPostgresSaver, StockPostgresSaver),
    *(OurBackend, StockBackend),
)
