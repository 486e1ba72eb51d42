"""Memory for agents that stays when their process ends."""

from botwire._version import __version__
from botwire.client import AsyncHistory, AsyncMemory, AsyncRecords, History, Memory, Records
from botwire.errors import (
    APIError,
    AuthenticationError,
    BotWireError,
    ConfigurationError,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    NotJSONError,
    PayloadTooLargeError,
    PermissionDeniedError,
    ProtocolError,
    QuotaExceededError,
    RequestTimeoutError,
    ServerError,
    TransportError,
)
from botwire.models import Change, Entry, HistoryInfo, Item, Match, Record, RecordsInfo

__all__ = [
    "APIError",
    "AsyncHistory",
    "AsyncMemory",
    "AsyncRecords",
    "AuthenticationError",
    "BotWireError",
    "Change",
    "ConfigurationError",
    "ConflictError",
    "Entry",
    "History",
    "HistoryInfo",
    "InvalidRequestError",
    "Item",
    "Match",
    "Memory",
    "NotFoundError",
    "NotJSONError",
    "PayloadTooLargeError",
    "PermissionDeniedError",
    "ProtocolError",
    "QuotaExceededError",
    "Record",
    "Records",
    "RecordsInfo",
    "RequestTimeoutError",
    "ServerError",
    "TransportError",
    "__version__",
]
