"""The HTTP API under /v1: every operation, conditions, retries, watching."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from botwire import Memory
from botwire import operations as ops
from botwire.errors import PROBLEM_TYPES
from botwire_server import openapi, routes
from conftest import read_url, running

ODD = ["a/b", "..", "%2F", "?", "#", "\n", "\x00", "é😀", "\ud800", "get", "delete"]


def segment(name: str) -> str:
    """Returns a name as one path segment, with every byte encoded."""
    return "".join(f"%{byte:02X}" for byte in name.encode("utf-8", "surrogatepass"))


@pytest.fixture(scope="module")
def client(server_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server_url) as client:
        yield client


@pytest.fixture
def base(namespace: str) -> str:
    """The address of an empty namespace."""
    return f"/v1/namespaces/{namespace}"


def problem(response: httpx.Response, status: int, says: str = "") -> dict[str, Any]:
    """Checks that an answer is a problem document, and returns it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["type"] in PROBLEM_TYPES
    assert document["status"] == status
    assert says in document["detail"]
    return document


def done(response: httpx.Response) -> Any:
    """Returns the answer of a successful request."""
    assert response.status_code == 200, response.text
    return response.json()


# --- every operation ------------------------------------------------------------------------


def test_many_keys_at_once(client: httpx.Client, base: str) -> None:
    values = {name: index for index, name in enumerate(ODD)}
    set_ = done(client.post(f"{base}/entries/set", content=json.dumps({"values": values})))
    assert set_["versions"].keys() == values.keys()
    asked = json.dumps({"keys": [*ODD, "none"]})
    *entries, missing = done(client.post(f"{base}/entries/get", content=asked))["result"]
    assert {entry["key"]: entry["value"] for entry in entries} == values
    assert missing is None
    found, after = [], None
    while True:
        query = "" if after is None else f"&after={segment(after)}"
        page = client.get(f"{base}/entries?limit=1{query}").json()
        found += [(entry["key"], entry["value"]) for entry in page["entries"]]
        if not page["more"]:
            break
        after = found[-1][0]
    assert found == sorted(values.items())
    raw = f"{base}/entries?descending=true&limit=1&before={segment('get')}"
    assert done(client.get(raw))["entries"][0]["key"] == max(name for name in ODD if name < "get")
    assert done(client.get(f"{base}/entries/count?prefix=%2e"))["result"] == 1
    assert done(client.delete(f"{base}/keys?prefix={segment('é😀')}"))["result"] == 1
    assert done(client.delete(f"{base}/keys?all=true"))["result"] == len(ODD) - 1
    problem(client.post(f"{base}/entries/set", json={"values": [1]}), 400, "values")
    problem(client.post(f"{base}/entries/set", json={"values": {"": 1}}), 400, "values['']")


def test_bytes_may_expire_and_be_conditional(client: httpx.Client, base: str) -> None:
    kind = {"Content-Type": "application/octet-stream"}
    url = f"{base}/keys/raw"
    done(client.put(url, content=b"\x00", headers=kind, params={"ttl": 60, "if_version": 0}))
    assert done(client.get(url))["expires_at"] is not None
    problem(client.put(url, content=b"\x01", headers=kind, params={"if_version": 0}), 409)
    problem(client.put(url, json={"value": 1, "ttl": 5}, params={"ttl": 6}), 400, "'ttl'")


def test_items_one_by_one(client: httpx.Client, base: str) -> None:
    url = f"{base}/histories/{segment('h/?')}"
    done(client.post(f"{url}/items", json={"values": ["a", "b", "c", "d"]}))
    assert done(client.get(f"{url}/items/2"))["value"] == "b"
    done(client.post(f"{url}/archive", json={"up_to": 2}))
    assert done(client.get(f"{url}/items/2"))["value"] == "b"
    assert done(client.delete(f"{url}/items?seq=1&seq=3&seq=9"))["result"] == 2
    problem(client.get(f"{url}/items/3"), 404)
    problem(client.get(f"{url}/items/0"), 400)
    assert done(client.post(f"{url}/pop"))["value"] == "d"
    assert done(client.post(f"{url}/pop")) == {"result": None}


