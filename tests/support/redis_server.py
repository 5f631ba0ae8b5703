"""A Redis server of a test's own, from Debian's package: started, paused, killed, started again at the same port.

``TEST_REDIS_SERVER`` names another program, as Valkey's: ``TEST_REDIS_SERVER=/usr/bin/valkey-server pytest …``.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from ports import answers, free_port

from pytest_cluster.waiting import poll

__all__ = ["PROGRAM", "UNWILLING", "RedisCluster", "RedisServer", "Sentinels", "make_known", "needs_redis", "running"]

PROGRAM: Final = os.environ.get("TEST_REDIS_SERVER", "redis-server")

needs_redis = pytest.mark.skipif(
    shutil.which(PROGRAM) is None, reason=f"this machine has no {PROGRAM}: apt-get install redis-server"
)


UNWILLING: Final = {
    "refuses": ["--requirepass", "secret"],
    "read-only": ["--replicaof", "127.0.0.1 1", "--replica-read-only", "yes"],
    "full": ["--maxmemory", "1", "--maxmemory-policy", "noeviction"],
}
"""Options with which a server does not do what it is asked."""


class RedisServer:
    """A server that keeps nothing on the disk."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self, *options: str, name: str = "") -> None:
        """Start it, with further options, or from a file of that name in its folder."""
        own = [name] if name else ["--save", ""]
        command = [PROGRAM, *own, "--port", str(self.port), "--bind", "127.0.0.1", *options]
        self._process = subprocess.Popen(command, cwd=self._folder, stdout=subprocess.DEVNULL)
        assert poll(lambda: answers(self.port), 20)

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def restart(self, *options: str) -> None:
        self.kill()
        self.start(*options)

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """It stands still meanwhile, with all its connections open."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def make_known(server: RedisServer) -> None:
    """As if locks had been had of it for long: of one that has begun just now nobody gets one for four seconds."""
    with _client(server.port) as client:
        for name in ("default", "test"):
            client.set(f"{{nodecluster:{name}}}:1:tokens", 0)


@contextmanager
def running(folder: Path) -> Iterator[RedisServer]:
    """A server that runs, and is killed at the end."""
    server = RedisServer(folder)
    server.start()
    make_known(server)
    try:
        yield server
    finally:
        server.kill()


class Sentinels:
    """A master, a replica, and three Sentinels that agree on which one is the master."""

    def __init__(self, folder: Path) -> None:
        self._folders = [folder / name for name in ("one", "two", "s1", "s2", "s3")]
        for one in self._folders:
            one.mkdir()
        self.servers = [RedisServer(one) for one in self._folders[:2]]
        self.sentinels = [RedisServer(one) for one in self._folders[2:]]

    @property
    def url(self) -> str:
        return f"redis+sentinel://{','.join(f'127.0.0.1:{one.port}' for one in self.sentinels)}/main"

    def __enter__(self) -> Sentinels:
        first, second = self.servers
        try:
            first.start()
            second.start("--replicaof", f"127.0.0.1 {first.port}")
            for folder, one in zip(self._folders[2:], self.sentinels, strict=True):
                lines = [
                    f"sentinel monitor main 127.0.0.1 {first.port} 2",
                    "sentinel down-after-milliseconds main 1000",
                    "sentinel failover-timeout main 5000",
                ]
                (folder / "sentinel.conf").write_text("\n".join(lines) + "\n")
                one.start("--sentinel", name="sentinel.conf")
            assert poll(self._agree, 60)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for one in (*self.sentinels, *self.servers):
            one.kill()

    def _agree(self) -> bool:
        return all(self._knows_all(one.port) for one in self.sentinels)

    @staticmethod
    def _knows_all(port: int) -> bool:
        with _client(port) as client:
            state = client.sentinel_master("main")
            return (state["num-other-sentinels"], state["num-slaves"]) == (2, 1)

    def master(self) -> int | None:
        """Return the port of the master, where two Sentinels agree on it."""
        found = []
        for one in self.sentinels:
            with _client(one.port) as client:
                found.append(client.sentinel_get_master_addr_by_name("main")[1])
        return next((port for port in found if found.count(port) > 1), None)

    def wait_replicated(self) -> None:
        """Wait until the replica has all."""
        port = self.master()
        assert port is not None
        with _client(port) as client:
            assert poll(lambda: client.wait(1, 1000) == 1, 30)

    def kill(self, port: int | None) -> None:
        next(one for one in self.servers if one.port == port).kill()


class RedisCluster:
    """Three masters, each with a replica, that have all slots between them."""

    def __init__(self, folder: Path) -> None:
        self.servers = []
        for number in range(6):
            (folder / str(number)).mkdir()
            self.servers.append(RedisServer(folder / str(number)))

    @property
    def url(self) -> str:
        return f"redis+cluster://{','.join(f'127.0.0.1:{one.port}' for one in self.servers)}"

    def __enter__(self) -> RedisCluster:
        options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"]
        try:
            for one in self.servers:
                one.start(*options, "--cluster-port", str(free_port()))
            self._meet()
            self._share_slots()
            self._replicate()
            assert poll(lambda: all(self._is_ok(one.port) for one in self.servers), 60)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for one in self.servers:
            one.kill()

    def _meet(self) -> None:
        with _client(self.servers[0].port) as client:
            for one in self.servers[1:]:
                with _client(one.port) as other:
                    bus = int(other.config_get("cluster-port")["cluster-port"])
                client.execute_command("CLUSTER MEET", "127.0.0.1", one.port, bus)
        assert poll(lambda: all(self._info(one.port, "cluster_known_nodes") == "6" for one in self.servers), 60)

    def _share_slots(self) -> None:
        for one, (first, last) in zip(self.servers, ((0, 5460), (5461, 10922), (10923, 16383)), strict=False):
            with _client(one.port) as client:
                client.execute_command("CLUSTER ADDSLOTSRANGE", first, last)

    def _replicate(self) -> None:
        for master, replica in zip(self.servers[:3], self.servers[3:], strict=True):
            with _client(master.port) as client, _client(replica.port) as other:
                name = client.execute_command("CLUSTER MYID")
                assert poll(lambda other=other, name=name: self._does(other, "CLUSTER REPLICATE", name), 60)

    @staticmethod
    def _does(client: Any, *command: Any) -> bool:
        import redis

        try:
            client.execute_command(*command)
        except redis.ResponseError:  # it does not know that master yet
            return False
        return True

    def _is_ok(self, port: int) -> bool:
        if self._info(port, "cluster_state") != "ok" or self._info(port, "cluster_size") != "3":
            return False
        with _client(port) as client:
            info = client.info("replication")
        return info["role"] == "master" or info["master_link_status"] == "up"

    @staticmethod
    def _info(port: int, name: str) -> str:
        with _client(port) as client:
            return str(client.cluster("INFO")[name])

    def owner_of(self, key: str) -> int | None:
        """Return the port of the master that has a key's slot, as those that live agree."""
        found = set()
        for one in self.servers:
            if one.is_running:
                with _client(one.port) as client:
                    slot = client.cluster("KEYSLOT", key)
                    found |= {_port_of(entry) for entry in client.execute_command("CLUSTER SLOTS") if _has(entry, slot)}
        return found.pop() if len(found) == 1 else None

    def kill(self, port: int | None) -> None:
        next(one for one in self.servers if one.port == port).kill()


def _client(port: int) -> Any:
    import redis

    return redis.Redis(port=port, socket_timeout=10)


def _has(entry: Any, slot: int) -> bool:
    return bool(entry[0] <= slot <= entry[1])


def _port_of(entry: Any) -> int:
    return int(entry[2][1])
