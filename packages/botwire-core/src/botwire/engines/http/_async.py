"""The HTTP engine, which sends batches to a server. Only this module imports httpx.

A batch goes over the channel if there is one (`botwire.engines.http.channels`), else over HTTP.
"""

from __future__ import annotations

import asyncio
import functools
import os
import ssl
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs

import httpx

from botwire import wire
from botwire.engines import retry
from botwire.engines.http.channels import MOST_BYTES, AsyncChannels, goes_through_proxy, verdict_of
from botwire.engines.http.distrust import advice
from botwire.engines.http.exchange import Answer, Target, Watch
from botwire.engines.http.reading import read
from botwire.engines.http.traces import trace_headers
from botwire.engines.loops import AsyncClientPerLoop
from botwire.errors import (
    ConfigurationError,
    PayloadTooLargeError,
    RequestTimeoutError,
    TransportError,
)
from botwire.exact import decode
from botwire.operations import Batch, ChangePage, Results, halving
from botwire.operations.codecs import MismatchError
from botwire.places import not_a_url, without_password

_HEALTH_PATH = "/healthz"
_ACCEPTED = f"{wire.APART}, application/json"  # older servers answer in JSON
_OF_CHANNEL = ("Accept", "Authorization")  # headers of the request that opens a channel
USES_CHANNEL = True
"""Whether channels are used unless the URL or the caller says otherwise."""
_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout)
"""Failures before a request was sent."""
_REFUSAL = 0.25  # seconds of a probe after a server refused connections: a refusal comes at once


