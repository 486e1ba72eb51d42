"""Hooks of Claude Code: recall at the start of a session, save before compaction and at its end."""
