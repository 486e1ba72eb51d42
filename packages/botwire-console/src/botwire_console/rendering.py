"""Pages: the one place where stored text becomes HTML.

Everything a template prints passes through `show` and is then escaped. Templates mark nothing as
safe.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import Response

from botwire.clock import to_datetime
from botwire_console.links import encoded, link

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""The headers of every answer. No page runs or loads anything but this package's own files."""

FILES = {
    "console.css": "text/css; charset=utf-8",
    "console.js": "text/javascript; charset=utf-8",
    "htmx.min.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
"""The files of ``static`` to serve, and their types."""

# Control characters, and characters that hide text or change its direction.
_ODD = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff"
    "\ud800-\udfff]|\r(?!\n)"
)
_KIB = 1024


def show(value: Any) -> Any:
    r"""Returns printed text, with control characters made visible, like ``\u202e``.

    In JSON this is the same text, because such characters only occur inside strings.
    """
    if value is None:
        return ""
    if isinstance(value, Markup):
        return value
    return _ODD.sub(lambda found: f"\\u{ord(found[0]):04x}", str(value))


def moment(value: datetime | int | None) -> datetime | None:
    """Returns a time in UTC; a number is in microseconds since 1970."""
    return to_datetime(value) if isinstance(value, int) else value


def number(value: int) -> str:
    """Returns a number with thousands separators."""
    return f"{value:,}"


def counted(count: int, noun: str) -> str:
    """Returns a number of things with the noun for one of them, which ``s`` makes plural."""
    return f"{number(count)} {noun}" if count == 1 else f"{number(count)} {noun}s"


def size(count: int) -> str:
    """Returns a number of bytes in readable form."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < _KIB:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 10 else f"{amount:.1f} {unit}"
        amount /= _KIB
    return f"{amount:.1f} TB"


def shortened(text: str, most: int = 120) -> str:
    """Returns the beginning of a text on one line."""
    start = " ".join(text[: most * 4].split())
    return start if len(start) <= most and len(text) <= most * 4 else f"{start[:most].rstrip()}…"


@cache
def file(name: str) -> bytes:
    """Returns the content of a file in ``static``."""
    return resources.files("botwire_console").joinpath("static", name).read_bytes()


def asset(name: str) -> str:
    """Returns the address of a file in ``static``, which changes with its content."""
    return link(f"static/{name}", v=hashlib.sha256(file(name)).hexdigest()[:12])


@cache
def templates() -> Environment:
    """Returns the environment of the templates."""
    environment = Environment(
        loader=PackageLoader("botwire_console"),
        autoescape=True,
        finalize=show,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "counted": counted,
        "encoded": encoded,
        "moment": moment,
        "number": number,
        "short": shortened,
        "size": size,
    }
    environment.globals |= {"asset": asset, "link": link, "utc": UTC}
    return environment


def render(template: str, **context: Any) -> str:
    """Returns a template as text."""
    return templates().get_template(template).render(context)


def html(text: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Returns a page as an answer."""
    return Response(
        text.encode("utf-8", "backslashreplace"),
        status,
        {**HEADERS, **(headers or {})},
        "text/html; charset=utf-8",
    )
