# Generated from engines/postgres/_async/__init__.py by scripts/generate_blocking.py: do not edit.
"""The PostgreSQL engine, asynchronous."""
