"""The promises that every adapter keeps, one test for each."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar

from botwire.client import AsyncMemory
from botwire.errors import ConfigurationError, ConflictError
from botwire.testing import endings
from botwire.testing.checks import check_shown, check_turns
from botwire.testing.child import FINISHED, KILL, REFUSED, STARTED
from botwire.testing.endings import quick
from botwire.testing.scene import ODD_USERS, Address, Seen, Turn

PATIENCE = 30.0
"""The most seconds that any step of these tests may take."""


class AdapterTests(ABC):
    """The tests of one adapter. Name your subclass ``Test…``.

    They use two fixtures: ``place_url`` (where memory lives) and ``namespace`` (a fresh one).

    Attributes:
        not_applicable: Tests that make no sense for this framework, each with the reason.
        refused: The error class with which one of two concurrent requests may be refused.
    """

    not_applicable: ClassVar[Mapping[str, str]] = {}
    refused: ClassVar[type[BaseException]] = ConflictError

    def __init_subclass__(cls) -> None:
        """Removes the tests that are not applicable."""
        super().__init_subclass__()
        for name, reason in cls.not_applicable.items():
            if not name.startswith("test_") or not hasattr(AdapterTests, name) or not reason:
                message = f"not_applicable: there is no test {name!r}, or no reason is given"
                raise ConfigurationError(f"{cls.__name__}.{message}")
            setattr(cls, name, None)

    # --- what a subclass says

    def history_of(self, user: str) -> str:
        """Returns the name of the history that holds a user's conversation."""
        return user

    @abstractmethod
    def open(self, address: Address, user: str) -> Any:
        """Returns one of the framework's own agents, with the memory of this user's conversation.

        A program would create one per process or per request.
        """

    @abstractmethod
    async def turn(self, agent: Any, turn: Turn) -> Sequence[Sequence[Seen]]:
        """Runs an agent for one turn; returns the messages that each model call was shown.

        Errors of the framework and of BotWire must propagate unchanged.
        """

    async def shown(self, address: Address, user: str) -> Sequence[Seen]:
        """Returns what a model would be shown next; by default, runs a turn to find out."""
        return (await self.turn(self.open(address, user), Turn("what now?")))[-1]

    def is_refused(self, error: BaseException) -> bool:
        """Returns whether an error tells the caller that another request interfered."""
        seen: BaseException | None = error
        while seen is not None:
            if isinstance(seen, self.refused) or self.refused.__name__ in str(seen):
                return True
            seen = seen.__cause__ or seen.__context__
        return False

    async def save(self, agent: Any) -> Any:
        """Returns the state of an agent's conversation, saved by the framework's own means."""
        raise NotImplementedError

    async def load(self, agent: Any, state: Any) -> None:
        """Loads a state that `save` returned."""
        raise NotImplementedError

    async def clear(self, agent: Any) -> None:
        """Empties an agent's conversation."""
        raise NotImplementedError

    async def messages(self, agent: Any) -> Sequence[Seen]:
        """Returns an agent's conversation without asking its model."""
        raise NotImplementedError

    async def give_refused(self, agent: Any) -> None:
        """Gives an agent a task that its framework refuses; must raise."""
        raise NotImplementedError

    async def unnamed(self, address: Address) -> None:
        """Runs two agents without giving their memories names."""
        raise NotImplementedError

    async def store_own(self, address: Address) -> None:
        """Stores `own` by the framework's own means."""
        raise NotImplementedError

    async def read_own(self, address: Address) -> Any:
        """Returns what `store_own` stored, read by new objects."""
        raise NotImplementedError

    def own(self) -> Any:
        """Returns a value that contains objects of a user's own classes."""
        raise NotImplementedError

    # --- 1. killed at any moment

    def test_a_model_never_sees_a_call_without_its_answer(
        self, place_url: str, namespace: str
    ) -> None:
        """A process is killed inside a tool; the next process can continue the conversation."""
        address = Address(place_url, namespace)
        with self._child("killed", address, "ada", "killed in a tool") as child:
            out = _rest(child)
        assert abs(child.returncode) == KILL, out

        async def go_on() -> None:
            for said in ("are you there?", "and now?"):
                agent = self.open(address, "ada")
                for shown in await self.turn(agent, Turn(said, tool=quick, call_id=said)):
                    check_shown(shown)
                assert any("killed in a tool" in one.text for one in shown)

        self._run(go_on())

    # --- 2. two requests at once

    def test_two_requests_at_once_lose_and_mix_nothing(
        self, place_url: str, namespace: str
    ) -> None:
        """Either one is refused with a typed error, or they run one after the other."""
        address = Address(place_url, namespace)

        async def both() -> None:
            inside = [asyncio.Event(), asyncio.Event()]

            def tool(number: int) -> Callable[[], Awaitable[str]]:
                async def look() -> str:
                    inside[number].set()
                    with suppress(TimeoutError):  # the other one may have to wait for this one
                        await asyncio.wait_for(inside[1 - number].wait(), 1)
                    return f"found {number}"

                return look

            runs = [
                asyncio.create_task(
                    self.turn(
                        self.open(address, "ada"),
                        Turn(
                            f"question {number}",
                            f"answer {number}",
                            tool(number),
                            f"call-{number}",
                        ),
                    )
                )
                for number in range(2)
            ]
            outcomes = await asyncio.gather(*runs, return_exceptions=True)
            refusals = [one for one in outcomes if isinstance(one, BaseException)]
            for error in refusals:
                assert self.is_refused(error), f"not a typed refusal: {error!r}"
            assert len(refusals) < 2, f"all were refused: {refusals}"
            shown = await self.shown(address, "ada")
            check_shown(shown)
            texts = [one.text for one in shown]
            done = [n for n, one in enumerate(outcomes) if not isinstance(one, BaseException)]
            check_turns(texts, done)

        self._run(both())

    def test_two_processes_at_once_lose_and_mix_nothing(
        self, place_url: str, namespace: str
    ) -> None:
        """One process is inside a tool while another one answers the same user."""
        address = Address(place_url, namespace)
        with self._child("waits", address, "ada", "question 0") as child:
            lines = iter(child.stdout.readline, "")  # some frameworks print lines of their own
            assert any(line.strip() == STARTED for line in lines)
            going = child.stdin

            async def ask() -> None:
                turn = Turn("question 1", "answer 1", quick)
                task = asyncio.ensure_future(self.turn(self.open(address, "ada"), turn))
                await asyncio.wait([task], timeout=1)  # it may have to wait for the other one
                going.write("go on\n")
                going.flush()
                await task

            mine = self._outcome(ask())
            out = _rest(child)
        theirs = out.split()[-1]
        assert theirs in (FINISHED, REFUSED), out
        assert mine is None or self.is_refused(mine), f"not a typed refusal: {mine!r}"
        assert mine is None or theirs == FINISHED, f"both were refused: {out}, {mine!r}"

        async def look() -> None:
            shown = await self.shown(address, "ada")
            check_shown(shown)
            texts = [one.text for one in shown]
            check_turns(texts, [n for n, ok in enumerate((theirs == FINISHED, mine is None)) if ok])

        self._run(look())

    # --- 3. isolated

    def test_a_users_words_never_reach_another_users_model(
        self, place_url: str, namespace: str
    ) -> None:
        """Each user's model sees what that user said, and nothing from others."""
        address = Address(place_url, namespace)
        secrets = {user: f"secret-{number}-of-mine" for number, user in enumerate(ODD_USERS)}

        async def talk() -> None:
            for user, secret in secrets.items():
                await self.turn(self.open(address, user), Turn(f"my word is {secret}"))
            for user, secret in secrets.items():
                shown = await self.shown(address, user)
                told = {other for other in secrets.values() if any(other in m.text for m in shown)}
                assert told == {secret}, f"the model of {user!r} was told {told}"

        self._run(talk())

    def test_default_names_never_share_a_history(self, place_url: str, namespace: str) -> None:
        """Two agents with default names never silently share a history."""
        error = self._outcome(self.unnamed(Address(place_url, namespace)))
        assert error is None or "name" in str(error), f"it does not say what to do: {error!r}"

    # --- 4. no false alarms

    def test_a_run_that_is_alone_is_never_refused(self, place_url: str, namespace: str) -> None:
        """The next run succeeds, however the last one ended."""
        address = Address(place_url, namespace)

        async def ends() -> None:
            old = self.open(address, "ada")
            await self.turn(old, Turn("one"))
            for number, end in enumerate(endings.ALL):
                broken = self.open(address, "ada")
                await end(
                    lambda tool, agent=broken, number=number: self.turn(  # type: ignore[misc]
                        agent, Turn(f"broken {number}", tool=tool, call_id=f"broken-{number}")
                    )
                )
                for agent in (self.open(address, "ada"), old):
                    for shown in await self.turn(agent, Turn(f"after {number}", tool=quick)):
                        check_shown(shown)

        self._run(ends())

    def test_a_run_that_follows_a_stopped_one_at_once_is_not_refused(
        self, place_url: str, namespace: str
    ) -> None:
        """A user presses Stop and goes on before the stopped run has ended."""
        address = Address(place_url, namespace)

        async def stop_and_go_on() -> None:
            for steps in (0, 3):
                await self._stop_and_go_on(address, steps)
                shown = await self.shown(address, "ada")
                check_shown(shown)
                assert any(f"go on {steps}" in one.text for one in shown)

        self._run(stop_and_go_on())

    async def _stop_and_go_on(self, address: Address, steps: int) -> None:
        """Runs a turn while the last one, which was cancelled in its tool, still cleans up.

        Args:
            address: Where memory lives.
            steps: The higher, the further it gets with that before.
        """
        inside, over = asyncio.Event(), asyncio.Event()

        async def tool() -> str:
            inside.set()
            await over.wait()  # a thread that a framework left behind ends then
            return "too late"

        stopped = asyncio.create_task(
            self.turn(self.open(address, "ada"), Turn("wait", tool=tool, call_id=f"wait {steps}"))
        )
        await inside.wait()
        agent = self.open(address, "ada")
        stopped.cancel()
        for _ in range(2**steps - 1):
            await asyncio.sleep(0)
        try:
            await self.turn(agent, Turn(f"go on {steps}", tool=quick, call_id=f"go {steps}"))
        finally:
            over.set()
            with suppress(asyncio.CancelledError, Exception):
                await stopped

    def test_a_run_after_a_deleted_message_is_not_refused(
        self, place_url: str, namespace: str
    ) -> None:
        """After the last message is deleted, the next run continues from what is left."""
        address = Address(place_url, namespace)

        async def delete_last() -> None:
            memory = AsyncMemory(namespace, url=place_url)
            try:
                assert await memory.history(self.history_of("ada")).pop() is not None
            finally:
                await memory.aclose()

        async def go_on() -> None:
            old = self.open(address, "ada")
            await self.turn(old, Turn("one", "a slip"))
            for number, opened in enumerate((self.open(address, "ada"), old, None)):
                await delete_last()
                agent = self.open(address, "ada") if opened is None else opened
                shown = (await self.turn(agent, Turn(f"again {number}", "a slip")))[-1]
                check_shown(shown)
                if opened is None:  # an agent may keep the copy that it was opened with
                    assert not any("a slip" in one.text for one in shown)

        self._run(go_on())

    # --- 5. and 6. the framework's own contract

    def test_every_saved_state_can_be_loaded_again(self, place_url: str, namespace: str) -> None:
        """Older states, newer ones, and one saved before the conversation was cleared."""
        address = Address(place_url, namespace)

        async def travel() -> None:
            agent = self.open(address, "ada")
            states = []
            for said in ("one", "two", "three"):
                await self.turn(agent, Turn(said))
                states.append((await self.save(agent), await self.messages(agent)))
            await self.clear(agent)
            assert not await self.messages(agent)
            for index in (0, 2, 1, 1, 2):
                state, messages = states[index]
                agent = self.open(address, "ada")
                await self.load(agent, state)
                assert await self.messages(agent) == messages
                assert await self.save(agent) == state

        self._run(travel())

    def test_what_the_framework_refuses_leaves_nothing_behind(
        self, place_url: str, namespace: str
    ) -> None:
        """A refused task is neither stored nor shown, and the next task is accepted."""
        address = Address(place_url, namespace)

        async def refuse() -> None:
            agent = self.open(address, "ada")
            await self.turn(agent, Turn("one"))
            before = await self.messages(agent)
            error: BaseException | None = None
            try:
                await self.give_refused(agent)
            except Exception as raised:  # noqa: BLE001 - whatever the framework raises
                error = raised
            assert error is not None, "the framework did not refuse it"
            assert await self.messages(agent) == before
            await self.turn(agent, Turn("two"))
            assert any("two" in one.text for one in await self.messages(agent))

        self._run(refuse())

    # --- 7. a user's own types

    def test_objects_of_a_users_own_classes_come_back_after_a_restart(
        self, place_url: str, namespace: str
    ) -> None:
        """No setting is needed, as far as the framework's own strict mode allows."""
        address = Address(place_url, namespace)
        with self._child("stores", address, "ada", "") as child:
            out = _rest(child)
        assert out.split()[-1:] == [FINISHED], out
        expected = self.own()
        found: list[Any] = []

        async def read() -> None:
            found.append(await self.read_own(address))

        self._run(read())
        assert found == [expected]
        assert [type(one) for one in _parts(found[0])] == [type(one) for one in _parts(expected)]

    # --- how

    def _run(self, work: Any) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(PATIENCE * 2):
                await work

        asyncio.run(bounded())

    def _outcome(self, work: Any) -> BaseException | None:
        try:
            self._run(work)
        except Exception as error:  # noqa: BLE001 - it is looked at
            return error
        return None

    def start_child(self, told: str) -> Any:
        """Starts ``python -m botwire.testing.child TOLD`` with pipes, as a `subprocess.Popen`.

        If importing the framework takes seconds, a subclass can return another object with the same
        attributes, such as a fork of a process that has already imported it.
        """
        return subprocess.Popen(  # noqa: S603 - this program again
            [sys.executable, "-W", "ignore", "-m", "botwire.testing.child", told],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )

    def _child(self, does: str, address: Address, user: str, said: str) -> Any:
        cls = type(self)
        told = [does, inspect.getfile(cls), cls.__module__, cls.__qualname__]
        return self.start_child(json.dumps([*told, address.url, address.namespace, user, said]))


def _rest(child: Any) -> str:
    """Returns what a process prints until it ends; kills one that hangs."""
    watchdog = threading.Timer(PATIENCE * 2, child.kill)
    watchdog.start()
    try:
        child.stdin.close()
        said: str = child.stdout.read()
        child.wait()
    finally:
        watchdog.cancel()
    return said


def _parts(value: Any) -> list[Any]:
    """Returns a value and everything in it, to compare their types."""
    if isinstance(value, Mapping):
        return [value, *(part for one in value.values() for part in _parts(one))]
    if isinstance(value, (list, tuple)):
        return [value, *(part for one in value for part in _parts(one))]
    return [value]