def test_records(client: httpx.Client, base: str) -> None:
    url = f"{base}/collections/{segment('c/?')}"
    facts = [
        {"id": name, "text": f"fact {name}", "metadata": {"n": index}, "scope": f"/s{index % 2}",
         "tags": ["even" if index % 2 == 0 else "odd"], "embedding": [1.0, float(index)]}
        for index, name in enumerate(ODD)
    ]  # fmt: skip
    put = client.post(f"{url}/records", content=json.dumps({"records": facts}))
    assert len(done(put)["result"]) == len(ODD)
    for name in ODD:
        assert done(client.get(f"{url}/records/{segment(name)}"))["text"] == f"fact {name}"
    wanted = {"scope": "/s1", "tag": "odd", "filter": '{"n": {"$lt": 4}}'}
    listed = done(client.get(f"{url}/records", params=wanted))
    assert {record["metadata"]["n"] for record in listed["records"]} == {3, 1}
    assert listed["records"][0]["embedding"] is None
    where = {"filter": {"n": {"$gte": 4}}}
    search = {"vector": [0, 1], "where": where, "limit": 2, "embeddings": False}
    matches = done(client.post(f"{url}/search", json=search))["result"]
    assert [match["record"]["metadata"]["n"] for match in matches] == [10, 9]
    found = done(client.post(f"{url}/get", json={"ids": ["get", "no"]}))["result"]
    assert (found[0]["id"], found[1]) == ("get", None)
    changed = client.patch(f"{url}/records", json={"ids": ["get"], "metadata": {"seen": True}})
    assert done(changed)["result"] == 1
    assert done(client.get(f"{url}/stat", params={"filter": '{"seen": true}'}))["count"] == 1
    assert done(client.get(f"{url}/scopes"))["result"] == ["/s0", "/s1"]
    assert done(client.get(f"{url}/tags"))["result"] == [
        {"tag": "even", "count": 6}, {"tag": "odd", "count": 5}
    ]  # fmt: skip
    assert done(client.get(f"{base}/collections"))["collections"] == ["c/?"]
    assert client.delete(f"{url}/records/{segment('get')}").status_code == 204
    problem(client.delete(f"{url}/records/{segment('get')}"), 404)
    assert done(client.post(f"{url}/delete", json={"where": where}))["result"] == 6
    problem(client.post(f"{url}/delete", json={}), 400, "all=True")
    assert done(client.post(f"{url}/delete", json={"all": True}))["result"] == 4
    problem(client.get(f"{url}/records", params={"filter": "{"}), 400, "not JSON")
    problem(client.get(f"{url}/records", params={"filter": '{"$x": 1}'}), 400, "$x")
    problem(client.get(f"{url}/records", params={"created_after": "soon"}), 400, "ISO 8601")


