"""A chat in a web app: any process can answer, since BotWire stores each session's history.

Start it with `uvicorn app:app`, as many times as you like, behind any load balancer.
"""

from fastapi import FastAPI
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import BaseMessage, HumanMessage
from pydantic import BaseModel

from botwire_langchain import BotWireChatMessageHistory

app = FastAPI()
model = FakeListChatModel(responses=["Noted."])  # your own model goes here
WEEK = 7 * 24 * 3600.0


class Said(BaseModel):
    """What a user says."""

    text: str


class Shown(BaseModel):
    """A message, as the page shows it."""

    id: str | None
    role: str
    text: str


def history_of(session_id: str) -> BotWireChatMessageHistory:
    """Returns a session's history; creating one opens no connection."""
    return BotWireChatMessageHistory(session_id, namespace="langchain-web", ttl=WEEK)


def show(message: BaseMessage) -> Shown:
    """Returns a message as the page shows it."""
    return Shown(id=message.id, role=message.type, text=message.text)


@app.post("/sessions/{session_id}/messages")
async def say(session_id: str, said: Said) -> Shown:
    """Answers a user, in view of the last messages."""
    history = history_of(session_id)
    question = HumanMessage(said.text)
    answer = await model.ainvoke([*await history.aget_messages(limit=20), question])
    # Both in one step, so nobody else's messages come between them.
    await history.aadd_messages([question, answer])
    return show(answer)


@app.get("/sessions/{session_id}/messages")
async def read(session_id: str, limit: int = 50, before: str | None = None) -> list[Shown]:
    """Returns the last messages, or those before one that the page already shows."""
    messages = await history_of(session_id).aget_messages(limit=limit, before=before)
    return [show(message) for message in messages]


@app.delete("/sessions/{session_id}")
async def forget(session_id: str) -> None:
    """Forgets a session."""
    await history_of(session_id).aclear()
