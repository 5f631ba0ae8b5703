"""A fork after the user's ``pre_fork`` hook, without a process."""

from __future__ import annotations

import signal
from types import SimpleNamespace
from typing import Any

from gunicorn.config import Config

from nodecluster_compat._gunicorn.arbiter.forking import HELD_SIGNALS, fork_worker


class Named(str):
    """A worker that is known by its name."""

    __slots__ = ()
    id = slot = 1


class Server:
    """As much of an arbiter as a fork needs."""

    def __init__(self) -> None:
        self.cfg = Config()
        self.spawning: Any = None
        self.health = SimpleNamespace(born=lambda worker: None)
        self.ledger = SimpleNamespace(born=lambda worker_id, slot: None)
        self.started: list[tuple[Any, int]] = []
        self.primary = SimpleNamespace(started=lambda worker, pid: self.started.append((worker, pid)))
        self.seen_by_hook: list[Any] = []
        self.cfg.set("pre_fork", lambda server, worker: self.seen_by_hook.append(server.spawning))
        self.forked: list[tuple[Any, bool]] = []

    def spawn(self) -> int:
        self.cfg.pre_fork(self, None)
        self.forked.append((self.spawning, held()))
        return len(self.forked)

    def fork(self, name: str) -> int | None:
        server: Any = self
        worker: Any = Named(name)
        return fork_worker(server, worker, self.spawn)


def held() -> bool:
    return signal.pthread_sigmask(signal.SIG_BLOCK, ()) >= HELD_SIGNALS


def test_each_fork_is_its_own_workers_behind_the_hook() -> None:
    """The hook, which may fork, sees none; the signals are held from there to the end of the fork."""
    server = Server()
    assert [server.fork("first"), server.fork("second")] == [1, 2]
    assert server.seen_by_hook == [None, None]
    assert server.forked == [("first", True), ("second", True)]
    assert server.started == [("first", 1), ("second", 2)]
    assert (server.spawning, held()) == (None, False)


def test_hook_is_replaced_once_and_after_each_reload() -> None:
    """gunicorn inspects the signature of each function that becomes a hook."""
    server = Server()
    server.fork("first")
    hook = server.cfg.pre_fork
    server.fork("second")
    assert server.cfg.pre_fork is hook
    server.cfg = Config()
    server.cfg.set("pre_fork", lambda server, worker: server.seen_by_hook.append("reloaded"))
    server.fork("third")
    assert server.seen_by_hook == [None, None, "reloaded"]
    assert server.forked[-1] == ("third", True)


def test_hook_leaves_forks_of_others_alone() -> None:
    """A worker of another class, after a reload that changed it, is forked by gunicorn alone."""
    server = Server()
    server.fork("first")
    server.spawn()
    assert server.forked[-1] == (None, False)
    assert server.seen_by_hook == [None, None]