def test_every_operation_of_memory_has_an_address_and_all_are_described(
    client: httpx.Client,
) -> None:
    document = done(client.get("/openapi.json"))
    text = json.dumps(document)
    sources = "".join(file.read_text() for file in Path(routes.__file__).parent.glob("*.py"))
    for name, shape in ops.OPERATIONS.items():
        addressed = f".{shape.make.__name__}(" in sources or f'"{name}"' in sources
        # A check is part of a transaction; the others belong to exports and to the routes of
        # retention.
        in_batches = name.startswith(("check_", "dump_", "restore_"))
        in_batches |= shape.make.__module__ == "botwire.operations.retention"
        in_batches |= name in ("list_key_stats", "list_expiring", "list_usage")  # the console
        assert addressed or in_batches, name
    batch = document["components"]["schemas"]["Batch"]["properties"]["operations"]["items"]["oneOf"]
    described = {part["$ref"].rpartition("/")[2] for part in batch}
    assert described == {f"Do{shape.make.__name__}" for shape in ops.OPERATIONS.values()}
    for name in described:
        assert document["components"]["schemas"][name]["properties"]["op"]
    for path, methods in document["paths"].items():
        if not path.startswith(("/v1", "/memory")):
            continue
        for method, operation in methods.items():
            where = f"{method} {path}"
            assert operation["summary"], where
            assert operation["description"], where
            answers = operation["responses"]
            assert any(status in answers for status in ("200", "204")), where
            for status, answer in answers.items():
                for content in answer.get("content", {}).values():
                    assert content["schema"], (where, status)
                    assert "example" in content, (where, status)
            if path.startswith("/v1"):
                assert {"400", "401", "403", "413", "429", "500"} <= answers.keys(), where
                if method != "get" and operation["operationId"] not in openapi.REPEATABLE:
                    sent = [parameter["name"] for parameter in operation["parameters"]]
                    assert "Idempotency-Key" in sent, where
    for schema in ("KeyEntry", "HistoryItem", "RecordEntry", "ChangeEntry", "Problem"):
        assert f"#/components/schemas/{schema}" in text


def test_a_store_is_kept(tmp_path: Path) -> None:
    with running(tmp_path / "memory.db") as server:
        with httpx.Client(base_url=read_url(server)) as client:
            names = ["a", "b/c", "é"]
            for name in names:
                done(client.put(f"/v1/namespaces/{segment(name)}/keys/k", json={"value": name}))
            listed = done(client.get("/v1/namespaces?limit=2"))
            assert [one["name"] for one in listed["namespaces"]] == names[:2]
            after = segment(names[1])
            listed = done(client.get(f"/v1/namespaces?after={after}"))
            assert ([one["name"] for one in listed["namespaces"]], listed["more"]) == (["é"], False)
            base = f"/v1/namespaces/{after}"
            assert done(client.get(f"{base}/stat"))["keys"] == 1
            assert done(client.post(f"{base}/check")) == {"result": []}
            erased = done(client.post(f"{base}/forget"))["result"]
            assert {"kind": "keys", "count": 1} in erased
            problem(client.get(f"{base}/keys/k"), 404)
            assert done(client.get("/v1/store"))["engine"] == "sqlite"
            assert done(client.post("/v1/store/check")) == {"result": []}
            assert done(client.post("/v1/store/compact"))["rewritten"] is True
            assert done(client.get("/v1/namespaces/a/keys/k"))["value"] == "a"
        server.terminate()


# --- conditions -----------------------------------------------------------------------------


def test_an_etag_saves_the_body(client: httpx.Client, base: str) -> None:
    written = client.put(f"{base}/keys/k", json={"value": "long"})
    read = client.get(f"{base}/keys/k")
    tag = read.headers["etag"]
    assert tag == written.headers["etag"] == f'"{read.json()["version"]}"'
    for header in (tag, f"W/{tag}", f'"0", {tag}', "*"):
        again = client.get(f"{base}/keys/k", headers={"If-None-Match": header})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    client.put(f"{base}/keys/k", json={"value": "longer"})
    assert client.get(f"{base}/keys/k", headers={"If-None-Match": tag}).json()["value"] == "longer"
    problem(client.get(f"{base}/keys/k", headers={"If-Match": tag}), 412)
    problem(client.get(f"{base}/keys/none", headers={"If-None-Match": tag}), 404)
    problem(client.get(f"{base}/keys/k", headers={"If-None-Match": "7"}), 400, "entity tags")


