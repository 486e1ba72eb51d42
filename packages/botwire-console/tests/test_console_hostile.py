"""Hostile names and texts, everywhere on every page."""

from __future__ import annotations

import base64
import json
import re
from urllib.parse import quote

import httpx
import pytest

from botwire import Author, Memory, framing, list_parts
from botwire.messages import Message, Native, ToolCall
from botwire.names import join_parts
from botwire_console import rendering
from tests.browsing import Browser, address, parse

MARK = "bwevil"
HOSTILE = [
    f"<{MARK}>",
    f'"><script>{MARK}()</script><{MARK} x="',
    f"' {MARK}=1 onmouseover='{MARK}()",
    f"</textarea></pre></title></script><{MARK}>",
    f"<!--<{MARK}>--><![CDATA[<{MARK}>]]>",
    f"javascript:{MARK}()",
    f"{{{{ 7*7 }}}}{{% raw %}}<{MARK}>",
    f"&lt;{MARK}&gt;&#60;{MARK}&#62;",
    f"x\r\nSet-Cookie: {MARK}=1\r\n\r\n<{MARK}>",
    f"\x00\x1b[31m\u202e<{MARK}>\ud800\u2028\ufeff",
    f"../../{MARK}/%2e%2e%2f?a=b&c=d#e+%00",
    f"data:text/html,<{MARK}>",
    f'hx-get="/{MARK}" hx-on:click="{MARK}()"',
]
TAGS = (
    "a b bdi body br button code dd del details div dl dt figcaption figure form h1 h2 h3 head "
    "header html img input ins label li link main meta nav ol option p polyline pre progress "
    "script section select span summary svg table tbody td textarea th thead time title tr ul"
)
ATTRIBUTES = (
    "action alt aria-current aria-hidden aria-label aria-labelledby autocomplete autofocus charset "
    "checked class content data-all data-live data-seq datetime defer dir "
    "disabled for formaction height href hx-get hx-swap hx-target http-equiv id inputmode lang "
    "loading max maxlength method min name placeholder points preserveaspectratio readonly "
    "rel required reversed role rows scope selected size spellcheck src tabindex title type value "
    "viewbox width"
)
ADDRESSES = ("action", "formaction", "href", "src", "hx-get", "data-live")


def check(answer: httpx.Response) -> None:
    """Checks that a page contains only our own markup, attributes and addresses."""
    assert MARK not in str(dict(answer.headers))
    for name, value in rendering.HEADERS.items():
        assert answer.headers[name] == value
    page = parse(answer)
    for tag, attributes in page.tags:
        assert tag in TAGS.split(), tag
        assert attributes.keys() <= set(ATTRIBUTES.split()), attributes
        for name in ADDRESSES:
            if (value := attributes.get(name)) is not None:
                assert value.isascii()
                assert value.startswith(("/console", "#item-", "#main")), value
    scripts = [attributes["src"] for tag, attributes in page.tags if tag == "script"]
    assert all((source or "").startswith("/console/static/") for source in scripts)
    assert "\x00" not in answer.text
    assert "\u202e" not in answer.text


