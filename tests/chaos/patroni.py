"""Three PostgreSQL servers that Patroni keeps in step, two BotWire servers over them.

It needs Debian's packages: ``apt-get install patroni etcd-server postgresql``. Each node is reached
through proxies, and reaches etcd through proxies of its own, so that a node can be cut off without
the rights of an administrator.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import random
import shutil
import socket
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil

from tests.chaos.places import Place
from tests.chaos.processes import Server
from tests.chaos.proxy import Proxy

T = TypeVar("T")

NEEDED = "apt-get install patroni etcd-server postgresql"
NODES = 3
PATIENCE = 180.0
"""Seconds that the cluster may take to elect a leader, or to be whole again."""
SETTINGS = {
    # The shortest time after which Patroni lets others take over a leader that is silent.
    "ttl": 20,
    "loop_wait": 2,
    "retry_timeout": 5,
    "synchronous_mode": True,
    "synchronous_mode_strict": True,
    "postgresql": {
        "use_pg_rewind": True,
        "parameters": {
            "max_connections": 100,
            "shared_buffers": "32MB",
            "synchronous_commit": "on",
            "wal_log_hints": "on",
        },
    },
}
QUIET = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
"""The environment of what is started: it uses none of this program's packages."""


class MissingError(Exception):
    """A package is not installed."""


@contextlib.contextmanager
def patroni(source: random.Random) -> Iterator[Place]:
    """A cluster whose leader is killed or cut off, with two servers over it."""
    with contextlib.ExitStack() as stack:
        cluster = Cluster(stack)
        cluster.settled()
        servers = []
        for _ in range(2):
            server = Server(cluster.url)
            stack.callback(server.kill)
            servers.append(server)
        notes: list[str] = []

        def settle() -> None:
            cluster.settled()
            for server in servers:
                notes.append(_warnings(server.process.stderr))
                server.kill()

        yield Place(
            [f"http://127.0.0.1:{server.port}" for server in servers],
            cluster.url,
            {
                "leader killed": cluster.kill_leader,
                "leader cut off": cluster.cut_leader_off,
                "standby killed": cluster.kill_standby,
                "etcd member killed": lambda: cluster.kill_member(source.randrange(NODES)),
            },
            settle=settle,
            notes=notes,
        )


def _warnings(log: str) -> str:
    """Counts the warnings and errors in a server's log, by their first words."""
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    above = [line["message"] for line in lines if line["level"] != "info"]
    counted = Counter(" ".join(message.split()[:3]) for message in above)
    found = ", ".join(f"{count} {words!r}" for words, count in counted.most_common())
    return f"a server's log  {len(lines):,} lines; {found}; {log.count('Traceback')} tracebacks"


class Member:
    """One of the processes of etcd.

    Args:
        number: Its number.
        ports: The ports of all members, for clients and for the other members.
        folder: Where it keeps its data.
        user: The user that it runs as.
    """

    def __init__(
        self, number: int, ports: list[tuple[int, int]], folder: Path, user: str | None
    ) -> None:
        clients, others = (f"http://127.0.0.1:{port}" for port in ports[number])
        cluster = ",".join(f"m{i}=http://127.0.0.1:{each[1]}" for i, each in enumerate(ports))
        self._user = user
        self._folder = folder
        self._command = [
            *(_program("etcd"), "--name", f"m{number}", "--data-dir", str(folder / f"m{number}")),
            *("--listen-client-urls", clients, "--advertise-client-urls", clients),
            *("--listen-peer-urls", others, "--initial-advertise-peer-urls", others),
            *("--initial-cluster", cluster, "--log-level", "error"),
            # A busy machine must not look like a member that is down.
            *("--heartbeat-interval", "500", "--election-timeout", "5000"),
        ]
        self.start()

    def start(self) -> None:
        """Starts it, again too."""
        self.process = _start(self._command, self._folder, self._user)

    def kill(self) -> None:
        """Kills it at once."""
        self.process.kill()
        self.process.wait()


