"""The connection that every adapter's classes hold: one place, with both clients for it."""

from botwire.connection.connected import Connected
from botwire.connection.connection import Acting, Connection
from botwire.connection.options import (
    ConnectionOptions,
    check_named,
    check_namespace_of,
    takes_connection,
)

__all__ = [
    "Acting",
    "Connected",
    "Connection",
    "ConnectionOptions",
    "check_named",
    "check_namespace_of",
    "takes_connection",
]