class AsyncHTTPEngine:
    """Sends batches to a BotWire server.

    Each write carries an id, so it is applied once even if it is sent several times.

    Args:
        url: The server's ``http`` or ``https`` URL; a path in it is kept as a prefix, and
            ``?channel=false`` is the same as the argument.
        api_key: Sent as a bearer token.
        timeout: Seconds that a call may take, retries included.
        channel: Whether to use a channel where the server and the network allow it.
        transport: An httpx transport that replaces the network in tests.

    Raises:
        ConfigurationError: The URL or the API key is not valid.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout: float = 10.0,
        channel: bool | None = None,
        transport: Any = None,
    ) -> None:
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise not_a_url(url, str(error)) from None
        if parsed.scheme not in ("http", "https") or not parsed.host:
            shown = without_password(url)
            raise ConfigurationError(f"{shown!r} is not a server's URL: use http://host:port")
        if parsed.userinfo:
            raise ConfigurationError("the URL has a password, which logs would show: use api_key")
        if parsed.port is not None and not 0 < parsed.port < 2**16:
            raise ConfigurationError(f"{url!r} names port {parsed.port}: ports are 1 to 65535")
        parsed, asked = _read_query(parsed)
        self.url = str(parsed).rstrip("/")
        self._endpoint = httpx.URL(self.url + wire.BATCH_PATH)
        self._api_key = api_key
        self._timeout = timeout
        self._headers = {"Content-Type": "application/json", "Accept": _ACCEPTED}
        if parsed.host in ("localhost", "127.0.0.1", "::1"):
            # On one machine, compressing an answer takes longer than sending it.
            self._headers["Accept-Encoding"] = "identity"
        if api_key is not None:
            if not api_key or not api_key.isascii() or not api_key.isprintable():
                raise ConfigurationError("an API key must be a non-empty string of printable ASCII")
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._transport = transport
        self._outage = retry.Outage()
        self._clients = AsyncClientPerLoop(
            self._open, httpx.AsyncClient.aclose, expected=(httpx.HTTPError,)
        )
        self._channel = next((one for one in (channel, asked) if one is not None), USES_CHANNEL)
        self._channels = self._open_channels(parsed) if self._channel and not transport else None

    def settings(self) -> dict[str, Any]:
        """Returns the arguments for another engine on the same server, including the API key."""
        return {
            "url": self.url,
            "api_key": self._api_key,
            "timeout": self._timeout,
            "channel": self._channel,
        }

    def _open_channels(self, url: httpx.URL) -> AsyncChannels | None:
        if goes_through_proxy(url.scheme, url.host):
            return None
        secure = url.scheme == "https"
        target = Target(
            secure,
            url.raw_host.decode(),
            url.port or (443 if secure else 80),
            url.raw_path.decode().rstrip("/") + wire.CHANNEL_PATH,
            {one: self._headers[one] for one in _OF_CHANNEL if one in self._headers},
        )
        return AsyncChannels(target, _trusting if secure else None, verdict_of(self.url))

    def _open(self) -> httpx.AsyncClient:
        # Certificates and proxies come from the environment, as with every other HTTP client.
        return httpx.AsyncClient(
            headers=self._headers,
            timeout=self._timeout,
            transport=self._transport,
            verify=_trusting() if self.url.startswith("https") else _trusting_nobody(),
            follow_redirects=False,
        )

    async def apply(self, batch: Batch) -> Results:
        """Applies a batch and returns one result per operation; see `Engine.apply`.

        A read whose answer exceeds the server's limit is split and sent in parts.
        """
        try:
            return await self._apply(batch)
        except PayloadTooLargeError:
            halves = halving.halve(batch)
            if halves is None:
                raise
        first, second = halves
        return halving.join(batch, await self.apply(first), await self.apply(second))

    async def _apply(self, batch: Batch) -> Results:
        content = wire.encode_batch(batch)
        if len(content) >= MOST_BYTES:
            await asyncio.sleep(0)  # others may run between encoding and sending
        # An answer can get lost: a retried write must not be applied twice.
        idempotency_id = (batch.idempotency_id or os.urandom(16).hex()) if batch.writes else None
        longest = time.monotonic() + self._timeout
        deadline = time.monotonic() + self._outage.limit(self._timeout)
        if self._outage.ask_first:
            await self._ask_first()
        attempt, refused, sent = 0, False, False
        while True:
            attempt += 1
            answer = await self._send(content, idempotency_id, deadline)
            if isinstance(answer, Answer) and answer.status not in retry.RETRIED_STATUSES:
                self._outage.end()
                return read(self.url, batch, answer, len(content))
            wait = retry.delay(attempt, remaining=deadline - time.monotonic())
            cause = getattr(answer, "__cause__", None)
            if cause is not None and advice(cause) is not None:
                wait = None
            sent = sent or not isinstance(cause, _UNSENT)
            if isinstance(answer, TransportError):
                refused = refused or isinstance(answer.__cause__, httpx.ConnectError)
                unanswered = isinstance(answer.__cause__, (httpx.ReadTimeout, TimeoutError))
                if wait is None and unanswered and deadline < longest:
                    # It accepts connections again, so the outage is over and the server is only
                    # busy.
                    deadline, wait = longest, 0.0
                if wait is None:
                    # A server that refused a connection is not silent, even if the timeout cut off
                    # the last attempt.
                    if refused:
                        self._outage.begin(answer, probe=_REFUSAL)
                    elif isinstance(answer.__cause__, httpx.ConnectTimeout):
                        self._outage.begin(answer, pause=retry.PAUSE)
                    elif unanswered:
                        self._outage.begin(answer, ask_first=True)
                    raise _with_outcome(answer, sent=sent) if batch.writes else answer
            else:
                self._outage.end()
                if wait is None:
                    return read(self.url, batch, answer, len(content))
            await asyncio.sleep(wait)

    async def _ask_first(self) -> None:
        """Probes the server and ends the outage if anything answers.

        Raises:
            RequestTimeoutError: Nothing answered.
        """
        try:
            async with self._clients.use() as client:
                await client.get(self.url + _HEALTH_PATH, timeout=retry.PROBE)
        except httpx.RequestError as error:
            failure = RequestTimeoutError(
                f"no answer from {self.url}, nor from its {_HEALTH_PATH} within {retry.PROBE:g} s",
                url=self.url,
            )
            self._outage.begin(failure, pause=retry.PAUSE, ask_first=True)
            raise failure from error
        self._outage.end()

    async def _send(
        self, content: str, idempotency_id: str | None, deadline: float
    ) -> Answer | TransportError:
        """Sends a request; returns the answer, or the reason for not getting one."""
        if self._channels is None:
            return await self._send_over_http(content, idempotency_id, deadline)
        try:
            answer = await self._channels.send(content, idempotency_id, deadline)
        except TimeoutError as error:
            return self._timed_out(error)
        if answer is not None:
            return answer
        found = await self._send_over_http(content, idempotency_id, deadline)
        if isinstance(found, Answer):
            await self._channels.confirm_place(deadline)
        return found

    async def pushed(self, namespace: str, prefix: str, after: int) -> AsyncIterator[ChangePage]:
        """Yields changes as the server pushes them, as long as it does; see `AsyncPushes`."""
        if self._channels is None:
            return
        async for answer in self._channels.watch(Watch(namespace, prefix, after)):
            try:
                page: ChangePage = wire.codec_of(ChangePage).decode(
                    decode(answer.content.decode()), "the changes"
                )
            except (ValueError, RecursionError, MismatchError):
                return  # the stream has ended, perhaps with a problem, which a read will report
            yield page

    def _timed_out(self, error: Exception) -> TransportError:
        failure = RequestTimeoutError(
            f"no answer from {self.url} within {self._timeout:g} s", url=self.url
        )
        failure.__cause__ = error
        return failure

    async def _send_over_http(
        self, content: str, idempotency_id: str | None, deadline: float
    ) -> Answer | TransportError:
        seconds = deadline - time.monotonic()
        try:
            async with self._clients.use() as client:
                # Built by hand: `client.post` parses the URL and merges settings each time.
                request = httpx.Request(
                    "POST",
                    self._endpoint,
                    headers=client.headers,
                    content=content,
                    extensions={"timeout": httpx.Timeout(max(0.001, seconds)).as_dict()},
                )
                request.headers.update(trace_headers())
                if idempotency_id is not None:
                    request.headers[wire.IDEMPOTENCY_HEADER] = idempotency_id
                response = await client.send(request)
        except httpx.TimeoutException as error:
            return self._timed_out(error)
        except httpx.RequestError as error:
            reason = str(error) or type(error).__name__
            hint = advice(error)
            also = "" if hint is None else f": {hint}"
            failure = TransportError(f"no answer from {self.url}: {reason}{also}", url=self.url)
            failure.__cause__ = error
            return failure
        return Answer(
            response.status_code,
            response.content,
            response.headers.get("Content-Type", "nothing").split(";")[0],
            response.headers.get(wire.REQUEST_ID_HEADER),
            headers=response.headers,
        )

    async def sweep(self) -> None:
        """Does nothing: the server sweeps on its own."""

    async def aclose(self) -> None:
        """Closes the running event loop's connections. The next call opens new ones."""
        if self._channels is not None:
            await self._channels.aclose()
        await self._clients.close()


