"""Memory for agents that stays when their process ends."""

from botwire._async.history import AsyncHistory
from botwire._async.memory import AsyncMemory
from botwire._sync.history import History
from botwire._sync.memory import Memory
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
from botwire.models import Change, Entry, HistoryInfo, Item

__all__ = [
    "APIError",
    "AsyncHistory",
    "AsyncMemory",
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
    "Memory",
    "NotFoundError",
    "NotJSONError",
    "PayloadTooLargeError",
    "PermissionDeniedError",
    "ProtocolError",
    "QuotaExceededError",
    "RequestTimeoutError",
    "ServerError",
    "TransportError",
]