class Node:
    """One PostgreSQL with its Patroni.

    Args:
        number: Its number.
        etcd: The ports of etcd's members.
        folder: Where it keeps its data.
        user: The user that it runs as.

    Attributes:
        rest: The port at which Patroni tells the node's role.
        port: The port at which others reach its PostgreSQL.
    """

    def __init__(self, number: int, etcd: list[int], folder: Path, user: str | None) -> None:
        self.name = f"node{number}"
        self.rest, own = _free_port(), _free_port()
        self._user = user
        self._folder = folder
        self._data = folder / self.name
        inward = [Proxy(own), Proxy(self.rest)]
        outward = [Proxy(port) for port in etcd]
        self._lines = [*inward, *outward]
        self.port = inward[0].port
        config = {
            "scope": "botwire",
            "name": self.name,
            "restapi": {
                "listen": f"127.0.0.1:{self.rest}",
                "connect_address": f"127.0.0.1:{inward[1].port}",
            },
            "etcd3": {
                "hosts": [f"127.0.0.1:{line.port}" for line in outward],
                "use_proxies": True,  # or Patroni would ask for the members' own addresses
            },
            "bootstrap": {
                "dcs": SETTINGS,
                "initdb": [{"encoding": "UTF8"}, {"locale": "C.UTF-8"}],
                "pg_hba": [
                    "local all all trust",
                    "host all all 127.0.0.1/32 trust",
                    "host replication all 127.0.0.1/32 trust",
                ],
            },
            "postgresql": {
                "listen": f"127.0.0.1:{own}",
                "connect_address": f"127.0.0.1:{self.port}",
                "data_dir": str(self._data),
                "bin_dir": str(_binaries()),
                "pgpass": str(folder / f"{self.name}.pgpass"),
                "authentication": {
                    user: {"username": user, "password": "botwire"}
                    for user in ("replication", "rewind")
                }
                | {"superuser": {"username": "postgres", "password": "botwire"}},
                "parameters": {"unix_socket_directories": str(folder)},
            },
        }
        self._config = folder / f"{self.name}.yml"
        self._config.write_text(json.dumps(config))  # JSON is YAML
        self.start()

    def start(self) -> None:
        """Starts it, again too."""
        command = [_program("patroni"), str(self._config)]
        self.process = _start(command, self._folder, self._user)

    def kill(self) -> None:
        """Kills all its processes at once, as a machine that loses its power does."""
        doomed = [psutil.Process(self.process.pid)]
        with contextlib.suppress(OSError, ValueError, psutil.NoSuchProcess):
            # PostgreSQL is no child of Patroni, and survives it.
            pid = int((self._data / "postmaster.pid").read_text().split()[0])
            doomed.append(psutil.Process(pid))
        for each in list(doomed):
            with contextlib.suppress(psutil.NoSuchProcess):
                each.suspend()  # first those that would start others
                doomed += each.children(recursive=True)
        for each in doomed:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        self.process.wait()

    def cut_off(self) -> None:
        """Lets nothing through in either direction; no connection is closed."""
        for line in self._lines:
            line.hold()

    def connect(self) -> None:
        """Ends `cut_off`; what was held arrives late."""
        for line in self._lines:
            line.release()

    def close(self) -> None:
        """Kills it, and closes its lines."""
        self.kill()
        for line in self._lines:
            line.close()