def _with_outcome(failure: TransportError, *, sent: bool) -> TransportError:
    """Returns the error for a write, which says whether it may have been applied."""
    outcome = "the write may or may not have been applied" if sent else "nothing was sent"
    error = type(failure)(f"{failure}; {outcome}", url=failure.url)
    error.__cause__ = failure.__cause__
    return error


def _read_query(url: httpx.URL) -> tuple[httpx.URL, bool | None]:
    """Returns a URL without its query, and what the query says about channels.

    Raises:
        ConfigurationError: The query says anything else, or there is a fragment.
    """
    shown = without_password(str(url))
    if url.fragment:
        raise ConfigurationError(f"{shown} has a fragment: leave out # and what follows")
    bare = url.copy_with(query=None, fragment=None)
    if not url.query:
        return bare, None
    given = parse_qs(url.query.decode(), keep_blank_values=True)
    words = {"true": True, "false": False}
    (word,) = given.get("channel", [""])[:1]
    if given.keys() != {"channel"} or len(given["channel"]) > 1 or word not in words:
        raise ConfigurationError(
            f"{shown} has an unknown parameter: a server's URL may end with ?channel=false, to use "
            "HTTP only"
        )
    return bare, words[word]


@functools.cache
def _trusting() -> ssl.SSLContext:
    # Loading the certificates takes longer than a hundred requests, so do it once per process.
    return httpx.create_ssl_context()


@functools.cache
def _trusting_nobody() -> ssl.SSLContext:
    # Plain HTTP needs no certificates. TLS to a proxy fails with these settings.
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
