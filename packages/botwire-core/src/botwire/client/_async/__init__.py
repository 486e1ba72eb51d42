"""The memory client, asynchronous. Its twin is generated: scripts/generate_blocking.py."""
