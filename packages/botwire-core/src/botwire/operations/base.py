"""What an operation is, and how one is declared."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import (
    Any,
    ClassVar,
    Generic,
    Self,
    TypeVar,
    dataclass_transform,
    get_args,
    get_origin,
)

from botwire.errors import ConfigurationError
from botwire.operations.annotations import Checked, decoder_of, encoder_of, field_of
from botwire.operations.codecs import Codec

R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")


class Operation(Checked, Generic[R_co]):
    """The base of all operations. ``Operation[int]`` is one whose result is an int.

    Creating one checks its fields, so engines never see an invalid field.
    """

    __slots__ = ()

    writes: ClassVar[bool] = False
    """Whether the operation may change something."""
    removes: ClassVar[bool] = False
    """Whether it can only delete. Quotas never refuse it, and a server's audit log records it."""
    may_remove: ClassVar[bool] = False
    """Whether it writes, and may delete or replace something too. Holds check such an operation."""
    needs_snapshot: ClassVar[bool] = False
    """Whether it runs several reads that must all see the same moment."""
    has_past: ClassVar[bool] = False
    """Whether it can be answered as of an earlier moment; see `Batch.at`."""
    admin: ClassVar[bool] = False
    """Whether it requires the right `admin` on a server."""
    storewide: ClassVar[bool] = False
    """Whether it concerns the whole store. It is then applied in the system namespace only."""
    maintains: ClassVar[bool] = False
    """Whether the database itself carries it out, outside transactions and alone in its batch."""
    audits: ClassVar[bool] = False
    """Whether the engine records it in the audit log, instead of the server."""

    @property
    def reach(self) -> str:
        """The pattern of namespaces that a storewide operation concerns; by default all."""
        return "*"


class Paged(Operation[R_co]):
    """Reads one page: its result is the page's elements and whether there are more."""

    __slots__ = ()

    @property
    def backwards(self) -> bool:
        """Whether it reads from the end, so that the next page precedes the last element."""
        return False

    def following(self, page: Any) -> Self | None:
        """Returns the operation that reads the page after `page`; None if that was the last."""
        elements, more = page
        if not more:
            return None
        last = elements[-1]
        bound = "before" if self.backwards else "after"
        return replace(self, **{bound: last if isinstance(last, str) else last[0]})  # type: ignore[type-var]


class Parted(Operation[R_co]):
    """Deletes up to a limit, if it has one; the client repeats it until nothing is left."""

    __slots__ = ()

    def is_over(self, count: int) -> bool:
        """Returns whether nothing is left, after `count` were deleted."""
        limit: int | None = getattr(self, "limit", None)
        return limit is None or count < limit


AnyOperation = Operation[Any]
"""An operation, whatever its result."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """Everything derived from the class of an operation.

    Attributes:
        make: The class.
        name: What the operation is called in JSON, for example ``put_key``.
        encode: Returns an operation as JSON.
        decode: Reads the fields of an operation; see `codecs.Codec`.
        result: The codec of its result.
    """

    make: type[AnyOperation]
    name: str
    encode: Callable[[Any], str]
    decode: Callable[[Any, str | None], Any]
    result: Codec


OPERATIONS: dict[str, Declaration] = {}
"""Every declared operation by its name in JSON."""
BY_CLASS: dict[type[Any], Declaration] = {}
"""Every declared operation by its class."""


def declaration_of(operation: AnyOperation) -> Declaration:
    """Returns the declaration of an operation.

    Raises:
        ConfigurationError: Its class was not declared.
    """
    declaration = BY_CLASS.get(type(operation))
    if declaration is None:
        raise ConfigurationError(
            f"{type(operation).__name__} is not declared as an operation: decorate the class with "
            "botwire.operations.operation instead of dataclass"
        )
    return declaration


@dataclass_transform(frozen_default=True)
def operation(cls: type[T]) -> type[T]:
    """Declares an operation: turns the class into an immutable value and derives the rest from it.

    Engines must still implement it; for SQL see `botwire.engines.sql.handlers`.

    Raises:
        TypeError: The result, or a field, has no form in JSON.
    """
    made: Any = dataclass(frozen=True, slots=True)(cls)
    result = [
        get_args(base)
        for base in getattr(made, "__orig_bases__", ())
        if issubclass(get_origin(base) or object, Operation)
    ]
    if not result:
        raise TypeError(f"{cls.__name__} must name its result: class {cls.__name__}(Operation[…])")
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()
    OPERATIONS[name] = BY_CLASS[made] = Declaration(
        made,
        name,
        encoder_of(made, f'"op":"{name}"'),
        decoder_of(made),
        field_of(result[0][0]).codec,
    )
    return made  # type: ignore[no-any-return]
