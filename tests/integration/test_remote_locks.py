"""Locks, leadership and what runs once, over two clusters on one real Redis: as two hosts have them."""

from __future__ import annotations

import logging
import os
import queue
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from keepers import keepers_that_end
from kinds import ASGI, THREADS
from redis_server import UNWILLING, RedisServer, make_known, needs_redis, running
from remote_control import REMOTE, ask, freeze, healthy, said, wait

from nodecluster_compat.errors import LockNotAcquired, StoreUnavailable
from nodecluster_compat.sharing import keeper
from nodecluster_compat.sharing.keeper import Claim, Keeper
from nodecluster_compat.sharing.lock_desk import Abandoned, LockWish
from nodecluster_compat.sharing.remote_leader import RemoteOnces
from nodecluster_compat.sharing.remote_locks import RemoteLocks
from nodecluster_compat.sharing.server import Server
from nodecluster_compat.sharing.server_lines import COMPARE_RUN
from pytest_cluster import Cluster, ClusterFactory
from pytest_cluster.waiting import poll

redis = pytest.importorskip("redis")
pytestmark = needs_redis

LOG = logging.getLogger("test")
PATIENCE = 20.0
LEADING: dict[str, Any] = {**REMOTE, "app": "leading:app", "workers": 2}


@pytest.fixture(autouse=True)
def keepers() -> Iterator[None]:
    with keepers_that_end():
        yield


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with running(tmp_path) as server:
        yield server


class Host:
    """One process of a host, and what its claims are told."""

    def __init__(self, url: str, host: str) -> None:
        self.keeper = Keeper(Server(url, 0.0), LOG)
        self.locks = RemoteLocks(self.keeper, "test", host)
        self.told: queue.Queue[Any] = queue.Queue()

    def claim(
        self, name: str, *, places: int = 1, lease: float | None = None, until: float | None = None, token: int = 1
    ) -> Claim:
        wish = LockWish(name, places, lease, None)
        return self.locks.claim(wish, 0, token, until, self._got, lambda: self.told.put("lost"))

    def _got(self, error: Exception | None, token: int | None) -> None:
        self.told.put(error or token)

    def hears(self) -> Any:
        return self.told.get(timeout=PATIENCE)

    def has(self, name: str, **options: Any) -> Claim:
        claim = self.claim(name, **options)
        assert isinstance(self.hears(), int)
        return claim


def test_one_holder(server: RedisServer) -> None:
    """Whoever waits gets it when it is released, with a larger token, and as many as there are places."""
    one, two = Host(server.url, "one"), Host(server.url, "two")
    first = one.claim("x")
    token = one.hears()
    assert one.locks.holds(first)
    second = two.claim("x")
    refused = two.claim("x", until=0.0)
    assert isinstance(two.hears(), LockNotAcquired)
    assert (refused.state, second.state) == ("over", "waits")
    one.locks.release(first)
    assert two.hears() > token
    assert not one.locks.holds(first)
    pair = [host.has("pair", places=2) for host in (one, two)]
    assert {claim.key for claim in pair} == {f"{{nodecluster:test}}:1:lock:{place}:pair" for place in range(2)}
    other = Host(server.url, "three")
    other.claim("pair", places=2, until=0.0)
    assert isinstance(other.hears(), LockNotAcquired)


def test_a_process_that_has_ended(server: RedisServer) -> None:
    """Another one of its host has what it had, at once; for others its host gives it back."""
    one, successor, other = Host(server.url, "one"), Host(server.url, "one"), Host(server.url, "two")
    one.has("x", token=5)
    held = successor.has("x", token=6)
    other.claim("x")
    successor.locks.let_go(Abandoned("x", 1, 0, 5))  # what nobody has any more
    assert successor.locks.holds(held)
    successor.locks.let_go(Abandoned("x", 1, 0, 6))
    assert isinstance(other.hears(), int)


def test_a_lease_ends(server: RedisServer) -> None:
    """And so does a wait for the next one."""
    one, two = Host(server.url, "one"), Host(server.url, "two")
    claim = one.has("x", lease=0.1)
    two.has("x")
    assert one.hears() == "lost"
    assert not one.locks.holds(claim)


def test_given_up(server: RedisServer) -> None:
    """Nobody has what was wanted no longer."""
    one, two = Host(server.url, "one"), Host(server.url, "two")
    held = one.has("x")
    two.locks.release(two.claim("x"))
    one.locks.release(held)
    Host(server.url, "three").has("x")
    assert two.told.empty()


