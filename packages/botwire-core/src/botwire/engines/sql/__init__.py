"""What the operations mean in SQL, once for SQLite and PostgreSQL; see `batches`."""