@pytest.mark.parametrize("kind", ["keys", "collections/c/records"])
def test_conditions_on_writes(client: httpx.Client, base: str, kind: str) -> None:
    url = f"{base}/{kind}/k"
    body = {"value": 1} if kind == "keys" else {"text": "t", "metadata": {}}

    def put(**headers: str) -> httpx.Response:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return client.put(url, json=body, headers=names)

    problem(put(If_Match="*"), 412, "it does not exist")
    problem(put(If_Match='"1"'), 412)
    tag = put(If_None_Match="*").headers["etag"]
    problem(put(If_None_Match="*"), 412, tag)
    problem(put(If_Match='"999", "998"'), 412, tag)
    problem(put(If_Match=f"W/{tag}"), 412)
    problem(put(If_None_Match=tag), 412)
    newer = put(If_Match=f'"999", {tag}').headers["etag"]
    problem(put(If_Match=tag), 412, newer)
    assert put(If_Match="*").status_code == 200
    assert put(If_None_Match=tag).status_code == 200
    twice = {**body, "if_version": 1}
    problem(client.put(url, json=twice, headers={"If-Match": tag}), 400, "not both")
    problem(client.put(url, json=twice), 409, "expected")


def test_a_conditional_delete(client: httpx.Client, base: str) -> None:
    tag = client.put(f"{base}/keys/k", json={"value": 1}).headers["etag"]
    problem(client.delete(f"{base}/keys/k", headers={"If-Match": '"999"'}), 412)
    problem(client.delete(f"{base}/keys/k", params={"if_version": 999}), 409)
    assert client.delete(f"{base}/keys/k", headers={"If-Match": tag}).status_code == 204
    problem(client.delete(f"{base}/keys/k", headers={"If-Match": "*"}), 412)


def test_what_cannot_be_conditional_says_so(client: httpx.Client, base: str) -> None:
    for method, path in (
        ("DELETE", "/keys?all=true"),
        ("POST", "/keys/k/increment"),
        ("POST", "/histories/h/items"),
        ("POST", "/histories/h/pop"),
        ("DELETE", "/collections/c/records/k"),
    ):
        answer = client.request(method, base + path, headers={"If-Match": '"1"'})
        problem(answer, 400, "cannot be conditional")


# --- requests that are sent again -----------------------------------------------------------


def test_every_write_may_be_sent_again(client: httpx.Client, base: str) -> None:
    record = {"records": [{"id": "r", "text": "t", "metadata": {}}]}
    c = "/collections/c"
    requests: list[tuple[str, str, dict[str, Any]]] = [
        ("PUT", "/keys/k", {"json": {"value": 1}}),
        ("POST", "/keys/n/increment", {"json": {"by": 2}}),
        ("POST", "/entries/set", {"json": {"values": {"a": 1}}}),
        ("DELETE", "/keys/a", {}),
        ("DELETE", "/keys?prefix=k", {}),
        ("POST", "/histories/h/items", {"json": {"values": [1, 2, 3, 4]}}),
        ("POST", "/histories/h/pop", {}),
        ("DELETE", "/histories/h/items/3", {}),
        ("DELETE", "/histories/h/items?seq=2", {}),
        ("POST", "/histories/h/archive", {"json": {"up_to": 1}}),
        ("PUT", "/histories/h/items", {"json": {"values": [9]}}),
        ("DELETE", "/histories/h", {}),
        ("POST", f"{c}/records", {"json": record}),
        ("PUT", f"{c}/records/q", {"json": {"text": "t", "metadata": {}}}),
        ("PATCH", f"{c}/records", {"json": {"ids": ["r"], "metadata": {"a": 1}}}),
        ("DELETE", f"{c}/records/q", {}),
        ("POST", f"{c}/delete", {"json": {"all": True}}),
    ]
    for number, (method, path, request) in enumerate(requests):
        headers = {"Idempotency-Key": f"request-{number}"}
        first = client.request(method, base + path, headers=headers, **request)
        assert first.status_code in (200, 204), (method, path, first.text)
        revision = done(client.get(f"{base}/changes"))["revision"]
        again = client.request(method, base + path, headers=headers, **request)
        assert (again.status_code, again.text) == (first.status_code, first.text), (method, path)
        assert done(client.get(f"{base}/changes"))["revision"] == revision, (method, path)


