"""A bare FastAPI application, as a user would write one: the baseline of the server's rows.

python bare_server.py PORT FOLDER
"""

from __future__ import annotations

import json
import sqlite3
import sys
import threading
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

VALUE = {"role": "user", "text": "hello " * 20}


def make(folder: Path) -> FastAPI:
    """Returns the application, whose database is in a folder."""
    app = FastAPI()
    stored: dict[str, Any] = {"k": VALUE}
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE items (seq INTEGER PRIMARY KEY, value TEXT)")
    lock = threading.Lock()

    @app.get("/memory/{key}")
    async def get(key: str) -> Any:
        return stored[key]

    @app.post("/memory")
    async def put(value: dict[str, Any]) -> dict[str, int]:
        stored["posted"] = value
        return {"version": 1}

    @app.post("/commits")
    def commit(value: dict[str, Any]) -> dict[str, int]:
        with lock:
            connection.execute("BEGIN IMMEDIATE")
            row = connection.execute("INSERT INTO items (value) VALUES (?)", (json.dumps(value),))
            connection.execute("COMMIT")
        return {"seq": row.lastrowid or 0}

    return app


if __name__ == "__main__":
    port, folder = sys.argv[1:]
    uvicorn.run(make(Path(folder)), port=int(port), access_log=False, log_level="warning")
