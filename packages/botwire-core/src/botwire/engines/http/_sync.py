# Generated from engines/http/_async.py by scripts/generate_blocking.py: do not edit.
"""The HTTP transport: an engine that is somewhere else. The only module that imports httpx."""

from __future__ import annotations

import functools
import json
import ssl
import time
import uuid
from typing import Any

import httpx

from botwire import wire
from botwire.engines import retry
from botwire.engines.loops import ClientPerLoop
from botwire.errors import (
    ConfigurationError,
    PayloadTooLargeError,
    ProtocolError,
    RequestTimeoutError,
    TransportError,
    from_problem,
)
from botwire.operations import Batch, Results
from botwire.operations import halving as parts

_HEALTH_PATH = "/healthz"
_REFUSAL = 0.25  # seconds to find out whether a server that refused connections still does


class HTTPEngine:
    """Sends batches to a BotWire server.

    A write carries an id, so it lands once, however often it has to be sent.

    Args:
        url: The server's, with ``http`` or ``https``; a path in it is kept as a prefix.
        api_key: Sent as a bearer token.
        timeout: Seconds that a call may take in all, retries included.
        transport: The HTTP library's own transport, in the place of the network; for tests.

    Raises:
        ConfigurationError: The URL is not one.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout: float = 10.0,
        transport: Any = None,
    ) -> None:
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise ConfigurationError(f"{url!r} is not a URL: {error}") from None
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise ConfigurationError(f"{url!r} is not the URL of a server (http://host:port)")
        if parsed.userinfo:
            raise ConfigurationError("a URL with a password ends up in logs: use api_key")
        self.url = str(parsed).rstrip("/")
        self._endpoint = httpx.URL(self.url + wire.BATCH_PATH)
        self._api_key = api_key
        self._timeout = timeout
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if parsed.host in ("localhost", "127.0.0.1", "::1"):
            # Within a machine, packing an answer takes longer than sending it.
            self._headers["Accept-Encoding"] = "identity"
        if api_key is not None:
            if not api_key or not api_key.isascii() or not api_key.isprintable():
                raise ConfigurationError("an API key is a non-empty string of ASCII characters")
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._transport = transport
        self._outage = retry.Outage()
        self._clients = ClientPerLoop(self._open, httpx.Client.close)

    def settings(self) -> dict[str, Any]:
        """Returns the arguments that make another engine for the same server, secrets included."""
        return {"url": self.url, "api_key": self._api_key, "timeout": self._timeout}

    def _open(self) -> httpx.Client:
        # Certificates and proxies come from the environment, as for every other HTTP client.
        return httpx.Client(
            headers=self._headers,
            timeout=self._timeout,
            transport=self._transport,
            verify=_trust() if self.url.startswith("https") else _nobody(),
            follow_redirects=False,
        )

    def apply(self, batch: Batch) -> Results:
        """Applies a batch and returns one result an operation; see `Engine.apply`.

        What reads more than the server answers at once is asked in parts, one after the other.
        """
        try:
            return self._apply(batch)
        except PayloadTooLargeError:
            halves = parts.halve(batch)
            if halves is None:
                raise
        first, second = halves
        return parts.join(batch, self.apply(first), self.apply(second))

    def _apply(self, batch: Batch) -> Results:
        content = wire.encode_batch(batch)
        # An answer can get lost on the way: sent again, a write must not be applied again.
        request_id = (batch.request_id or uuid.uuid4().hex) if batch.writes else None
        deadline = time.monotonic() + self._outage.limit(self._timeout)
        if self._outage.ask_first:
            self._ask_first()
        attempt, refused = 0, False
        while True:
            attempt += 1
            answer = self._send(batch, content, request_id, deadline - time.monotonic())
            wait = retry.delay(attempt, remaining=deadline - time.monotonic())
            if isinstance(answer, TransportError):
                refused = refused or isinstance(answer.__cause__, httpx.ConnectError)
                if wait is None:
                    # A place that refused is not silent, though the last moment of a call may be
                    # too short for it to refuse again.
                    if refused:
                        self._outage.begin(answer, probe=_REFUSAL)  # which comes at once
                    elif isinstance(answer.__cause__, httpx.ConnectTimeout):
                        self._outage.begin(answer, pause=retry.PAUSE)
                    elif isinstance(answer.__cause__, httpx.ReadTimeout):
                        self._outage.begin(answer, ask_first=True)
                    raise answer
            else:
                self._outage.end()
                if wait is None or answer.status_code not in retry.RETRIED_STATUSES:
                    return self._read(batch, answer)
            time.sleep(wait)

    def _ask_first(self) -> None:
        """Ends the outage if the server answers anything at all.

        Raises:
            TransportError: It does not.
        """
        try:
            with self._clients.use() as client:
                client.get(self.url + _HEALTH_PATH, timeout=retry.PROBE)
        except httpx.RequestError as error:
            failure = RequestTimeoutError(
                f"no answer from {self.url}, nor from its {_HEALTH_PATH} within {retry.PROBE:g} s",
                url=self.url,
            )
            self._outage.begin(failure, pause=retry.PAUSE, ask_first=True)
            raise failure from error
        self._outage.end()

    def _send(
        self, batch: Batch, content: str, request_id: str | None, seconds: float
    ) -> httpx.Response | TransportError:
        """Sends a request once; returns the answer, or why there is none."""
        doubt = "; whether the write arrived is not known" if batch.writes else ""
        try:
            with self._clients.use() as client:
                # Made here, as `client.post` parses the address and merges settings each time.
                request = httpx.Request(
                    "POST",
                    self._endpoint,
                    headers=client.headers,
                    content=content,
                    extensions={"timeout": httpx.Timeout(max(0.001, seconds)).as_dict()},
                )
                if request_id is not None:
                    request.headers[wire.IDEMPOTENCY_HEADER] = request_id
                return client.send(request)
        except httpx.RequestError as error:
            failure: TransportError
            if isinstance(error, httpx.TimeoutException):
                failure = RequestTimeoutError(
                    f"no answer from {self.url} within {self._timeout:g} s{doubt}", url=self.url
                )
            else:
                reason = str(error) or type(error).__name__
                failure = TransportError(
                    f"no answer from {self.url}: {reason}{doubt}", url=self.url
                )
            failure.__cause__ = error
            return failure

    def _read(self, batch: Batch, response: httpx.Response) -> Results:
        request_id = response.headers.get(wire.REQUEST_ID_HEADER)
        kind = response.headers.get("Content-Type", "nothing").split(";")[0]
        try:
            document = json.loads(response.content)
        except (ValueError, RecursionError):
            document = None
        if response.status_code >= 400 and isinstance(document, dict) and kind.endswith("json"):
            raise from_problem(document, status=response.status_code, request_id=request_id)
        if response.status_code in retry.RETRIED_STATUSES:
            raise TransportError(
                f"no answer from {self.url}: a gateway says HTTP status {response.status_code}",
                url=self.url,
            )
        if response.status_code != 200 or not isinstance(document, dict):
            raise ProtocolError(
                f"{self.url} is not a BotWire server: it answered {wire.BATCH_PATH} with status "
                f"{response.status_code} and {kind}"
            )
        return wire.decode_results(batch.operations, document)

    def sweep(self) -> None:
        """Does nothing: a server sweeps by itself."""

    def close(self) -> None:
        """Closes the connections of the running event loop; the next use opens new ones."""
        self._clients.close()


@functools.cache
def _trust() -> ssl.SSLContext:
    # Reading all certificates takes longer than a hundred requests: once a process is enough.
    return httpx.create_ssl_context()


@functools.cache
def _nobody() -> ssl.SSLContext:
    # Without TLS nobody has to be trusted, and no certificate read; should a proxy want TLS all
    # the same, it fails.
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
