"""Embeddings as they are stored and sent: 32-bit floats."""

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
    """An immutable embedding.

    Attributes:
        raw: The numbers as little-endian 32-bit floats.
    """

    __slots__ = ("raw",)

    raw: bytes

    @classmethod
    def of(cls, values: Iterable[float], path: str = "embedding") -> Vector:
        """Returns the vector of a caller's numbers, rounded to 32 bits.

        Args:
            values: Finite numbers: a list, or a one-dimensional array.
            path: The name of the value in errors.

        Raises:
            ConfigurationError: The value is not a list of finite numbers.
        """
        if isinstance(values, Vector):
            return values
        if isinstance(values, (str, bytes, bytearray, memoryview, dict, set)):
            raise ConfigurationError(
                f"{path} must be a list of numbers, not {type(values).__name__}"
            )
        try:
            numbers = array("f", values)
        except (TypeError, ValueError, OverflowError) as error:
            raise ConfigurationError(f"{path} must be a list of numbers: {error}") from None
        return cls._checked(numbers, path)

    @classmethod
    def from_bytes(cls, raw: bytes) -> Vector:
        """Returns the vector of untrusted bytes.

        Raises:
            ConfigurationError: They are not finite 32-bit floats.
        """
        if len(raw) % 4:
            raise ConfigurationError(
                f"an embedding must be 32-bit floats, four bytes each, not {len(raw):,} bytes"
            )
        numbers = array("f", raw)
        if sys.byteorder == "big":
            numbers.byteswap()
        return cls._checked(numbers, "an embedding")

    @classmethod
    def _checked(cls, numbers: array[float], path: str) -> Vector:
        if not 1 <= len(numbers) <= MAX_DIMENSION:
            raise ConfigurationError(
                f"{path} must have 1 to {MAX_DIMENSION} numbers, not {len(numbers)}"
            )
        # A sum of so few 32-bit floats cannot overflow, so it is finite if and only if all are.
        if not math.isfinite(sum(numbers)):
            i = next(i for i, number in enumerate(numbers) if not math.isfinite(number))
            raise ConfigurationError(f"{path}[{i}] is not a finite number that fits 32 bits")
        if sys.byteorder == "big":
            numbers = array("f", numbers)
            numbers.byteswap()
        return cls.stored(numbers.tobytes())

    @classmethod
    def stored(cls, raw: bytes) -> Vector:
        """Returns the vector of trusted bytes: the `raw` of another vector."""
        new = cls.__new__(cls)
        new.raw = raw
        return new

    @property
    def dimension(self) -> int:
        """How many numbers it has."""
        return len(self.raw) // 4

    @property
    def values(self) -> list[float]:
        """The numbers; the caller owns the list."""
        numbers = array("f", self.raw)
        if sys.byteorder == "big":
            numbers.byteswap()
        return numbers.tolist()

    def __eq__(self, other: object) -> bool:
        return self.raw == other.raw if isinstance(other, Vector) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.raw)

    def __reduce__(self) -> tuple[Any, ...]:
        return Vector.stored, (self.raw,)

    def __repr__(self) -> str:
        return f"Vector({self.dimension} numbers)"
