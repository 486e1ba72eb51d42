"""Conversations of any framework."""

from __future__ import annotations

import base64

import pytest

from botwire import Author, Memory
from botwire.messages import Message, Native, ToolCall
from tests.browsing import Browser, address, all_rows, parse, squeezed

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def show(browser: Browser, memory: Memory, *values: object) -> str:
    memory.history("chat").extend(values)
    return squeezed(browser.see("conversation", ns=memory.namespace, name="chat").text)


def test_an_envelope_of_any_framework(browser: Browser, server_url: str, namespace: str) -> None:
    author = Author("support", framework="langchain", run="42")
    thinking = {"content": [{"type": "thinking", "thinking": "They ask for weather."}]}
    with Memory(namespace, url=server_url, author=author) as memory:
        memory.history("chat").set_metadata({"title": "Oslo", "owner": "ada"})
        text = show(
            browser,
            memory,
            Message("system", "Be kind.").to_item(),
            Message("user", "Weather?", name="Ada").to_item(),
            Message(
                "assistant",
                "",
                tool_calls=(ToolCall("c1", "weather", {"city": "Oslo"}),),
                native=Native("langchain", 1, thinking),
            ).to_item(),
            Message("tool", "12 degrees", tool_call_id="c1").to_item(),
            Message("assistant", "It is 12 degrees.").to_item(),
        )
    for shown in ("Oslo", "owner ada", "Ada", "They ask for weather.", "by support, langchain"):
        assert shown in text
    # The answer is inside its call: there are four turns, not five.
    page = browser.see("conversation", ns=namespace, name="chat")
    turns = [one["class"] for one in page.all("li") if "data-seq" in one]
    assert turns == ["turn system", "turn user", "turn assistant", "turn assistant"]
    assert text.index("weather") < text.index("12 degrees") < text.index("It is 12 degrees.")


FORMS = [
    ({"role": "user", "content": "words said"}, "user"),
    ({"role": "developer", "content": "words said"}, "system"),
    ({"role": "user", "content": [{"type": "input_text", "text": "words said"}]}, "user"),
    ({"role": "model", "content": [{"type": "text", "text": "words said"}]}, "assistant"),
    ({"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "words said",
                                        "input": {}}]}, "assistant"),
    ({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1",
                                   "content": "words said"}]}, "tool"),
    ({"role": "assistant", "content": None, "tool_calls": [
        {"id": "1", "function": {"name": "words said", "arguments": "{}"}}]}, "assistant"),
    ({"type": "function_call", "call_id": "1", "name": "words said"}, "assistant"),
    ({"type": "function_call_output", "call_id": "1", "output": "words said"}, "tool"),
    ({"framework": "openai-agents", "format": 1, "data": {
        "type": "reasoning", "summary": [{"type": "summary_text", "text": "words said"}]}},
     "assistant"),
    ({"framework": "x", "format": 1, "data": ["words said"]}, "other"),
    ({"envelope": 99, "text": "words said"}, "other"),
    ("words said", "other"),
    (["words said"], "other"),
    ({"role": "clown", "content": "words said"}, "other"),
    ({"role": ["user"], "content": {"words said": 1}}, "other"),
    ({"envelope": 1, "role": "user", "text": "words said", "tool_calls": 7}, "user"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "role"), FORMS)
def test_every_form_is_shown(
    browser: Browser, memory: Memory, namespace: str, value: object, role: str
) -> None:
    assert "words said" in show(browser, memory, value)
    page = browser.see("conversation", ns=namespace, name="chat")
    assert [one["class"] for one in page.all("li") if "data-seq" in one] == [f"turn {role}"]


IMAGES = [
    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
    {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}"},
    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
    {"type": "image", "mime_type": "image/png", "base64": PIXEL},
    {"kind": "binary", "media_type": "image/png", "data": {"$bytes": PIXEL}},
]


@pytest.mark.parametrize("block", IMAGES)
def test_images_come_from_an_address_of_their_own(
    browser: Browser, memory: Memory, namespace: str, block: object
) -> None:
    native = Native("x", 1, {"content": [block, "and"]})
    memory.history("chat").append(Message("user", "Look", native=native).to_item())
    (image,) = browser.see("conversation", ns=namespace, name="chat").all("img", loading="lazy")
    answer = browser.http.get(image["src"])
    assert answer.headers["Content-Type"] == "image/png"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert answer.content == base64.b64decode(PIXEL)


