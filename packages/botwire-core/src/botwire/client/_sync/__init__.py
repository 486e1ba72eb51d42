# Generated from client/_async/__init__.py by scripts/generate_blocking.py: do not edit.
"""The memory client, blocking. Its twin is generated: scripts/generate_blocking.py."""
