"""A scripted Messages API for Claude, served on this machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar
from uuid import uuid4

from scripted import reply

Blocks = list[dict[str, Any]]
Model = Callable[[dict[str, Any]], Blocks]
"""Takes the request and returns the content of the answer."""

NOTES = "/memories/notes.md"


@contextmanager
def scripted_api(model: Model | None = None) -> Iterator[str]:
    """Serves a model; yields the URL of its API.

    Args:
        model: The model. Default: one that repeats what people said before, and that keeps it in
            its memory tool, if it has one.
    """

    class Handler(_Handler):
        says = staticmethod(model or _say)
        threads: ClassVar[dict[str, dict[str, Any]]] = {}

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


@contextmanager
def scripted_claude(model: Model | None = None) -> Iterator[dict[str, str]]:
    """Serves a model; yields the environment in which Claude Code uses it.

    Claude Code's own files are in a folder that does not stay, so what it remembers afterwards
    comes from BotWire.
    """
    with TemporaryDirectory(ignore_cleanup_errors=True) as home, scripted_api(model) as url:
        yield {
            "ANTHROPIC_API_KEY": "scripted",
            "ANTHROPIC_BASE_URL": url,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "CLAUDE_CONFIG_DIR": str(Path(home, "claude")),
            "HOME": home,
        }


def texts_of(content: Any) -> list[str]:
    """Returns the texts of a message, and those of the tool results in it."""
    if isinstance(content, str):
        return [content]
    texts = []
    for block in content:
        if block["type"] == "text":
            texts.append(block["text"])
        elif block["type"] == "tool_result":
            texts += texts_of(block.get("content", ""))
    return texts


class _Handler(BaseHTTPRequestHandler):
    says: Model
    threads: ClassVar[dict[str, dict[str, Any]]]
    """Each answer's request, by the answer's id: the next one may hold only what follows."""

    def do_POST(self) -> None:
        """Answers a request."""
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        before = self.threads.get(request.get("thread", {}).get("previous_message_id"), {})
        request["messages"] = [*before.get("messages", ()), *request["messages"]]
        request = before | request
        answer = {
            "id": f"msg_{uuid4().hex}",
            "type": "message",
            "role": "assistant",
            "model": request.get("model"),
            "content": self.says(request),
            "stop_sequence": None,
            "usage": {"input_tokens": 1, "output_tokens": 1},
        }
        said = {"role": "assistant", "content": answer["content"]}
        self.threads[answer["id"]] = request | {"messages": [*request["messages"], said]}
        calls = any(block["type"] == "tool_use" for block in answer["content"])
        answer["stop_reason"] = "tool_use" if calls else "end_turn"
        if request.get("stream"):
            kind, body = "text/event-stream", "".join(_events(answer))
        else:
            kind, body = "application/json", json.dumps(answer)
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *args: Any) -> None:
        """Prints nothing."""


def _events(answer: dict[str, Any]) -> Iterator[str]:
    yield _event("message_start", message=answer | {"content": [], "stop_reason": None})
    for index, block in enumerate(answer["content"]):
        if block["type"] == "text":
            empty, delta = block | {"text": ""}, {"type": "text_delta", "text": block["text"]}
        else:
            arguments = json.dumps(block["input"])
            delta = {"type": "input_json_delta", "partial_json": arguments}
            empty = block | {"input": {}}
        yield _event("content_block_start", index=index, content_block=empty)
        yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    stop = {"stop_reason": answer["stop_reason"], "stop_sequence": None}
    yield _event("message_delta", delta=stop, usage={"output_tokens": 1})
    yield _event("message_stop")


def _event(kind: str, **data: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n"


def _say(request: dict[str, Any]) -> Blocks:
    messages = request["messages"]
    received = [text for message in messages for text in texts_of(message["content"])]
    said = [
        text
        for message in messages
        if message["role"] == "user"
        for text in texts_of(message["content"])
    ]
    if any(tool.get("name") == "memory" for tool in request.get("tools", ())):
        return _remember(messages, received)
    return [{"type": "text", "text": reply(received, said)}]


def _remember(messages: Sequence[dict[str, Any]], received: Sequence[str]) -> Blocks:
    """Looks into the notes, adds what was said, and answers."""
    asked = max(i for i, message in enumerate(messages) if isinstance(message["content"], str))
    said = messages[asked]["content"]
    done = [texts_of(message["content"])[0] for message in messages[asked + 2 :: 2]]
    if not done:
        return _command(command="view", path=NOTES)
    if len(done) == 1 and "does not exist" in done[0]:
        return _command(command="create", path=NOTES, file_text=f"{said}\n")
    if len(done) == 1:
        return _command(command="insert", path=NOTES, insert_line=0, insert_text=said)
    notes = [line.split("\t", 1)[1] for line in done[0].splitlines() if "\t" in line]
    known = [note for note in notes if note]
    return [{"type": "text", "text": reply(received, [*reversed(known), said])}]


def _command(**command: Any) -> Blocks:
    return [{"type": "tool_use", "id": f"toolu_{uuid4().hex}", "name": "memory", "input": command}]
