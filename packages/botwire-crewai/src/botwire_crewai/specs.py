"""Specs of storages: ``botwire://namespace?url=…&score=…``, as CrewAI dumps and reads them."""

from __future__ import annotations

from collections.abc import Mapping

from botwire import specs

SPEC_PREFIX = specs.SPEC_PREFIX
"""The prefix of a spec."""
DEFAULT_SCORE = "l2"
"""The default score."""


def read_spec(spec: str) -> dict[str, str]:
    """Returns the arguments of `BotWireStorage` in a spec.

    Raises:
        ConfigurationError: The text is not a spec.
    """
    return specs.read_spec(spec, options=("score",))


def write_spec(reference: Mapping[str, str], score: str) -> str:
    """Returns the spec of a place, without any secret.

    Args:
        reference: The place; see `botwire.connection.Connection.reference`.
        score: ``l2`` or ``cosine``.
    """
    return specs.write_spec(reference, **({} if score == DEFAULT_SCORE else {"score": score}))