def test_a_conditional_write_may_be_sent_again(client: httpx.Client, base: str) -> None:
    for number, condition in enumerate(("*", '"999"')):
        headers = {"Idempotency-Key": f"id-{number}", "If-None-Match": condition}
        url = f"{base}/keys/{number}"
        first = client.put(url, json={"value": 1}, headers=headers)
        again = client.put(url, json={"value": 1}, headers=headers)
        assert (again.status_code, again.text) == (200, first.text)
        headers["Idempotency-Key"] = "other"
        if condition == "*":
            problem(client.put(url, json={"value": 1}, headers=headers), 412)


def test_a_used_id_of_another_request_is_refused(client: httpx.Client, base: str) -> None:
    headers = {"Idempotency-Key": "one"}
    assert client.put(f"{base}/keys/k", json={"value": 1}, headers=headers).status_code == 200
    says = "used by another request"
    problem(client.put(f"{base}/keys/k", json={"value": 2}, headers=headers), 422, says)
    problem(client.put(f"{base}/keys/j", json={"value": 1}, headers=headers), 422, says)
    problem(client.delete(f"{base}/keys/k", headers=headers), 422, says)
    namespace = base.rpartition("/")[2]
    batch = {"namespace": namespace, "operations": [{"op": "clear_keys"}]}
    problem(client.post("/v1/batch", json=batch, headers=headers), 422, says)
    assert done(client.get(f"{base}/keys/k"))["value"] == 1
    problem(client.put(f"{base}/keys/k", json={"value": 1}, headers={"Idempotency-Key": ""}), 400)


# --- changes as they happen -----------------------------------------------------------------


class Stream:
    """Reads server-sent events."""

    def __init__(self, response: httpx.Response) -> None:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        self._lines = response.iter_lines()

    def next(self) -> dict[str, str]:
        """Returns the fields of the next event."""
        fields = {}
        for line in self._lines:
            if not line:
                return fields
            name, _, value = line.partition(": ")
            fields[name] = value
        raise EOFError

    def change(self) -> tuple[int, str]:
        """Returns the revision and the name of the next change."""
        while True:
            event = self.next()
            if event.get("event") == "change":
                change = json.loads(event["data"])
                assert event["id"] == str(change["revision"])
                return change["revision"], change["name"]


def test_a_watch_goes_on_where_it_ended(
    client: httpx.Client, base: str, server_url: str, namespace: str
) -> None:
    memory = Memory(namespace, url=server_url)
    memory.set("before", 1)
    seen = []
    with client.stream("GET", f"{base}/watch") as response:
        stream = Stream(response)
        first = stream.next()
        assert (first["id"], "event" in first) == ("1", False)
        memory.set("a", 1)
        memory.history("h/😀").append(1)
        seen = [stream.change(), stream.change()]
    memory.set("while away", 1)
    with client.stream(
        "GET", f"{base}/watch", headers={"Last-Event-ID": str(seen[-1][0])}
    ) as response:
        stream = Stream(response)
        seen.append(stream.change())
        memory.delete("a")
        seen.append(stream.change())
    assert seen == [(2, "a"), (3, "h/😀"), (4, "while away"), (5, "a")]
    with client.stream("GET", f"{base}/watch", params={"after": 0, "prefix": "h"}) as response:
        assert Stream(response).change() == (3, "h/😀")
    problem(client.get(f"{base}/watch", headers={"Last-Event-ID": "x"}), 400, "Last-Event-ID")
    problem(client.get(f"{base}/watch", params={"after": -1}), 400, "after")
    listed = done(client.get(f"{base}/changes", params={"after": 3}))
    assert [change["name"] for change in listed["changes"]] == ["while away", "a"]


def test_a_stopping_server_ends_its_streams(tmp_path: Path) -> None:
    with running(tmp_path / "memory.db") as server:
        url = read_url(server)
        with httpx.stream("GET", f"{url}/v1/namespaces/n/watch", timeout=60) as response:
            stream = Stream(response)
            stream.next()
            server.terminate()
            with pytest.raises(EOFError):
                stream.next()  # an orderly end, not a broken connection
        server.wait(10)


