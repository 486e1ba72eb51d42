"""A PostgreSQL behind PgBouncer in transaction mode, with fewer connections than writers.

Needs Debian's package: ``apt-get install pgbouncer``. The faults are PgBouncer killed and started
again, the database killed, its connections cut, and answers lost on the way.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.chaos.places import Place, database_faults, is_commit, line_faults
from tests.chaos.processes import own_postgres
from tests.chaos.proxy import Proxy

_SETTINGS = """
[databases]
* = host=127.0.0.1 port={database}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
server_idle_timeout = 1
server_login_retry = 1
"""


class PgBouncer:
    """A PgBouncer in front of a database.

    Args:
        folder: For its settings.
        database: The port of the database.
    """

    def __init__(self, folder: Path, database: int) -> None:
        self._program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
        assert self._program is not None, "pgbouncer is missing: apt-get install pgbouncer"
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        self._settings = folder / "pgbouncer.ini"
        # All log in as one user, whatever they call themselves.
        text = _SETTINGS.format(database=f"{database} user=postgres", port=self.port)
        self._settings.write_text(text)
        folder.chmod(0o755)
        self._start()

    def _start(self) -> None:
        assert self._program is not None
        # It refuses to run as root.
        user = "nobody" if os.geteuid() == 0 else None
        self._process = subprocess.Popen(
            [self._program, "-q", str(self._settings)], user=user, stderr=subprocess.DEVNULL
        )

    def kill(self) -> None:
        """Kills it at once, ``kill -9``."""
        self._process.kill()
        self._process.wait()

    def kill_and_restart(self) -> None:
        """Kills it and starts it again."""
        self.kill()
        self._start()


@contextlib.contextmanager
def pgbouncer(source: random.Random) -> Iterator[Place]:
    """PgBouncer on a bad line."""
    with (
        own_postgres() as database,
        tempfile.TemporaryDirectory() as folder,
        contextlib.ExitStack() as stack,
    ):
        pooler = PgBouncer(Path(folder), database.port)
        stack.callback(pooler.kill)
        proxy = Proxy(pooler.port, is_commit)
        stack.callback(proxy.close)
        yield Place(
            [f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres"],
            database.url,
            {
                "pooler killed": pooler.kill_and_restart,
                **database_faults(database),
                **line_faults([proxy], source),
            },
            settle=pooler.kill,
        )
