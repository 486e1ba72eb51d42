# Generated from _async/__init__.py by scripts/generate_blocking.py: do not edit.
"""The client, asynchronous; its blocking twin is generated from it (scripts/generate_blocking.py)."""