def test_a_lost_watcher_costs_nothing(server_url: str, namespace: str) -> None:
    url = f"{server_url}/v1/namespaces/{namespace}"

    def watch(_: int) -> str:
        with httpx.stream("GET", f"{url}/watch") as response:
            return Stream(response).next()["id"]

    with ThreadPoolExecutor(20) as threads:
        assert set(threads.map(watch, range(20))) == {"0"}
    assert httpx.put(f"{url}/keys/k", json={"value": 1}).status_code == 200


def test_much_is_deleted_in_parts_and_counted_whole(client: httpx.Client, base: str) -> None:
    entries = [{"key": f"k{i:05}", "op": "put_key", "value": i} for i in range(1005)]
    items = {"op": "extend_history", "name": "h", "values": list(range(1005))}
    batch = {"namespace": base.rpartition("/")[2], "operations": [*entries, items]}
    done(client.post("/v1/batch", json=batch))
    assert done(client.delete(f"{base}/keys?prefix=k"))["result"] == 1005
    named = {"Idempotency-Key": "once"}
    assert done(client.delete(f"{base}/histories/h", headers=named))["result"] == 1005
    assert done(client.delete(f"{base}/histories/h", headers=named))["result"] == 1005
    assert done(client.delete(f"{base}/histories/h"))["result"] == 0
    put = {"records": [{"id": f"r{i}", "text": "tea", "metadata": {}} for i in range(205)]}
    done(client.post(f"{base}/collections/c/records", json=put))
    before = done(client.get(f"{base}/changes"))["revision"]
    deleted = client.post(f"{base}/collections/c/delete", json={"all": True})
    assert done(deleted)["result"] == 205
    assert done(client.get(f"{base}/changes"))["revision"] == before + 2  # the number of parts


def test_a_large_namespace_is_forgotten_in_parts(client: httpx.Client, base: str) -> None:
    namespace = base.rpartition("/")[2]
    operations = [{"op": "put_key", "key": f"k{i}", "value": i} for i in range(1005)]
    operations += [{"op": "extend_history", "name": f"h{i}", "values": [0] * 600} for i in (1, 2)]
    done(client.post("/v1/batch", json={"namespace": namespace, "operations": operations}))
    put = {"records": [{"id": f"r{i}", "text": "tea", "metadata": {}} for i in range(205)]}
    done(client.post(f"{base}/collections/c/records", json=put))

    def commits() -> int:
        text = client.get("/metrics").text
        found = re.search(r"^botwire_commit_seconds_count (\d+)", text, re.MULTILINE)
        assert found
        return int(found[1])

    before = commits()
    erased = done(client.post(f"{base}/forget"))["result"]
    assert commits() - before >= 7  # keys twice, a history twice, records twice, and what is left
    counts = {one["kind"]: one["count"] for one in erased}
    assert (counts["keys"], counts["items"], counts["records"]) == (1005, 1200, 205)
    assert done(client.get(f"{base}/stat"))["bytes"] == 0


def test_a_request_that_lists_too_much_is_refused(client: httpx.Client, base: str) -> None:
    many = list(range(10_001))
    named = {"values": {str(i): i for i in many}}
    for answer in (
        client.post(f"{base}/histories/h/items", json={"values": many}),
        client.put(f"{base}/histories/h/items", json={"values": many}),
        client.post(f"{base}/entries/set", json=named),
        client.post(f"{base}/entries/get", json={"keys": [str(i) for i in many]}),
    ):
        problem(answer, 413, "10,001")
    assert done(client.get(f"{base}/stat"))["items"] == 0
    assert done(client.post(f"{base}/histories/h/items", json={"values": many[1:]}))
    with Memory(base.rpartition("/")[2], url=str(client.base_url)) as memory:
        assert memory.get_many([str(i) for i in many]) == {}  # asked in parts
