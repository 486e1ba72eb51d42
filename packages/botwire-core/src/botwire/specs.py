"""Specs: one string that says where memory lives, for frameworks that configure stores by a string.

A spec is ``botwire://NAMESPACE?url=URL``, its parts percent-encoded. Both parts are optional; the
environment supplies what is missing. An API key is never part of a spec.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from botwire.errors import ConfigurationError

SPEC_SCHEME = "botwire"
SPEC_PREFIX = f"{SPEC_SCHEME}://"
"""The prefix of a spec."""


def read_spec(spec: str, *, options: Collection[str] = ()) -> dict[str, str]:
    """Returns the arguments that a spec gives: ``namespace``, ``url`` and options.

    Args:
        spec: The spec.
        options: Names of further options to accept.

    Raises:
        ConfigurationError: It is not a spec.
    """
    parts = urlsplit(spec)
    given = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    # `netloc` and not `hostname`, which has no capitals.
    namespace = unquote(parts.netloc)
    path = parts.path.strip("/")
    if not spec.startswith(SPEC_PREFIX) or path or given.keys() - {"url", *options}:
        form = "&".join(f"{name}=…" for name in ("url", *options))
        raise ConfigurationError(f"{spec!r:.200} is not {SPEC_PREFIX}namespace?{form}")
    return {**({"namespace": namespace} if namespace else {}), **given}


def write_spec(reference: Mapping[str, str], **options: str) -> str:
    """Returns the spec of a place, without any secret.

    Args:
        reference: The place; see `botwire.connection.Connection.reference`.
        **options: Further options.
    """
    given = {"url": reference["url"]} if "url" in reference else {}
    given.update(options)
    query = f"?{urlencode(given)}" if given else ""
    return f"{SPEC_PREFIX}{quote(reference['namespace'], safe='')}{query}"
