"""Every command in docs/http-api.md runs and returns what the page shows."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from conftest import read_url, running

PAGE = Path(__file__).resolve().parents[2] / "docs/http-api.md"


def commands() -> list[tuple[str, str]]:
    """Returns each command of the page with the answer shown for it, if any."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ curl "):
                found.append((line.removeprefix("$ "), ""))
            elif line.startswith("{"):
                found[-1] = (found[-1][0], line)
    return found


def run(client: httpx.Client, command: str, base: str) -> httpx.Response:
    """Does what curl would do; not every machine has curl."""
    for name, value in (
        ("${BASE%/v1*}", base.partition("/v1")[0]),
        ("${BASE%/namespaces*}", base.partition("/namespaces")[0]),
        ("${BASE%/ada}", base.removesuffix("/ada")),
        ("$BASE", base),
        ("$RETENTION", base.partition("/namespaces")[0] + "/retention"),
    ):
        command = command.replace(name, value)
    _, *words = shlex.split(command)
    method, body, url, query = None, None, "", None
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    stream = False
    while words:
        word = words.pop(0)
        if word == "-X":
            method = words.pop(0)
        elif word == "-I":
            method = "HEAD"
        elif word == "-H":
            name, _, value = words.pop(0).partition(": ")
            headers[name] = value
        elif word in ("-d", "--data-binary"):
            body = words.pop(0)
        elif word == "--data-urlencode":
            query = [tuple(words.pop(0).split("=", 1))]
        elif word in ("-G", "-N"):
            stream = word == "-N"
        else:
            url = word
    if body is None:
        del headers["Content-Type"]
    method = method or ("GET" if body is None else "POST")
    request = client.build_request(method, url, content=body, headers=headers, params=query)
    response = client.send(request, stream=stream)
    if stream:  # never ends
        for line in response.iter_lines():
            if line.startswith("data: "):
                break
        response.close()
    return response


def shows(answer: Any, shown: Any) -> bool:
    """Returns whether everything shown is in the answer."""
    if isinstance(shown, dict):
        return all(name in answer and shows(answer[name], part) for name, part in shown.items())
    if isinstance(shown, list):
        return len(answer) == len(shown) and all(map(shows, answer, shown))
    return bool(answer == shown)


def test_every_line_of_the_page_runs(tmp_path: Path) -> None:
    with running(tmp_path / "memory.db") as server, httpx.Client() as client:
        base = f"{read_url(server)}/v1/namespaces/ada"
        for command, shown in commands():
            response = run(client, command, base)
            expected = json.loads(shown) if shown else {}
            assert response.status_code in (expected.get("status"), 200, 204), (
                command,
                response.text,
            )
            if shown:
                assert shows(response.json(), expected), (command, response.text)
        described = client.get(base.partition("/v1")[0] + "/openapi.json").json()
        server.terminate()
    page = PAGE.read_text()
    for path in described["paths"]:
        last = [part for part in path.split("/") if part and not part.startswith("{")][-1]
        assert re.search(rf"/{last}\b", page) or not path.startswith("/v1"), path


def test_every_problem_is_on_the_page() -> None:
    from botwire.errors import PROBLEM_TYPES

    text = PAGE.read_text()
    for cls in PROBLEM_TYPES.values():
        assert f"`{cls.slug}`" in text
        assert str(cls.status) in text


@pytest.mark.parametrize("shown", [{"a": 1}, [1, {"b": 2}]])
def test_the_comparison_can_fail(shown: Any) -> None:
    assert shows(shown, shown)
    assert not shows(json.loads(json.dumps(shown).replace("1", "3")), shown)


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")
def test_the_javascript_of_the_page_runs(tmp_path: Path) -> None:
    (program,) = re.findall(r"^```js\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    with running(tmp_path / "memory.db") as process:
        address = read_url(process).removeprefix("http://")
        assert "127.0.0.1:8700" in program
        done = subprocess.run(
            # Before release 22, WebSocket is experimental.
            ["node", "--experimental-websocket", "--input-type=module"],
            input=program.replace("127.0.0.1:8700", address),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        process.terminate()
    assert (done.returncode, done.stdout) == (0, "dark\nput theme\n"), done.stderr
