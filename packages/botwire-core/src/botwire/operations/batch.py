"""A batch of operations: what a client sends and an engine applies."""

from dataclasses import dataclass, field
from typing import Any

from botwire import names
from botwire.errors import ConfigurationError
from botwire.operations.authors import Author
from botwire.operations.base import AnyOperation
from botwire.operations.past import Moment, check_moment
from botwire.operations.terms import BatchTerms


@dataclass(frozen=True)
class Batch:
    """Operations on one namespace that are applied in order, all or none.

    Attributes:
        idempotency_id: Makes a retry harmless: an engine that has already applied a batch with this
            id returns the same results again. None where no answer can get lost.
        digest: The digest of the request that carried the batch, in ASCII. The same id with another
            digest is a different request and is refused. None skips this check.
        terms: The terms on which a server accepts it; never sent by a client.
        author: Who makes the changes; stored with each change.
        at: The past moment to read; None means now.
        writes: Whether any operation may change something.
        maintains: Whether the database itself carries it out; see `Operation.maintains`.
        needs_snapshot: Whether all reads must see the same moment.
    """

    namespace: str
    operations: tuple[AnyOperation, ...]
    idempotency_id: str | None = None
    digest: str | None = None
    terms: BatchTerms | None = field(default=None, compare=False)
    author: Author | None = None
    at: Moment | None = None
    writes: bool = field(init=False, repr=False, compare=False)
    maintains: bool = field(init=False, repr=False, compare=False)
    needs_snapshot: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names.check_any_namespace(self.namespace)
        if self.idempotency_id is not None:
            names.check_id(self.idempotency_id)
        writes = maintains = False
        needs_snapshot = len(self.operations) > 1 or self.at is not None
        if self.at is not None:
            check_moment(self.at)
        for operation in self.operations:
            if operation.storewide:
                self._check_storewide(operation)
            if self.at is not None and not operation.has_past:
                raise ConfigurationError(_not_past(operation))
            writes = writes or operation.writes
            maintains = maintains or operation.maintains
            needs_snapshot = needs_snapshot or operation.needs_snapshot
        # Asked for often, on the way from a request to the database.
        vars(self).update(writes=writes, maintains=maintains, needs_snapshot=needs_snapshot)

    def on_terms(self, terms: BatchTerms) -> "Batch":
        """Returns this batch on other terms."""
        return self._with(terms=terms)

    def by(self, author: Author) -> "Batch":
        """Returns this batch with another author."""
        return self._with(author=author)

    def _with(self, **changed: Any) -> "Batch":
        new = object.__new__(Batch)
        vars(new).update(vars(self), **changed)  # `replace` would check everything again
        return new

    def _check_storewide(self, operation: AnyOperation) -> None:
        name = type(operation).__name__
        if self.namespace != names.SYSTEM_NAMESPACE:
            raise ConfigurationError(
                f"{name} is about the whole store and is answered in the namespace "
                f"{names.SYSTEM_NAMESPACE!r}, not in {self.namespace!r:.80}"
            )
        if operation.maintains and len(self.operations) > 1:
            raise ConfigurationError(f"{name} must be the only operation of its batch")


def _not_past(operation: AnyOperation) -> str:
    name = type(operation).__name__
    if operation.writes:
        return f"the past cannot be changed ({name}): write to the present"
    return f"{name} has no past: ask it of the present"


Results = list[Any]
"""One result per operation, in order; the operation's class names the type."""
