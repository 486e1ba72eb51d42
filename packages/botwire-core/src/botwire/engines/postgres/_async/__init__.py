"""The PostgreSQL engine, asynchronous."""
