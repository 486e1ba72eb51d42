"""What people do in each view of the console, for `console_browser`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from botwire import Author, Memory
from botwire.messages import Message, ToolCall
from serving import serve

NARROW = (390, 844)
"""The window of a phone."""
MARK = "bwevil"
"""In every hostile name and text; it must never become markup."""
HOSTILE = (
    f'"><script>{MARK}()</script><{MARK} x="',
    f"</textarea></pre></title><img src=x onerror={MARK}()>",
    f"javascript:{MARK}()",
    f"{{{{ 7*7 }}}}<{MARK}>",
    f"\x00\x1b[31m\u202e<{MARK}>",
)


class Site:
    """A server of its own, with a fresh store, which can be restarted.

    Args:
        folder: Where the store is.

    Attributes:
        origin: Its address.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._port = "0"
        self._running = contextlib.ExitStack()
        self.origin = ""

    @property
    def url(self) -> str:
        """The address of the console."""
        return f"{self.origin}/console"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Serves the store, on the same port as before."""
        database = f"sqlite:///{self._folder}/memory.db"
        served = serve(database, "--port", self._port, log=self._folder / "server.log")
        server = self._running.enter_context(served)
        self.origin, self._port = server.url, str(server.port)

    def stop(self) -> None:
        """Stops the server."""
        self._running.close()

    def memory(self, namespace: str = "user-123") -> Memory:
        """Returns a client, which writes as an agent does."""
        return Memory(namespace, url=self.origin, author=Author("agent", framework="langchain"))


def listen(page: Any, report: Callable[[str], None]) -> None:
    """Reports script errors of a page, and violations of its content security policy."""
    page.on("pageerror", lambda error: report(f"script: {error}"))
    page.on("dialog", lambda dialog: report(f"dialog: {dialog.message}"))

    def hear(message: Any) -> None:
        # A refused form and a lost stream are answers that the tasks ask for.
        if message.type == "error" and "Failed to load resource" not in message.text:
            report(f"console: {message.text}")

    page.on("console", hear)


def search_by_keyboard(page: Any, site: Site) -> None:
    """One box finds names and texts; `/` leads to it."""
    page.goto(f"{site.url}/namespace?ns=user-123")
    page.keyboard.press("/")
    page.keyboard.type("oslo")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search?**")
    for kind in ("conversation", "message", "memory", "thread", "key"):
        page.locator(".pill", has_text=kind).first.wait_for()
    page.get_by_role("link", name="A long weekend in Oslo, message 2").click()
    page.locator("#item-2").wait_for()


def skip_to_the_content(page: Any, site: Site) -> None:
    """The first key press leads past the navigation."""
    page.goto(f"{site.url}/keys?ns=user-123")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def read_a_conversation(page: Any, site: Site) -> None:
    """A tool call unfolds with its answer; thinking is folded; the JSON is beside."""
    page.goto(f"{site.url}/conversation?ns=user-123&name=trip")
    page.get_by_text("The forecast first").wait_for(state="hidden")
    page.get_by_text("Thinking").first.click()
    page.get_by_text("The forecast first").wait_for()
    page.locator(".call summary").first.click()
    page.get_by_text("light rain").first.wait_for()
    page.get_by_role("link", name="JSON of message 3").click()
    page.get_by_role("heading", name="Message 3").wait_for()


def watch_an_agent_write(page: Any, site: Site) -> None:
    """A message appears while the page is open, also after the server was restarted."""
    page.goto(f"{site.url}/conversation?ns=user-123&name=trip")
    page.locator(".live.on").wait_for()
    with site.memory() as memory:
        memory.history("trip").append(Message("assistant", "While you look.").to_item())
    page.get_by_text("While you look.").wait_for()
    site.stop()
    page.locator(".live.off").wait_for()
    site.start()
    with site.memory() as memory:
        memory.history("trip").append(Message("assistant", "After the restart.").to_item())
    page.get_by_text("After the restart.").wait_for()
    page.locator(".live.on").wait_for()


def watch_messages_change(page: Any, site: Site) -> None:
    """A conversation shows what is corrected, deleted, and more than fits on a page."""
    with site.memory() as memory:
        history = memory.history("watched")
        page.goto(f"{site.url}/conversation?ns=user-123&name=watched")
        page.locator(".live.on").wait_for()
        call = ToolCall("1", "forecast", {"place": "Oslo"})
        history.extend([Message("user", f"Number {n}.").to_item() for n in range(3)])
        history.append(Message("assistant", "I look.", tool_calls=(call,)).to_item())
        page.get_by_text("no answer here").wait_for()
        page.locator(".call summary").click()
        history.update(2, Message("user", "Corrected.").to_item())
        page.get_by_text("Corrected.").wait_for()
        assert page.locator(".call[open]").count() == 1  # what differs alone is replaced
        history.append(Message("tool", "rain", tool_call_id="1").to_item())
        page.get_by_text("no answer here").wait_for(state="detached")
        assert page.locator(".turns > li").count() == 4  # the answer is with its call
        history.delete(1)
        page.get_by_text("Number 0.").wait_for(state="detached")
        history.extend([Message("user", f"Many {n}.").to_item() for n in range(100)])
        page.get_by_text("Many 99.").wait_for()
        page.get_by_text("Show earlier messages").click()
        page.get_by_text("Many 30.").wait_for()
        history.clear()
        page.get_by_text("Nothing is left here").wait_for()


def lose_an_answer(page: Any, site: Site) -> None:
    """An answer with an error replaces nothing that is shown, and is asked for again."""

    def refuse(route: Any) -> None:
        route.fulfill(status=503, content_type="text/html", body=f"<main><{MARK}></main>")

    with site.memory("lost") as memory:
        memory.set_many({f"k{n:03}": n for n in range(80)})
        page.goto(f"{site.url}/keys?ns=lost")
        page.route("**/keys?**", refuse)
        page.locator(".more").click()
        page.get_by_text("This failed: try again").wait_for()
        page.unroute("**/keys?**")
        page.locator(".more").click()
        page.get_by_role("link", name="k079").wait_for()
        page.goto(f"{site.url}/live?ns=lost")
        page.locator(".live.on").wait_for()
        page.route("**/live?**", refuse)
        memory.set("while refused", 1)
        page.locator(".live.off").wait_for()
        page.get_by_role("link", name="k079").wait_for()
        page.unroute("**/live?**")
        page.get_by_role("link", name="while refused").wait_for()
        page.locator(".live.on").wait_for()
        assert page.locator(MARK).count() == 0


def compare_two_steps(page: Any, site: Site) -> None:
    """A thread is a timeline; two of its steps are compared."""
    page.goto(f"{site.url}/threads?ns=user-123")
    page.get_by_role("link", name="oslo trip").first.click()
    page.get_by_label("Compare from step 3").check()
    page.get_by_label("Compare with step 4").check()
    page.get_by_role("button", name="Compare").click()
    page.get_by_role("heading", name="From step 3 to step 4").wait_for()
    page.locator(".turn.assistant .said", has_text="18:24").wait_for()
    page.locator("ins", has_text='"train": "18:24"').wait_for()
    page.get_by_role("link", name="Show all values").click()
    page.locator(".turn.user .said", has_text="Is it a good week for Oslo?").wait_for()


def edit_one_key_by_two(page: Any, site: Site) -> None:
    """Of two people who edit one key, the second sees what differs, and overwrites nothing."""
    other = page.context.new_page()
    with site.memory() as memory:
        memory.set("shared", {"n": 0})
    for one in (page, other):
        one.goto(f"{site.url}/key?ns=user-123&key=shared")
    page.get_by_label("Value, as JSON").fill('{"n": 1}')
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Saved as version").wait_for()
    other.get_by_label("Value, as JSON").fill('{"n": 2}')
    other.keyboard.press("Control+Enter")
    other.get_by_text("Someone else wrote first").wait_for()
    with site.memory() as memory:
        assert memory.get("shared") == {"n": 1}
    page.get_by_role("link", name="all versions").click()
    page.get_by_role("button", name="Put this version back").first.click()
    page.wait_for_url("**/key?**")
    with site.memory() as memory:
        assert memory.get("shared") == {"n": 0}


def ask_what_is_recalled(page: Any, site: Site) -> None:
    """A question shows what an agent is given, and what a filter left out."""
    page.goto(f"{site.url}/recall?ns=user-123")
    page.get_by_label("Question", exact=True).fill("tea window oslo")
    page.get_by_label("About").fill("/people")
    page.keyboard.press("Enter")
    page.locator("tr", has_text="Ada drinks green tea").locator(".pill.good").wait_for()
    page.locator("tr", has_text="window seats").get_by_text("not /people").wait_for()


def delete_many(page: Any, site: Site) -> None:
    """Two keys are exported, then deleted after a dry run, with a receipt."""
    with site.memory("many") as memory:
        memory.set_many({f"k{n}": n for n in range(5)})
    page.goto(f"{site.url}/keys?ns=many")
    page.get_by_label("Select k1").check()
    page.get_by_label("Select k3").check()
    with page.expect_download() as downloading:
        page.get_by_role("button", name="Export selected").click()
    assert Path(downloading.value.path()).read_text().count('"type":"key"') == 2
    page.get_by_role("button", name="Delete selected…").click()
    page.get_by_role("heading", name="Delete 2 keys?").wait_for()
    with site.memory("many") as memory:
        assert memory.count() == 5
    page.get_by_role("button", name="Delete these 2").click()
    page.get_by_role("heading", name="2 deleted").wait_for()
    with site.memory("many") as memory:
        assert memory.list_keys() == ["k0", "k2", "k4"]


def undo_a_change(page: Any, site: Site) -> None:
    """A change says who made it, and is undone."""
    with site.memory() as memory:
        memory.set("undone", 1)
    page.goto(f"{site.url}/changes?ns=user-123")
    row = page.locator("li", has_text="undone").first
    row.get_by_text("by agent").wait_for()
    row.get_by_role("button", name="Undo").click()
    page.get_by_text("was taken back").wait_for()
    with site.memory() as memory:
        assert not memory.exists("undone")


def close_what_is_open(page: Any, site: Site) -> None:
    """Escape closes a question; nothing was deleted."""
    page.goto(f"{site.url}/key?ns=user-123&key=prefs")
    page.get_by_text("Delete…").press("Enter")
    page.get_by_role("button", name="Delete it").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Delete it").wait_for(state="hidden")


def look_at_hostile_names(page: Any, site: Site) -> None:
    """Names and texts that want to be markup stay text in every view."""
    for number, text in enumerate(HOSTILE):
        namespace = f"{text} {number}"
        with Memory(namespace, url=site.origin, author=Author(text[:40], run="1")) as memory:
            memory.set(text, {text: text})
            history = memory.history(text)
            history.set_metadata({"title": text})
            history.append(
                Message("assistant", text, tool_calls=(ToolCall("1", text, {text: 1}),)).to_item()
            )
            memory.remember(text, tags=[text], id="m")
        page.goto(site.url)
        page.locator(".row a.name", has_text=MARK).first.click()
        for view in ("Conversations", "Memories", "Keys", "Changes", "Live", "Usage"):
            page.get_by_role("navigation", name="Namespace").get_by_text(view, exact=True).click()
            assert page.locator(MARK).count() == 0
            if view in ("Conversations", "Memories", "Keys"):
                page.locator(".row a.name").first.click()
                assert page.locator(MARK).count() == 0
        page.get_by_label("Search", exact=True).fill(text.replace("\x00", ""))
        page.keyboard.press("Enter")
        page.wait_for_url("**/search?**")
        assert page.locator(MARK).count() == 0


def make_a_key_and_sign_in(page: Any, site: Site) -> None:
    """A key's secret is shown once; from then on one signs in; another key is revoked."""
    page.goto(f"{site.url}/api-keys")
    page.get_by_label("What it is for").fill("the administrator")
    page.get_by_role("button", name="Make the key").click()
    secret = page.locator("input.secret").input_value()
    while page.locator("#key").count() == 0:  # a server notices the first key within a second
        page.goto(f"{site.url}/api-keys")
    page.locator("#key").fill(secret)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="API keys").wait_for()
    assert page.locator("input.secret").count() == 0
    page.get_by_label("What it is for").fill("a reader")
    page.get_by_label("What it may do").select_option("read")
    page.get_by_role("button", name="Make the key").click()
    page.locator("input.secret").wait_for()
    row = page.locator("tr", has_text="a reader")
    row.get_by_text("Revoke…").click()
    row.get_by_role("button", name="Revoke it").click()
    page.locator("tr", has_text="a reader").get_by_text("revoked").wait_for()
    page.get_by_role("link", name="Audit log").click()
    page.get_by_text("key.revoke").first.wait_for()
    page.get_by_role("navigation", name="Server").get_by_text("Health").click()
    page.get_by_text("The store takes writes").wait_for()


TASKS: tuple[Callable[[Any, Site], None], ...] = (
    search_by_keyboard,
    skip_to_the_content,
    read_a_conversation,
    watch_an_agent_write,
    watch_messages_change,
    lose_an_answer,
    compare_two_steps,
    edit_one_key_by_two,
    ask_what_is_recalled,
    delete_many,
    undo_a_change,
    close_what_is_open,
    look_at_hostile_names,
    make_a_key_and_sign_in,  # the last, as everyone needs a key then
)
"""What is tried, in this order."""
