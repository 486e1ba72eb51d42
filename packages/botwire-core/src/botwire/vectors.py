"""Embeddings as they are kept and sent: 32-bit floats, four bytes a number."""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Iterable
from typing import Any

from botwire.errors import ConfigurationError

MAX_DIMENSION = 65_536
"""Most numbers in an embedding."""


class Vector:
    """An embedding, an immutable value.

    Attributes:
        raw: Its numbers as little-endian 32-bit floats.
    """

    __slots__ = ("raw",)

    raw: bytes

    @classmethod
    def of(cls, values: Iterable[float], path: str = "embedding") -> Vector:
        """Takes a caller's numbers, rounded to 32 bits.

        Args:
            values: Finite numbers: a list, or a one-dimensional array.
            path: What to call them in an error.

        Raises:
            ConfigurationError: They are not that.
        """
        if isinstance(values, Vector):
            return values
        if isinstance(values, (str, bytes, bytearray, memoryview, dict, set)):
            raise ConfigurationError(f"{path} is a list of numbers, not {type(values).__name__}")
        try:
            numbers = array("f", values)
        except (TypeError, ValueError, OverflowError) as error:
            raise ConfigurationError(f"{path} is a list of numbers: {error}") from None
        return cls._checked(numbers, path)

    @classmethod
    def from_bytes(cls, raw: bytes) -> Vector:
        """Takes bytes that came from somewhere else.

        Raises:
            ConfigurationError: They are not finite 32-bit floats.
        """
        if len(raw) % 4:
            raise ConfigurationError("an embedding is 32-bit floats, four bytes each")
        numbers = array("f", raw)
        if sys.byteorder == "big":
            numbers.byteswap()
        return cls._checked(numbers, "an embedding")

    @classmethod
    def _checked(cls, numbers: array[float], path: str) -> Vector:
        if not 1 <= len(numbers) <= MAX_DIMENSION:
            raise ConfigurationError(f"{path} has 1 to {MAX_DIMENSION} numbers, not {len(numbers)}")
        # A sum of so few 32-bit floats cannot overflow, so it is finite if and only if all are.
        if not math.isfinite(sum(numbers)):
            i = next(i for i, number in enumerate(numbers) if not math.isfinite(number))
            raise ConfigurationError(f"{path}[{i}] is not a number that fits 32 bits")
        if sys.byteorder == "big":
            numbers = array("f", numbers)
            numbers.byteswap()
        return cls.stored(numbers.tobytes())

    @classmethod
    def stored(cls, raw: bytes) -> Vector:
        """Takes the `raw` of a vector that was made before."""
        new = cls.__new__(cls)
        new.raw = raw
        return new

    @property
    def dimension(self) -> int:
        """How many numbers it has."""
        return len(self.raw) // 4

    @property
    def values(self) -> list[float]:
        """Its numbers; the caller owns the list."""
        numbers = array("f", self.raw)
        if sys.byteorder == "big":
            numbers.byteswap()
        return numbers.tolist()

    def normalised(self) -> tuple[Vector, float]:
        """Returns it divided by its length, and its length; one of zeros stays as it is."""
        values = self.values
        norm = math.hypot(*values)
        if not norm:
            return self, norm
        numbers = array("f", [value / norm for value in values])
        if sys.byteorder == "big":
            numbers.byteswap()
        return Vector.stored(numbers.tobytes()), norm

    def __eq__(self, other: object) -> bool:
        return self.raw == other.raw if isinstance(other, Vector) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.raw)

    def __reduce__(self) -> tuple[Any, ...]:
        return Vector.stored, (self.raw,)

    def __repr__(self) -> str:
        return f"Vector({self.dimension} numbers)"
