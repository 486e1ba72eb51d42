"""The client, asynchronous; its blocking twin is generated from it (scripts/generate_blocking.py)."""