def write_thread(memory: Memory, text: str, blob: bytes | None = None) -> None:
    """Stores two checkpoints in the form of botwire-langgraph, with a channel called `text`."""

    def typed(value: object) -> list[str]:
        return ["json", base64.b64encode(json.dumps(value).encode()).decode()]

    memory.set(join_parts("heads", text, ""), {})
    for id, version in (("before", "1"), (text, text)):
        memory.set(
            join_parts("checkpoints", text, "", id),
            {
                "thread_id": text,
                "checkpoint_ns": "",
                "id": id,
                "parent": text,
                "checkpoint": typed({"ts": text, "channel_versions": {text: version}}),
                "metadata": typed({"source": text, "step": 1}),
                "lists": {},
                "ends": {},
            },
        )
        plain = b"json\x00" + json.dumps([text, version]).encode()
        memory.set(join_parts("blobs", text, "", text, version), blob or plain)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_stored_stays_text(server_url: str, browser: Browser, text: str) -> None:
    author = Author(*(text.encode("utf-8", "replace").decode()[:60],) * 3)
    namespace = text[:60]
    with Memory(namespace, url=server_url, author=author) as memory:
        memory.set(text, {text: [text]})
        memory.set(f"{text}/below", text)
        history = memory.history(text)
        history.set_metadata({"title": text, text[:40]: text, "owner": text})
        native = {"content": [{"type": "thinking", "thinking": text}]}
        history.extend(
            [
                Message(
                    "assistant",
                    text,
                    name=text,
                    tool_calls=(ToolCall(text, text, {text: text}), ToolCall("c", text, text)),
                    native=Native(text, 1, native),
                ).to_item(),
                Message("tool", text, name=text, tool_call_id=text).to_item(),
                Message("tool", text * 20, tool_call_id="none").to_item(),
                Message("user", text).to_item(),
                {"framework": text, "format": 1, "data": text},
                text,
                {text: text},
            ]
        )
        memory.remember(text, tags=[text], id="hostile", ttl=3600)
        write_thread(memory, text)
        memory.keep_past(3600)
        memory.set(text, text)
        memory.set(text, {text: [text]})
    seen = [browser.get()]
    for view, names in (
        ("namespace", {}),
        ("keys", {}),
        ("keys", {"prefix": text}),
        ("key", {"key": text}),
        ("key", {"prefix": text}),
        ("key", {"key": f"{text}/below", "saved": text}),
        ("conversations", {}),
        ("conversations", {"prefix": text}),
        ("conversation", {"name": text}),
        ("item", {"name": text, "seq": 1, "saved": text}),
        ("item", {"name": text, "seq": 6}),
        ("live", {}),
        ("memories", {}),
        ("memories", {"tag": text, "about": "/" + text}),
        ("memory", {"id": "hostile", "saved": text}),
        ("recall", {"q": text, "about": "/x", "tags": text}),
        ("search", {"q": text}),
        ("search", {"q": MARK}),
        ("usage", {"plan": 1}),
        ("threads", {}),
        ("thread", {"thread": text}),
        ("thread/step", {"thread": text, "id": text}),
        ("thread/step", {"thread": text, "id": text, "with": "before"}),
        ("changes", {"undone": text}),
        ("key/versions", {"key": text}),
    ):
        answer = browser.get(view, ns=namespace, **names)
        assert answer.status_code == 200, answer.text
        seen.append(answer)
    seen += [browser.get("usage"), browser.get("health"), browser.get("api-keys")]
    chosen = quote(text, safe="", errors="surrogatepass")
    for kind in ("keys", "conversations"):
        seen.append(browser.post(address("selection", ns=namespace, kind=kind), n=chosen))
        assert seen[-1].status_code == 200
    named = quote(namespace, safe="", errors="surrogatepass")
    seen.append(browser.post("namespaces/selection", n=named))
    assert seen[-1].status_code == 200
    here = address("key", ns=namespace, key=text)
    typed = f"no JSON {text}".encode("utf-8", "surrogatepass")
    seen += [browser.post(here, version=version, value=typed) for version in (99, 1)]
    seen.append(browser.post(here, version=99, value=f'"{MARK}"'))
    assert [answer.status_code for answer in seen[-3:]] == [422, 422, 409]
    for view in ("image", "nothing", quote(text, safe="", errors="surrogatepass")):
        seen.append(browser.get(view, ns=namespace, name=text, seq=text, n=text, after=text))
        assert seen[-1].status_code in (400, 404)
    seen.append(browser.get("keys", ns=""))
    for answer in seen:
        check(answer)
    # Links to an entry with such a name work.
    links = browser.see("keys", ns=namespace, prefix=text).links("key")
    assert address("key", ns=namespace, key=text) in links


@pytest.mark.parametrize(
    "spans",
    ["[", "{}", "[1]", "[[1]]", '[["a", 1]]', "[[1, 1e9]]", "[[1, 1000000000]]", "[[5, 2]]"],
)
def test_a_list_that_names_no_parts_is_shown_as_such(
    server_url: str, browser: Browser, spans: str
) -> None:
    with Memory("forged", url=server_url) as memory:
        write_thread(memory, "t", list_parts.MARK + spans.encode())
    text = browser.see("thread/step", ns="forged", thread="t", id="t").text
    assert "it cannot be read" in text or "too long to be shown" in text


def test_a_list_with_parts_that_are_gone_shows_the_others(
    server_url: str, browser: Browser
) -> None:
    prefix = join_parts("parts", "t", "", "t") + "/"
    with Memory("forged", url=server_url) as memory:
        write_thread(memory, "t", list_parts.MARK + b"[[1, 2], [3, 3, 1, 1000000000]]")
        for number in (1, 3):
            items = [b"json\x00" + json.dumps(f"item {number}-{i}").encode() for i in (0, 1)]
            memory.set(list_parts.part_key(prefix, number), framing.join(items))
    text = browser.see("thread/step", ns="forged", thread="t", id="t").text
    assert re.findall(r"item \d-\d", text) == ["item 1-0", "item 1-1", "item 3-1"]


def test_a_hostile_host_header_stays_text(browser: Browser) -> None:
    host = 'localhost"><bwevil>'
    answer = browser.http.get(address("keys", ns="n"), headers={"Host": host})
    check(answer)


def test_labels_and_namespaces_of_api_keys_stay_text(
    administered: tuple[str, str, object],
) -> None:
    url, secret, _ = administered
    admin = Browser(url, secret)
    for text in HOSTILE:
        sent = text.encode("utf-8", "replace")
        fields = {"label": sent, "right": "read", "days": 1}
        made = admin.post("api-keys", **fields, namespaces=sent.replace(b",", b"")[:60])
        check(made)
        check(admin.post("api-keys", **fields, namespaces="", writes=sent))
    for view in ("api-keys", "audit"):
        check(admin.get(view))


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_the_form_to_sign_in_shows_nothing_as_markup(
    keyed: tuple[str, dict[str, str]], text: str
) -> None:
    browser = Browser(keyed[0])
    check(browser.get("keys", ns=text))
    sent = text.encode("utf-8", "replace")
    check(browser.post("sign-in", key=sent, next=sent))
