"""The HTTP engine: memory on a BotWire server."""

from botwire.engines.http._async import AsyncHTTPEngine
from botwire.engines.http._sync import HTTPEngine
from botwire.engines.opening import Scheme, to_async, to_blocking
from botwire.engines.protocol import AsyncEngine, Engine

__all__ = ["SCHEME", "AsyncHTTPEngine", "HTTPEngine"]

SCHEME = Scheme(
    lambda place: HTTPEngine(place.url, api_key=place.api_key, timeout=place.timeout),
    lambda place: AsyncHTTPEngine(place.url, api_key=place.api_key, timeout=place.timeout),
)


@to_async.register
def _(engine: HTTPEngine) -> AsyncEngine:
    return AsyncHTTPEngine(**engine.settings())


@to_blocking.register
def _(engine: AsyncHTTPEngine) -> Engine:
    return HTTPEngine(**engine.settings())
