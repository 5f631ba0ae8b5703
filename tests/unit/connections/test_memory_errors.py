"""Whatever allocation fails while a connection is dealt, it is dealt, waits, or is closed; and dealing goes on."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from typing import Any

import pytest
from engine_rig import EngineRig
from without_collector import without_collector

from nodecluster_compat.base.native import PYTHON, Choice, in_force
from nodecluster_compat.connections.packets import PacketKind
from nodecluster_compat.connections.policies import policy_of

testcapi = pytest.importorskip("_testcapi", reason="no module of CPython that lets allocations fail")

pytestmark = pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="CPython 3.12 and 3.13 end where they have no memory to make a function"
)

_WIDTHS = (1, 2, 5)  # so many allocations fail
_CALM = 15  # times that nothing was noticed, and the end is reached
_LONG = 100.0  # seconds: whatever the engine has put off is due

Deed = Callable[["Scene"], object]


class _Accepting:
    """A listening socket that has memory: without it, the standard library's loses a descriptor."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self.fileno = sock.fileno
        self.failing: tuple[int, int] | None = None

    def _accept(self) -> Any:
        testcapi.remove_mem_hooks()
        try:
            return self._sock._accept()
        finally:
            if self.failing is not None:
                testcapi.set_nomemory(*self.failing)


class Scene:
    """Two workers, and clients that come; the first two have been dealt."""

    def __init__(self, choice: Choice, by: str) -> None:
        self.now = 1000.0
        self.rig = EngineRig(False, choice, socket.AF_UNIX, lambda: self.now, limit=50)
        self.rig.engine.listeners.remove(self.rig.listener_ids.pop())
        (listener,) = self.rig.engine.listeners
        self.listening = listener._sock = _Accepting(listener._sock)
        self.workers = [self.rig.worker(), self.rig.worker()]
        self.rig.engine.listeners.use_policy(policy_of("weighted:1,1" if by == "weights" else None))
        if by == "name":
            self.rig.engine.listeners.look = lambda seen: self.workers[0].id
            self.workers[0].say(PacketKind.LOOK)
            self.rig.turn()

    def connect(self) -> None:
        self.rig.reach(0)
        self.rig.clients[-1].send(b"GET / HTTP/1.1")

    def take(self) -> None:
        for worker in self.workers:
            if worker.has_offer():
                worker.take()

    def turn(self, first: int, last: int) -> bool:
        """Turn the loop once, while these allocations fail; return whether that was noticed."""
        turn = self.rig.loop.turn
        self.listening.failing = first, last
        try:
            testcapi.set_nomemory(first, last)
            turn(waits=False)
        except MemoryError:
            return True
        finally:
            testcapi.remove_mem_hooks()
            self.listening.failing = None
        return False

    def settle(self) -> None:
        """Let the workers take what there is; what still waits then goes on with the next client."""
        self._settle()
        if self.rig.waiting():
            self.connect()
            self._settle()

    def _settle(self) -> None:
        for _ in range(3 * len(self.rig.clients)):
            with suppress(MemoryError):
                self.rig.turn()
            self.now += _LONG
            self.take()

    def had(self) -> int:
        return sum(len(worker.has) for worker in self.workers)

    def ended(self) -> int:
        """How many clients have heard the end, with nothing before it."""
        return sum(map(_has_ended, self.rig.clients))

    def close(self) -> None:
        self.rig.close()


