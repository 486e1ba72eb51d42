"""Retention: limits on histories and records, and holds that prevent deletion.

from botwire.retention import Policy, Retention

retention = Retention()
retention.set(Policy("chats", "team-a-*", histories="chat-*", age=90 * 86_400))
retention.hold("case-7", "user-123", reason="litigation")
print(retention.plan())     # what would be deleted, and how many bytes
retention.apply()           # deletes exactly that, in parts
"""

from botwire.operations import RetentionPolicy as Policy
from botwire.retention._async import AsyncRetention
from botwire.retention._sync import Retention
from botwire.retention.report import Removal, Report

__all__ = ["AsyncRetention", "Policy", "Removal", "Report", "Retention"]
