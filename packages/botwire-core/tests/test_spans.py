"""Memory operations are OpenTelemetry spans that reveal no content."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from botwire import AsyncMemory, InvalidRequestError, Memory, Record
from botwire.client.spans import CONTENT_VARIABLE
from botwire.engines.http import AsyncHTTPEngine, HTTPEngine, frames


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """The spans that are finished."""
    monkeypatch.delenv("OTEL_SDK_DISABLED", raising=False)  # frameworks' tests trace nothing
    monkeypatch.delenv(CONTENT_VARIABLE, raising=False)
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield exporter
    provider.shutdown()


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return {
        name.removeprefix("gen_ai.memory."): value
        for name, value in (span.attributes or {}).items()
        if name not in ("gen_ai.operation.name", "gen_ai.memory.store.id", "botwire.collection")
    }


def use(memory: Memory) -> str:
    """Runs each operation that has a span once."""
    id = memory.remember("Ada likes tea.")
    memory.remember("Ada likes coffee.", id="c")
    memory.recall("what does Ada drink?")
    memory.recall()
    notes = memory.records("notes")
    notes.put([Record("one", "1", {"n": 1}), Record("two", "2")])
    notes.patch(["1"], {"n": 2})
    notes.search(text="one")
    notes.recall("two", limit=1)
    notes.delete(ids=["1"])
    notes.clear()
    return id


NAMES = ["create", "upsert", "search", "search", "upsert", "update", "search", "search", "delete"]


def test_each_operation_is_one_span_without_content(exported: InMemorySpanExporter) -> None:
    id = use(Memory("ada", url="sqlite://"))
    spans = exported.get_finished_spans()
    assert [span.name for span in spans] == [f"{name}_memory" for name in [*NAMES, "delete"]]
    for span in spans:
        assert span.attributes is not None
        assert span.attributes["gen_ai.operation.name"] == span.name
        assert span.attributes["gen_ai.memory.store.id"] == "ada"
        assert span.kind is trace.SpanKind.INTERNAL
        assert span.status.is_ok or span.status.is_unset
    assert [attributes(span) for span in spans] == [
        {"record.count": 1, "record.id": id},
        {"record.count": 1, "record.id": "c"},
        {"record.count": 2},
        {"record.count": 2},
        {"record.count": 2},
        {"record.count": 1, "record.id": "1"},
        {"record.count": 1},
        {"record.count": 1},
        {"record.count": 1, "record.id": "1"},
        {"record.count": 1},
    ]


def use_keys_and_histories(memory: Memory) -> list[tuple[str, list[str], list[str]]]:
    """Uses keys and histories, and returns what the spans must say."""
    memory.set("k", 1)
    memory.get("k")
    memory.increment("k")
    memory.delete("k")
    chat = memory.history("chat")
    chat.append("tea")
    chat.tail(1)
    chat.update(1, "coffee")
    with memory.transaction() as tx:
        tx.get("k")
        tx.set("k", 2)
        tx.history("chat").append("milk")
    chat.clear()
    return [
        ("upsert_memory", ["key"], ["PutKey"]),
        ("search_memory", ["key"], ["GetKeys"]),
        ("upsert_memory", ["key"], ["IncrementKey"]),
        ("delete_memory", ["key"], ["DeleteKey"]),
        ("create_memory", ["history"], ["ExtendHistory"]),
        ("search_memory", ["history"], ["ReadHistory"]),
        ("update_memory", ["history"], ["UpdateItem"]),
        ("search_memory", ["key"], ["GetKeys"]),
        ("upsert_memory", ["history", "key"], ["CheckKey", "PutKey", "ExtendHistory"]),
        ("delete_memory", ["history"], ["ClearHistory"]),
    ]


def test_keys_and_histories_have_spans_without_their_names(
    exported: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = use_keys_and_histories(Memory("ada", url="sqlite://"))
    spans = exported.get_finished_spans()
    told = [(span.name, span.attributes or {}) for span in spans]
    found = [(name, one["botwire.shapes"], one["botwire.operations"]) for name, one in told]
    assert found == [(name, tuple(shapes), tuple(names)) for name, shapes, names in expected]
    for span in spans:
        assert span.attributes is not None
        assert span.attributes["gen_ai.operation.name"] == span.name
        assert span.attributes["gen_ai.memory.store.id"] == "ada"
        assert not {"chat", "coffee"} & set(json.dumps(dict(span.attributes)).split('"'))
    exported.clear()
    monkeypatch.setenv(CONTENT_VARIABLE, "true")
    Memory("ada", url="sqlite://").get_many(["a", "b"])
    (span,) = exported.get_finished_spans()
    assert span.attributes is not None
    assert span.attributes["botwire.names"] == ("a", "b")


async def test_a_server_is_told_the_span_of_its_caller(exported: InMemorySpanExporter) -> None:
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json={"results": [1]})

    where = "http://memory.example"
    blocking = HTTPEngine(where, transport=httpx.MockTransport(answer))
    awaited = AsyncHTTPEngine(where, transport=httpx.MockTransport(answer))
    Memory("n", engine=blocking).set("k", 1)
    await AsyncMemory("n", engine=awaited).set("k", 1)
    with trace.get_tracer("app").start_as_current_span("turn") as turn:
        frame = frames.request(1, "{}", None)
    told = [request.headers["traceparent"] for request in requests]
    key = frame[2:6]
    head = bytes(byte ^ key[i % 4] for i, byte in enumerate(frame[6:])).partition(b"\n")[0]
    told.append(json.loads(head)["headers"]["traceparent"])
    contexts = [one.context for one in exported.get_finished_spans()]
    assert [one.split("-")[:3] for one in told] == [
        ["00", f"{one.trace_id:032x}", f"{one.span_id:016x}"] for one in contexts if one
    ]
    assert turn.get_span_context() == contexts[-1]
    exported.clear()
    frame = frames.request(1, "{}", None)
    assert len(frame) < len(head)  # no span, no headers


def test_awaited_operations_are_spans_below_their_task(exported: InMemorySpanExporter) -> None:
    async def remember(text: str) -> None:
        with trace.get_tracer("app").start_as_current_span(text):
            await memory.remember(text)

    async def run() -> None:
        await asyncio.gather(*[remember(text) for text in "abc"])

    memory = AsyncMemory("ada", url="sqlite://")
    asyncio.run(run())
    spans = {span.context.span_id: span for span in exported.get_finished_spans() if span.context}
    made = [span for span in spans.values() if span.name == "create_memory"]
    assert sorted(spans[span.parent.span_id].name for span in made if span.parent) == list("abc")


def test_content_is_recorded_if_asked_for(
    exported: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CONTENT_VARIABLE, "true")
    memory = Memory("ada", url="sqlite://")
    memory.records().put([Record("tea \ud800", "1", {"n": 1})])
    (match,) = memory.records().search(text="tea")
    put, search = (attributes(span) for span in exported.get_finished_spans())
    described = {"id": "1", "content": "tea \ud800", "metadata": {"n": 1}}
    assert json.loads(put["records"]) == [described]
    assert search["query.text"] == "tea"
    assert json.loads(search["records"]) == [{**described, "score": match.score}]


def test_an_error_is_named_and_not_quoted(exported: InMemorySpanExporter) -> None:
    records = Memory("ada", url="sqlite://").records()
    records.put([Record("secret", "1", embedding=[1.0])])
    with pytest.raises(InvalidRequestError):
        records.put([Record("secret", "2", embedding=[1.0, 2.0])])
    span = exported.get_finished_spans()[-1]
    assert (span.status.status_code, span.status.description) == (trace.StatusCode.ERROR, None)
    assert span.attributes is not None
    assert span.attributes["error.type"] == "InvalidRequestError"
    assert span.events == ()
    assert "secret" not in span.to_json()


def test_a_server_is_named_without_its_password(exported: InMemorySpanExporter) -> None:
    from botwire.client.spans import memory_span

    class Engine:
        url = "postgresql://user:secret@db.example/memory"

    with memory_span("search_memory", Engine(), "n", "default"):
        pass
    (span,) = exported.get_finished_spans()
    assert span.kind is trace.SpanKind.CLIENT
    found = attributes(span)
    assert found == {"server.address": "db.example", "server.port": 5432}


def test_nothing_is_imported_for_it() -> None:
    program = (
        "import sys; from botwire import Memory; Memory('n', url='sqlite://').remember('x'); "
        "sys.exit(any(name.partition('.')[0] == 'opentelemetry' for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0


def test_a_memory_with_an_embedder_has_its_author() -> None:
    def embed(texts: list[str]) -> list[list[float]]:
        return [[1.0] for _ in texts]

    memory = Memory("ada", url="sqlite://", author="writer", embed=embed)
    memory.remember("Ada likes tea.")
    (record,) = memory.records().list()
    assert str(record.author) == "writer"