def _has_ended(client: socket.socket) -> bool:
    try:
        return client.recv(1, socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def is_dealt_at_once(scene: Scene) -> None:
    scene.connect()


def waits(scene: Scene) -> None:
    for _ in scene.workers:
        scene.connect()
        scene.rig.turn()
    scene.connect()


def has_waited(scene: Scene) -> None:
    waits(scene)
    scene.rig.turn()
    scene.take()


DEEDS: dict[str, Deed] = {one.__name__: one for one in (is_dealt_at_once, waits, has_waited)}


@pytest.fixture(autouse=True)
def _by_itself() -> Iterator[None]:
    with without_collector():
        yield


def _open() -> list[str]:
    return sorted(os.listdir("/proc/self/fd"))


def played(choice: Choice, deed: Deed, by: str, first: int, last: int) -> bool:
    """Do it; return whether an allocation failed visibly."""
    scene = Scene(choice, by)
    deed(scene)
    failed = scene.turn(first, last)
    scene.settle()
    assert scene.had() + scene.ended() + scene.rig.waiting() == len(scene.rig.clients), (first, last)
    if last == first + 1:
        _goes_on(scene, by)
    scene.close()
    return failed


def _goes_on(scene: Scene, by: str) -> None:
    assert scene.rig.waiting() == 0
    before = [len(worker.has) for worker in scene.workers]
    for _ in range(1 if by == "name" else 2):
        scene.connect()
        scene.settle()
    got = [len(worker.has) - had for worker, had in zip(scene.workers, before, strict=True)]
    if by == "weights":  # it may not have been noted who had the last
        assert sum(got) == 2
    else:
        assert got == ([1, 0] if by == "name" else [1, 1])


def _needs_no_memory(choice: Choice, deed: Deed, by: str) -> bool:
    """Return whether what waits is dealt while no allocation succeeds."""
    scene = Scene(choice, by)
    deed(scene)
    before = scene.rig.waiting()
    failed = scene.turn(0, 1 << 30)
    after = scene.rig.waiting()
    scene.close()
    return not failed and after < before


@pytest.mark.parametrize("by", ["turn", "name", "weights"])
@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize("choice", [in_force(), PYTHON], ids=["native", "python"])
def test_no_connection_is_lost(choice: Choice, deed: str, by: str) -> None:
    """Where one allocation fails, and where some do: until behind the last that there is.

    If all fail from then on, CPython itself may turn in a circle of exceptions.
    """
    if choice is not PYTHON and choice.module is None:
        pytest.skip(str(choice))
    if choice is PYTHON and by == "weights":
        pytest.skip("CPython 3.11 ends where it has no memory for what a comprehension refers to")
    if choice is PYTHON and hasattr(sys, "gettotalrefcount"):
        pytest.skip("a debug build of CPython ends where it has no memory for its own traceback")
    played(choice, DEEDS[deed], by, 1 << 30, (1 << 30) + 1)
    before = _open()
    calm, has_failed = 0, False
    for number in count():
        for width in _WIDTHS:
            failed = played(choice, DEEDS[deed], by, number, number + width)
            assert _open() == before, (number, width)
            calm = 0 if failed else calm + 1
            has_failed = has_failed or failed
        if calm >= _CALM:
            break
    assert has_failed or (choice is not PYTHON and _needs_no_memory(choice, DEEDS[deed], by))


_MANY = 8  # of whom the line and the set have to grow


def has_waited_for_many(scene: Scene) -> None:
    """Each has one, and one more waits: so the loop is told of whoever takes his."""
    scene.workers += [scene.rig.worker() for _ in range(_MANY - len(scene.workers))]
    for _ in range(_MANY + 1):
        scene.connect()
        scene.rig.turn()
    scene.take()


@pytest.mark.parametrize("choice", [in_force(), pytest.param(PYTHON, marks=pytest.mark.slow)], ids=["native", "python"])
def test_no_worker_is_left_out_afterwards(choice: Choice) -> None:
    """Its line or its set may have had no room for it: all of them get a connection again."""
    if choice is not PYTHON and choice.module is None:
        pytest.skip(str(choice))
    if choice is PYTHON and hasattr(sys, "gettotalrefcount"):
        pytest.skip("a debug build of CPython ends where it has no memory for its own traceback")
    calm = 0
    for number in count():
        scene = Scene(choice, "turn")
        has_waited_for_many(scene)
        failed = scene.turn(number, number + 1)
        scene.settle()
        before = [len(worker.has) for worker in scene.workers]
        for _ in scene.workers:
            scene.connect()
            scene.settle()
        assert [len(worker.has) - had for worker, had in zip(scene.workers, before, strict=True)] == [1] * _MANY, number
        scene.close()
        calm = 0 if failed else calm + 1
        if calm > _CALM:
            break
