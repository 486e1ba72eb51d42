"""The page ``/docs``, rendered from the OpenAPI description; it loads nothing from other hosts."""

from __future__ import annotations

import html
import json
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

router = APIRouter(include_in_schema=False)

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "summary{cursor:pointer}pre{background:#8882;padding:.6rem;overflow:auto}"
    "code b{display:inline-block;min-width:4.5rem}:root{color-scheme:light dark}"
)


@router.get("/docs")
async def read_docs(request: Request) -> HTMLResponse:
    """Returns the page."""
    state = request.app.state
    if state.docs is None:
        state.docs = render(request.app.openapi())
    return HTMLResponse(state.docs, headers=_HEADERS)


def render(description: dict[str, Any]) -> str:
    """Returns an OpenAPI description as an HTML page."""
    info = description["info"]
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>BotWire</title>',
        f"<style>{_STYLE}</style><h1>{_text(info['title'])} {_text(info['version'])}</h1>",
        f"<pre>{_text(info['description'].strip())}</pre>",
        '<p>For programs: <a href="openapi.json">openapi.json</a>.</p>',
    ]
    tag = None
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            [first, *_] = operation.get("tags") or ["other"]
            if first != tag:
                tag = first
                parts.append(f"<h2>{_text(tag)}</h2>")
            parts.append(_operation(method, path, operation))
    return "".join([*parts, "</html>"])


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    parameters = "".join(
        f"<li><code>{_text(one['name'])}</code> ({_text(one['in'])}) "
        f"{_text(one.get('description', ''))}</li>"
        for one in operation.get("parameters", ())
    )
    body = operation.get("requestBody", {})
    answer = operation.get("responses", {}).get("200", {})
    return (
        f"<details><summary><code><b>{method.upper()}</b> {_text(path)}</code> "
        f"{_text(operation.get('summary', ''))}</summary>"
        f"<p>{_text(operation.get('description', ''))}</p><ul>{parameters}</ul>"
        f"{_example('Body', body)}{_example('Answer', answer)}</details>"
    )


def _example(title: str, described: dict[str, Any]) -> str:
    content = described.get("content", {}).get("application/json", {})
    if "example" not in content:
        return ""
    return f"<p>{title}</p><pre>{_text(json.dumps(content['example'], indent=2))}</pre>"


def _text(text: str) -> str:
    return html.escape(text)
