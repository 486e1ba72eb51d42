"""An unreliable connection: forwards TCP, loses answers to applied writes, stalls, is slow."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable


class Proxy:
    """Listens on a port of this machine and forwards to another, in a thread of its own.

    Args:
        port: Where to forward to.
        is_answer: Whether bytes from there acknowledge a write.
        delay: How long each direction takes, in seconds.

    Attributes:
        port: Where it listens.
        lost: How many answers it has lost.
        turns: How often a client has spoken again after it was answered: its round trips.
    """

    def __init__(
        self, port: int, is_answer: Callable[[bytes], bool] = lambda _: False, delay: float = 0.0
    ) -> None:
        self._to = port
        self._is_answer = is_answer
        self._delay = delay
        self._to_lose = 0
        self.lost = 0
        self.turns = 0
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._flows = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()
        listening = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(listening,), daemon=True)
        self._thread.start()
        listening.wait()

    def lose_answers(self, count: int) -> None:
        """Cuts the connection instead of delivering each of the next answers."""
        self._loop.call_soon_threadsafe(self._lose, count)

    def stall(self, seconds: float) -> None:
        """Forwards nothing for a while; nothing is lost."""
        self._loop.call_soon_threadsafe(self._flows.clear)
        self._loop.call_soon_threadsafe(self._loop.call_later, seconds, self._flows.set)

    def hold(self) -> None:
        """Forwards nothing until `release`; nothing is lost."""
        self._loop.call_soon_threadsafe(self._flows.clear)

    def release(self) -> None:
        """Forwards everything held, and resumes."""
        self._loop.call_soon_threadsafe(self._flows.set)

    def cut(self) -> None:
        """Cuts every connection; new ones are forwarded."""
        asyncio.run_coroutine_threadsafe(self._cut(), self._loop).result()

    def close(self) -> None:
        """Cuts every connection and stops."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _lose(self, count: int) -> None:
        self._to_lose += count

    def _run(self, listening: threading.Event) -> None:
        self._flows.set()
        server = self._loop.run_until_complete(
            asyncio.start_server(self._connect, "127.0.0.1", self.port)
        )
        self.port = server.sockets[0].getsockname()[1]
        listening.set()
        self._loop.run_forever()
        server.close()
        self._loop.run_until_complete(self._cut())
        self._loop.close()

    async def _cut(self) -> None:
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        there: asyncio.StreamWriter | None = None
        try:
            back, there = await asyncio.open_connection("127.0.0.1", self._to)
            answered = asyncio.Event()
            answered.set()
            pumps = [
                asyncio.create_task(self._pump(reader, there, answered, answers=False)),
                asyncio.create_task(self._pump(back, writer, answered, answers=True)),
            ]
            try:
                # Closing one direction closes both.
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        except OSError:
            pass  # nothing listens there: the caller is cut off, as by a host that is down
        finally:
            self._connections.discard(task)
            for end in (writer, there):
                if end is not None:
                    end.transport.abort()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        answered: asyncio.Event,
        *,
        answers: bool,
    ) -> None:
        while data := await reader.read(65536):
            await self._flows.wait()
            if answers:
                answered.set()
                if self._to_lose and self._is_answer(data):
                    self._to_lose -= 1
                    self.lost += 1
                    return
            elif answered.is_set():
                answered.clear()
                self.turns += 1
            if self._delay:
                self._loop.call_later(self._delay, writer.write, data)
            else:
                writer.write(data)
                await writer.drain()
