"""Specs of storages: ``botwire://namespace?url=…&score=…``, as CrewAI dumps and reads them."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from botwire import ConfigurationError

SPEC_PREFIX = "botwire://"
"""The prefix of a spec."""
DEFAULT_SCORE = "l2"
"""The score of a spec that names none."""


def read_spec(spec: str) -> dict[str, str]:
    """Returns the arguments of `BotWireStorage` in a spec.

    Raises:
        ConfigurationError: It is not a spec.
    """
    parts = urlsplit(spec)
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    # `netloc` and not `hostname`, which has no capitals.
    namespace = unquote(parts.netloc)
    path = parts.path.strip("/")
    if not spec.startswith(SPEC_PREFIX) or path or options.keys() - {"url", "score"}:
        raise ConfigurationError(f"{spec!r:.200} is not botwire://namespace?url=…&score=…")
    return {**({"namespace": namespace} if namespace else {}), **options}


def write_spec(reference: Mapping[str, str], score: str) -> str:
    """Returns the spec of a place, without any secret.

    Args:
        reference: The place; see `botwire.connection.Connection.reference`.
        score: ``l2`` or ``cosine``.
    """
    options = {"url": reference["url"]} if "url" in reference else {}
    if score != DEFAULT_SCORE:
        options["score"] = score
    query = f"?{urlencode(options)}" if options else ""
    return f"{SPEC_PREFIX}{quote(reference['namespace'], safe='')}{query}"
