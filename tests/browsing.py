"""A browser without scripts, for the console: it follows links, fills in forms, keeps cookies."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any, ClassVar
from urllib.parse import quote

import httpx


@dataclass
class Parsed(HTMLParser):
    """A page as a browser reads it."""

    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    found: list[tuple[str, int, int]] = field(default_factory=list)
    open: list[tuple[str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open.append((tag, len(self.pieces)))

    def handle_endtag(self, tag: str) -> None:
        while self.open:
            name, start = self.open.pop()
            if name == tag:
                self.found.append((tag, start, len(self.pieces)))
                return

    def texts(self, tag: str) -> list[str]:
        """Returns the text within each element of a kind."""
        return ["".join(self.pieces[start:end]) for name, start, end in self.found if name == tag]

    def handle_data(self, data: str) -> None:
        self.pieces.append(data)

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def all(self, tag: str, **having: str) -> list[dict[str, Any]]:
        return [
            attributes
            for name, attributes in self.tags
            if name == tag and having.items() <= attributes.items()
        ]

    def form(self, action: str) -> list[tuple[str, str]]:
        """Returns the fields of the first form with this action."""
        names = [name for name, _ in self.tags]
        start = self.tags.index(("form", self.all("form", action=action)[0]))
        rest = [one for one in names[start + 1 :] if one == "form"]
        end = start + 1 + names[start + 1 :].index("form") if rest else len(names)
        return [
            (str(one["name"]), str(one.get("value") or ""))
            for name, one in self.tags[start:end]
            if name == "input" and "name" in one
        ]

    def links(self, view: str) -> list[str]:
        """Returns the links in the rows of a list that lead to this view."""
        found = [
            attributes.get("href") or ""
            for _, attributes in self.tags
            if (attributes.get("class") or "").startswith("name")
        ]
        return [address for address in found if address.startswith(f"/console/{view}?")]


def parse(answer: httpx.Response) -> Parsed:
    page = Parsed()
    page.feed(answer.text)
    page.close()
    return page


class Browser:
    """A browser that runs no scripts, signed in or not; `close_all` closes those that are open."""

    opened: ClassVar[list[Browser]] = []

    def __init__(self, url: str, key: str | None = None) -> None:
        self.url = url
        self.http = httpx.Client(base_url=url, follow_redirects=False)
        self.opened.append(self)
        if key is not None:
            answer = self.post("sign-in", key=key, next="/console")
            assert answer.status_code == 303, answer.text

    @classmethod
    def close_all(cls) -> None:
        while cls.opened:
            cls.opened.pop().http.close()

    def get(self, view: str = "", **names: object) -> httpx.Response:
        return self.http.get(address(view, **names))

    def see(self, view: str = "", **names: object) -> Parsed:
        answer = self.get(view, **names)
        assert answer.status_code == 200, answer.text
        return parse(answer)

    def post(self, address: str, **fields: object) -> httpx.Response:
        path = address if address.startswith("/") else f"/console/{address}"
        return self.http.post(path, data=fields, headers={"Origin": self.url})

    def version(self, view: str, **names: object) -> str:
        """Returns the version that the form of a page would send."""
        (given,) = {one["value"] for one in self.see(view, **names).all("input", name="version")}
        return str(given)


def address(view: str = "", **names: object) -> str:
    query = "&".join(
        f"{name}={quote(str(value), safe='', errors='surrogatepass')}"
        for name, value in names.items()
    )
    return f"/console/{view}?{query}" if view else f"/console?{query}"


def all_rows(browser: Browser, first: str, view: str) -> list[str]:
    """Returns the links to a view on a page and on those that follow it."""
    found, following = [], first
    while following:
        answer = browser.http.get(following)
        assert answer.status_code == 200, answer.text
        parsed = parse(answer)
        found += parsed.links(view)
        more = [one["href"] for one in parsed.all("a", **{"class": "more"})]
        following = more[0] if more else ""
    return found


def squeezed(text: str) -> str:
    return re.sub(r"\s+", " ", text)
