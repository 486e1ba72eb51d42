"""The operations implemented in SQL, once for SQLite and PostgreSQL; see `batches`."""