class Cluster:
    """Three nodes, and three members of etcd by which they agree.

    Args:
        stack: Ends what is started.

    Raises:
        MissingError: A package is not installed.
    """

    def __init__(self, stack: contextlib.ExitStack) -> None:
        user = "postgres" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="bw", dir="/tmp"))
        folder = Path(name)  # short, as the path of a socket must be
        if user is not None:
            shutil.chown(folder, user)
        ports = [(_free_port(), _free_port()) for _ in range(NODES)]
        self._members = []
        for number in range(NODES):
            member = Member(number, ports, folder, user)
            stack.callback(member.kill)
            self._members.append(member)
        self._nodes = []
        for number in range(NODES):
            node = Node(number, [clients for clients, _ in ports], folder, user)
            stack.callback(node.close)
            self._nodes.append(node)

    @property
    def url(self) -> str:
        """The URL with which a client finds the leader."""
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self._nodes)
        return f"postgresql://postgres@{hosts}/postgres?target_session_attrs=read-write"

    def settled(self) -> Node:
        """Waits until all nodes follow one leader, and one of them synchronously; returns it."""
        return _until(self._leader_if_settled, "the cluster is not whole")

    def kill_leader(self) -> None:
        """Kills the leader, and starts it again once there is another."""
        node = self.settled()
        node.kill()
        self._wait_for_another(node)
        node.start()

    def cut_leader_off(self) -> None:
        """Cuts the leader off from etcd, the other nodes and all clients until there is another."""
        node = self.settled()
        node.cut_off()
        try:
            self._wait_for_another(node)
        finally:
            node.connect()

    def kill_standby(self) -> None:
        """Kills the node without which no write is acknowledged, and starts it again."""
        self.settled()
        (name,) = [name for name, role in self._roles().items() if role == "sync_standby"]
        (node,) = [node for node in self._nodes if node.name == name]
        node.kill()
        _until(lambda: "sync_standby" in {**self._roles(), name: ""}.values(), "no standby")
        node.start()

    def kill_member(self, number: int) -> None:
        """Kills a member of etcd, and starts it again."""
        self.settled()
        self._members[number].kill()
        self._members[number].start()

    def _wait_for_another(self, node: Node) -> None:
        others = [other for other in self._nodes if other is not node]
        _until(lambda: next(filter(_is_leader, others), None), "no other node became the leader")

    def _roles(self) -> dict[str, str]:
        """Returns the role of each node that is running, as one of them sees it."""
        for node in self._nodes:
            members = _ask(node, "cluster").get("members", ())
            if members:
                running = ("running", "streaming")
                return {one["name"]: one["role"] for one in members if one["state"] in running}
        return {}

    def _leader_if_settled(self) -> Node | None:
        if sorted(self._roles().values()) != ["leader", "replica", "sync_standby"]:
            return None
        return next(filter(_is_leader, self._nodes), None)


def _is_leader(node: Node) -> bool:
    """Returns whether a node says that it is the leader, and etcd agrees."""
    return bool(_ask(node, "primary"))


def _ask(node: Node, what: str) -> dict[str, Any]:
    """Returns what a node's Patroni answers; nothing if it is down or says no."""
    try:
        answer = httpx.get(f"http://127.0.0.1:{node.rest}/{what}", timeout=5, trust_env=False)
    except httpx.HTTPError:
        return {}
    found: dict[str, Any] = answer.json() if answer.is_success else {}
    return found


def _until(check: Callable[[], T | None], what: str) -> T:
    """Asks until there is an answer, and returns it."""
    end = time.monotonic() + PATIENCE
    while not (found := check()):
        assert time.monotonic() < end, f"{what} after {PATIENCE:.0f} s"
        time.sleep(0.2)
    return found


def _start(command: list[str], folder: Path, user: str | None) -> subprocess.Popen[bytes]:
    """Starts a program whose log is in a folder."""
    with (folder / f"{Path(command[0]).name}.log").open("ab") as log:
        return subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            user=user,
            group=None if user is None else pwd.getpwnam(user).pw_gid,
            extra_groups=None if user is None else [],
            cwd=folder,
            env=QUIET,
        )


def _program(name: str) -> str:
    found = shutil.which(name, path=QUIET["PATH"])
    if found is None:
        raise MissingError(f"{name} is missing: {NEEDED}")
    return found


def _binaries() -> Path:
    """Returns the folder of the newest PostgreSQL."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parts[-2]))
    if not found:
        raise MissingError(f"PostgreSQL is missing: {NEEDED}")
    return found[-1]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
