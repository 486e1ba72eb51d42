"""The clients: `Memory` and `AsyncMemory`, with their histories, records and transactions."""

from botwire.client._async.history import AsyncHistory
from botwire.client._async.memory import AsyncMemory
from botwire.client._async.records import AsyncRecords
from botwire.client._sync.history import History
from botwire.client._sync.memory import Memory
from botwire.client._sync.records import Records

__all__ = ["AsyncHistory", "AsyncMemory", "AsyncRecords", "History", "Memory", "Records"]