@pytest.mark.parametrize("kind", ["image/svg+xml", "text/html", "image/png\r\nX: y", "IMAGE/PNG"])
def test_other_types_are_no_images(
    browser: Browser, memory: Memory, namespace: str, kind: str
) -> None:
    script = base64.b64encode(b"<svg onload=alert(1)>").decode()
    blocks = [
        {"type": "image_url", "image_url": {"url": f"data:{kind};base64,{script}"}},
        {"type": "image_url", "image_url": {"url": "https://evil.example/track.png"}},
        {"type": "image", "media_type": kind, "data": script},
    ]
    memory.history("chat").append({"role": "user", "content": blocks})
    page = browser.see("conversation", ns=namespace, name="chat")
    assert not page.all("img", loading="lazy")
    answer = browser.get("image", ns=namespace, name="chat", seq=1, n=0)
    assert answer.status_code == 404


def test_a_long_conversation_is_read_page_by_page(
    browser: Browser, memory: Memory, namespace: str
) -> None:
    for start in range(0, 3000, 1000):
        memory.history("chat").extend(
            [{"role": "user", "content": f"message {n}"} for n in range(start, start + 1000)]
        )
    page = browser.see("conversation", ns=namespace, name="chat")
    assert [one["data-seq"] for one in page.all("li") if "data-seq" in one] == [
        str(seq) for seq in range(2961, 3001)
    ]
    (more,) = page.all("a", **{"class": "more"})
    part = parse(browser.http.get(more["href"], headers={"HX-Request": "true"}))
    assert not part.all("html")
    seqs = [one["data-seq"] for one in part.all("li") if "data-seq" in one]
    assert (seqs[0], seqs[-1]) == ("2921", "2960")


def test_one_message_is_one_message(browser: Browser, memory: Memory, namespace: str) -> None:
    memory.history("chat").append("hello")
    for view, names in (
        ("namespace", {}),
        ("conversations", {}),
        ("conversation", {"name": "chat"}),
    ):
        text = browser.see(view, ns=namespace, **names).text
        assert "1 message" in text
        assert "1 messages" not in text


def test_the_latest_come_first_and_each_once(
    browser: Browser, memory: Memory, namespace: str
) -> None:
    for n in range(120):
        memory.history(f"chat {n}").append(n)
    found = all_rows(browser, address("conversations", ns=namespace), "conversation")
    assert found == [
        address("conversation", ns=namespace, name=f"chat {n}") for n in range(119, -1, -1)
    ]


def test_an_item_is_corrected_under_its_version(
    browser: Browser, memory: Memory, namespace: str
) -> None:
    history = memory.history("chat")
    history.append({"role": "user", "content": "My name is Bda."})
    here = address("item", ns=namespace, name="chat", seq=1)
    version = browser.version("item", ns=namespace, name="chat", seq=1)
    good = '{"role": "user", "content": "My name is Ada."}'
    assert browser.post(here, version=version, value=good).status_code == 303
    assert browser.post(here, version=version, value="1").status_code == 409
    (item,) = history.read()
    assert item.value["content"] == "My name is Ada."
    assert item.author == Author("console")
    assert browser.post(here, version=item.version, value="{").status_code == 422
    gone = browser.post(address("item/delete", ns=namespace, name="chat", seq=1))
    assert gone.status_code == 303
    assert history.count() == 0
    assert browser.get("item", ns=namespace, name="chat", seq=1).status_code == 404


def test_archived_messages_are_shown_on_demand(
    browser: Browser, memory: Memory, namespace: str
) -> None:
    history = memory.history("chat")
    history.extend(["hidden words", "second"])
    history.archive(up_to=1)
    page = browser.see("conversation", ns=namespace, name="chat")
    assert "hidden words" not in page.text
    assert "1 archived" in page.text
    assert "hidden words" in browser.see("conversation", ns=namespace, name="chat", archived=1).text