def test_somebody_else_has_it(server: RedisServer) -> None:
    """A holder that is told so by the server has lost it; one whose hold the server has forgotten has it still."""
    one = Host(server.url, "one")
    one.has("x")
    with redis.Redis(port=server.port) as client:
        key = "{nodecluster:test}:1:lock:0:x"
        client.delete(key)
        assert poll(lambda: client.get(key) == b"one:0:1", PATIENCE)
        client.set(key, "two:0:9")
        assert one.hears() == "lost"


def test_tokens_grow_over_a_server_that_forgets(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its clock says where they begin."""
    monkeypatch.setattr(keeper, "_FORGOTTEN_MILLISECONDS", 1)
    one = Host(server.url, "one")
    tokens = []
    for number in range(3):
        claim = one.claim(f"x{number}")
        tokens.append(one.hears())
        one.locks.release(claim)
        server.restart()
    assert tokens == sorted(set(tokens))


@pytest.mark.parametrize("lease", [None, 60.0])
def test_a_server_that_forgets(server: RedisServer, lease: float | None) -> None:
    """Whoever waits gives the holder the time to say so, for how much longer it has it; without one the wait ends."""
    one, two = Host(server.url, "one"), Host(server.url, "two")
    held = one.has("x", lease=lease)
    two.has("other")
    two.claim("x")
    server.restart()
    with redis.Redis(port=server.port) as client:
        assert poll(lambda: client.get(held.key) == b"one:0:1", PATIENCE)
        assert 0 < client.pttl(held.key) < 60_000
    assert two.told.empty()
    one.locks.release(held)
    assert isinstance(two.hears(), int)


def test_a_server_that_forgets_all_and_whoever_asks_is_new(server: RedisServer) -> None:
    """A process that has not known it gets nothing before holders have said what they hold, who do not ask first."""
    one = Host(server.url, "one")
    held = one.has("x")
    server.kill()
    new = Host(server.url, "new")
    new.claim("x")
    server.start()
    with redis.Redis(port=server.port) as client:
        assert poll(lambda: client.get(held.key) == b"one:0:1", PATIENCE)
    assert new.told.empty()
    assert one.locks.holds(held)
    one.locks.release(held)
    assert isinstance(new.hears(), int)


def test_a_server_that_is_new_and_one_that_may_have_forgotten(tmp_path: Path) -> None:
    """One that nobody has used is waited for only while holders of a former run may be silent, or where it has read a
    disk.
    """
    server = RedisServer(tmp_path)
    server.start()
    try:
        with redis.Redis(port=server.port) as client:
            assert poll(lambda: client.info("server")["uptime_in_seconds"] > 4, PATIENCE)
            Host(server.url, "one").has("x")
            assert not client.exists("{nodecluster:test}:1:tokens:forgotten")
            client.flushall()
            client.set("something", "else")
            client.save()
        server.restart("--dbfilename", "dump.rdb")
        with redis.Redis(port=server.port) as client:
            assert poll(lambda: client.info("server")["uptime_in_seconds"] > 4, PATIENCE)
            Host(server.url, "two").claim("x")
            assert poll(lambda: client.exists("{nodecluster:test}:1:tokens:forgotten"), PATIENCE)
    finally:
        server.kill()


def test_the_run_of_the_server_is_compared_on_new_connections(server: RedisServer) -> None:
    """Not each time: it costs a fourth of a take.  Where a server has refused something it is compared anew."""
    asked = []
    with redis.Redis(port=server.port) as client:
        own = Server(server.url)
        script = "return ARGV[1]"

        def ask() -> None:
            asked.append(own.ask(lambda of: of.eval(script, 0, COMPARE_RUN)) != b"0")

        ask()
        ask()
        client.execute_command("CLIENT KILL TYPE normal SKIPME yes")
        ask()
        ask()
        with pytest.raises(StoreUnavailable):
            own.ask(lambda of: of.eval("no lua", 0))
        ask()
        server.restart()
        ask()
    assert asked == [True, False, True, False, True, True]


@pytest.mark.parametrize("has_known", [True, False], ids=["who-has-known-it", "who-has-not"])
def test_a_server_that_comes_back_older(tmp_path: Path, has_known: bool) -> None:
    """It has the counter of a former time and no young hold; nobody else gets that, and tokens grow all the same."""
    server = RedisServer(tmp_path)
    server.start()
    make_known(server)
    try:
        one, two = Host(server.url, "one"), Host(server.url, "two")
        two.has("other")
        with redis.Redis(port=server.port) as client:
            client.save()
        former = []
        for _ in range(5):
            held = one.claim("x")
            former.append(one.hears())
            one.locks.release(held)
        held = one.claim("x")
        former.append(one.hears())
        server.restart("--dbfilename", "dump.rdb")
        other = two if has_known else Host(server.url, "three")
        other.claim("x")
        with redis.Redis(port=server.port) as client:
            assert poll(lambda: client.get(held.key) == b"one:0:1", PATIENCE)
        assert other.told.empty()
        assert one.locks.holds(held)
        one.locks.release(held)
        assert other.hears() > max(former)
    finally:
        server.kill()


def test_a_server_that_does_not_say_who_it_is(server: RedisServer) -> None:
    """``INFO`` may be forbidden: locks are had all the same."""
    with redis.Redis(port=server.port) as client:
        client.acl_setuser("ada", enabled=True, passwords=["+word"], keys=["*"], commands=["+@all", "-info"])
    one = Host(server.url.replace("//", "//ada:word@"), "one")
    one.locks.release(one.has("x"))
    one.has("x")


def test_a_server_that_is_away(server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    """A hold lasts until its time ends, and a wait until its own; both go on when it is back; the log says it once."""
    one, two = Host(server.url, "one"), Host(server.url, "two")
    held = one.has("x")
    with server.paused():
        two.claim("y", until=0.0)
        assert "cannot be reached" in str(two.hears())
        two.claim("y")
        assert one.locks.holds(held)
    assert isinstance(two.hears(), int)
    assert one.locks.holds(held)
    server.kill()
    one.claim("z")
    server.start()
    assert isinstance(one.hears(), int)
    assert all(record.levelname == "WARNING" for record in caplog.records)


@pytest.mark.parametrize("unwilling", UNWILLING)
def test_a_server_that_will_not(tmp_path: Path, caplog: pytest.LogCaptureFixture, unwilling: str) -> None:
    """Who waits for so long only hears that, the log says why, once; who goes on waiting has it when it is well."""
    server = RedisServer(tmp_path)
    server.start(*UNWILLING[unwilling])
    try:
        one = Host(server.url, "one")
        one.claim("x", until=0.0)
        assert re.search("cannot be reached, or refuses", str(one.hears()))
        one.claim("y")
        [record] = caplog.records
        assert record.levelname == "WARNING"
        assert re.search("(?i)auth|read only|expected room on the server", record.getMessage())
        server.restart()
        assert isinstance(one.hears(), int)
    finally:
        server.kill()


def test_once(server: RedisServer) -> None:
    """Another host runs it if the first has not ended it, and nobody afterwards."""
    one, two = (RemoteOnces(Host(server.url, host).keeper, "test", host) for host in ("one", "two"))
    told: queue.Queue[Any] = queue.Queue()
    one.seek("warm", lambda is_ours: told.put(("one", is_ours)))
    assert told.get(timeout=PATIENCE) == ("one", True)
    two.seek("warm", lambda is_ours: told.put(("two", is_ours)))
    one.has_run("warm", lambda: told.put("noted"))
    assert {told.get(timeout=PATIENCE) for _ in range(2)} == {"noted", ("two", False)}
    one.seek("warm", lambda is_ours: told.put(("one", is_ours)))
    assert told.get(timeout=PATIENCE) == ("one", False)


# --- in clusters -----------------------------------------------------------------------------------


def leaders(*clusters: Cluster) -> list[dict[str, Any]]:
    """Who has led, in the order of the tokens."""
    return sorted((one for cluster in clusters for one in said(cluster) if "led" in one), key=lambda one: one["token"])


def warmed(*clusters: Cluster) -> list[Any]:
    return [one for cluster in clusters for one in said(cluster) if "warm" in one]


HOLD = """
lock = cluster.lock('report', lease={lease})
lock.acquire(15)
result = lock.token
"""
TRY = """
try:
    with cluster.lock('report', timeout={timeout}) as held:
        result = held.token
except Exception as error:
    result = type(error).__name__
"""


def run_here(cluster: Cluster, source: str) -> dict[str, Any]:
    answer: dict[str, Any] = cluster.request("POST", "/here", body=source.encode(), timeout=40).json()
    return answer


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_two_clusters(cluster_factory: ClusterFactory, server: RedisServer) -> None:
    """One leader of both, one run of what runs once, one holder; whatever worker, server or host ends."""
    options = {**LEADING, "env": {"NODECLUSTER_BUS": server.url}}
    first, second = cluster_factory(**options), cluster_factory(**options)
    wait(lambda: leaders(first, second), "a leader", first)
    wait(lambda: warmed(first, second), "what runs once", first)
    [leader] = leaders(first, second)
    home, away = (first, second) if leader in leaders(first) else (second, first)

    asked = "try:\n    cluster.store.get('a')\nexcept Exception as error:\n    result = type(error).__name__"
    assert ask(home, "primary", asked) == "WouldBlock"
    held = run_here(home, HOLD.format(lease=None))
    assert run_here(away, TRY.format(timeout=0.2))["result"] == "LockNotAcquired"
    victim = home.worker(held["worker"])
    os.kill(victim.pid, signal.SIGKILL)
    home.journal.wait_for("exit", worker=victim.id)
    assert run_here(away, TRY.format(timeout=15))["result"] > held["result"]
    home.wait_listening(2)
    wait(lambda: leaders(home)[-1]["led"] in [one.pid for one in home.workers], "a leader that lives", home)
    assert leaders(away) == []

    server.restart()  # it has forgotten everything
    assert run_here(away, TRY.format(timeout=15))["result"] > held["result"]
    ticks = len(said_of(home))
    wait(lambda: len(said_of(home)) > ticks + 3, "runs after the restart", home)
    assert leaders(away) == []

    os.kill(home.primary.pid, signal.SIGKILL)
    assert poll(lambda: home.returncode == -signal.SIGKILL, PATIENCE)
    new = wait(lambda: leaders(away), "a leader of the other host", away)[0]
    assert new["token"] > leaders(home)[-1]["token"]
    wait(lambda: [one for one in said_of(away) if one["token"] == new["token"]], "its runs", away)
    assert len(warmed(first, second)) == 1
    assert "Traceback" not in away.log
    assert healthy(away)


@pytest.mark.timeout(120)
def test_a_holder_that_is_stopped_past_its_lease(cluster_factory: ClusterFactory, server: RedisServer) -> None:
    """Another host has it, with a larger token; when it goes on it knows that, and takes nothing back."""
    options = {**REMOTE, "workers": 1, "env": {"NODECLUSTER_BUS": server.url}}
    first, second = cluster_factory(**options), cluster_factory(**options)
    held = run_here(first, HOLD.format(lease=0.5))["result"]
    freeze(first, first.worker(1).pid)
    try:
        taken = "next_one = cluster.lock('report')\nresult = next_one.acquire(15)"
        assert run_here(second, taken)["result"] > held
    finally:
        os.kill(first.worker(1).pid, signal.SIGCONT)
    late = "result = [lock.is_held]\ntry:\n    lock.release()\n"
    late += "except Exception as error:\n    result.append(type(error).__name__)"
    assert run_here(first, late)["result"] == [False, "LockLost"]
    assert run_here(second, "result = next_one.is_held")["result"] is True


def said_of(cluster: Cluster) -> list[dict[str, Any]]:
    return [one for one in said(cluster) if "tick" in one]


KEPT = """
lock = cluster.lock('kept', timeout=15)
with lock:
    missing = cluster.bus.request(cluster.bus.ALL, timeout=20).missing
    result = [lock.is_held, lock.token, cluster.store.incr('kept'), len(missing)]
"""


@pytest.mark.table(quick=["threads"])
@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", [THREADS, ASGI], ids=["threads", "asgi"])
def test_other_kinds(cluster_factory: ClusterFactory, server: RedisServer, kind: dict[str, Any]) -> None:
    """They lead, lock and count as gevent's do."""
    options = {**LEADING, **kind, "env": {**kind.get("env", {}), "NODECLUSTER_BUS": server.url}}
    cluster = cluster_factory(**options)
    wait(lambda: leaders(cluster), "a leader", cluster)
    wait(lambda: said_of(cluster), "a run", cluster)
    wait(lambda: warmed(cluster), "what runs once", cluster)
    found = [run_here(cluster, KEPT)["result"] for _ in range(4)]
    assert [(one[0], one[2]) for one in found] == [(True, number) for number in range(1, 5)]
    assert [one[1] for one in found] == sorted(one[1] for one in found)
    assert healthy(cluster)
    assert cluster.stop() == 0
    assert "Traceback" not in cluster.log
