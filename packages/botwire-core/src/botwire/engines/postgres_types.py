"""How values of ours travel to PostgreSQL; psycopg, an extra, is imported where this is."""

from __future__ import annotations

import struct
import sys
from array import array

import psycopg
from psycopg.adapt import AdaptersMap, Dumper
from psycopg.pq import Format

from botwire.vectors import Vector

_FLOAT4, _FLOAT4_ARRAY = 700, 1021  # pg_type.dat


class VectorDumper(Dumper):
    """Sends a `Vector` as ``float4[]``, in binary: no number is made into text and read again.

    See `array_recv` in PostgreSQL's ``arrayfuncs.c``. The type is PostgreSQL's own, so it has the
    same number in every database, and the same after an extension was made anew.
    """

    format = Format.BINARY
    oid = _FLOAT4_ARRAY

    def dump(self, obj: Vector) -> bytes:
        """Returns the array: its head, and before each number how many bytes it has."""
        parts = array("I", bytes(2 * len(obj.raw)))
        parts[0::2] = array("I", [4]) * obj.dimension
        parts[1::2] = array("I", obj.raw)
        if sys.byteorder == "little":
            parts.byteswap()
        else:
            numbers = parts[1::2]
            numbers.byteswap()
            parts[1::2] = numbers
        return struct.pack(">iiiii", 1, 0, _FLOAT4, obj.dimension, 1) + parts.tobytes()


ADAPTERS = AdaptersMap(psycopg.adapters)
"""What the connections of an engine know of types."""
ADAPTERS.register_dumper(Vector, VectorDumper)
