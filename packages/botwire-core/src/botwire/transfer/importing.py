"""Reads an export back into a store; see `transfer.lines`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from botwire.engines.protocol import Engine
from botwire.errors import APIError, ConfigurationError, NotFoundError
from botwire.operations import REFUSE
from botwire.retention import Policy
from botwire.transfer import lines
from botwire.transfer.policies import write_policies
from botwire.transfer.progress import Progress, Tally
from botwire.transfer.reading import matcher
from botwire.transfer.restoring import Restorer


def load(
    engine: Engine,
    given: Iterable[bytes],
    *,
    namespaces: Iterable[str] = (),
    conflict: str = REFUSE,
    progress: Progress | None = None,
) -> Tally:
    """Writes the lines of an export into a store.

    The import skips data that the store already has, so an interrupted one can simply be repeated.
    Each batch of a few hundred lines is atomic. Policies and holds are set last, and only if
    `namespaces` is empty.

    Args:
        engine: The store to write to.
        given: The lines, for example a file in binary mode.
        namespaces: Patterns that select namespaces; ``*`` matches any characters.
        conflict: What to do if the store has newer or different data: ``refuse``, ``keep`` the
            stored data, or ``overwrite`` it.
        progress: Called periodically.

    Returns:
        Counts of what was read, written and left unchanged.

    Raises:
        ConfigurationError: A line is damaged or comes from a newer release; the message names it,
            and its batch is not written. Or the export is truncated; its lines are written.
        ConflictError: See `conflict`; the message names the lines.
        NotFoundError: A pattern without ``*`` names a namespace that is not in the export.
    """
    tally = Tally()
    patterns = list(namespaces)
    wanted = matcher(patterns)
    missing = {pattern for pattern in patterns if "*" not in pattern}
    restorer = Restorer(engine, tally, conflict=conflict)
    numbered = enumerate(given, 1)
    policies: list[Policy] = []
    number, whole = 1, False
    with _at_line(1):
        lines.check_header(next(numbered, (1, b""))[1])
    for number, text in numbered:
        with _at_line(number):
            if whole:
                raise ConfigurationError("the export continues after its last line")
            document = lines.load_object(text)
            if document["type"] == "end":
                lines.check_end(document, tally)
                whole = True
                continue
            if document["type"] == "policy":
                tally.count("policy", progress)
                policies.append(lines.to_policy(document))
                continue
            line = lines.from_document(document)
            tally.count(line.kind, progress)
            if wanted(line.namespace):
                missing.discard(line.namespace)
                restorer.add(line)
            elif line.kind in ("key", "item", "record"):
                tally.skipped += 1
    with _at_line(number):
        restorer.close()
        if patterns:
            tally.skipped += len(policies)
        else:
            write_policies(engine, policies, tally, conflict=conflict)
    if progress is not None:
        progress(tally)
    if not whole:
        raise ConfigurationError(
            f"the export is truncated after line {number}: everything before is written, the rest "
            "is missing"
        )
    if missing:
        raise NotFoundError(f"the export has no namespace {min(missing)!r}")
    return tally


@contextmanager
def _at_line(number: int) -> Iterator[None]:
    """Adds the line number to errors raised in the block."""
    try:
        yield
    except APIError as error:
        # The store raised it for some line of the batch that ends here.
        error.detail = f"in the lines up to {number}: {error.detail}"
        error.args = (error.detail,)
        raise
    except ConfigurationError as error:
        raise ConfigurationError(f"line {number}: {error}") from None
