"""The memory that a worker and its primary share."""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import signal

import pytest

from nodecluster_compat.base.records import NO_BEAT, NO_LOAD, Beat, Load
from nodecluster_compat.machine.heartbeat import END_OF_STACKS, Heartbeat
from nodecluster_compat.machine.process_state import catches

F_ADD_SEALS, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE = 1033, 2, 4, 8  # fcntl.h; not every Python has their names
pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture(params=[True, False], ids=["memfd", "file"])
def heartbeat(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Heartbeat:
    """One, also where Python was built without memfd."""
    if not request.param:
        monkeypatch.delattr(os, "memfd_create")
    return Heartbeat()


def test_beats_and_stacks(heartbeat: Heartbeat) -> None:
    """They do not disturb each other; a further dump begins anew."""
    assert heartbeat.read() == NO_BEAT
    heartbeat.beat(Beat(5.0, 0.25))
    for text in (b"a long first dump", b"short"):
        heartbeat.clear_stacks()
        assert heartbeat.stacks() == b""
        os.write(heartbeat.fileno(), text)
        os.write(heartbeat.fileno(), END_OF_STACKS)
        assert heartbeat.stacks() == text + END_OF_STACKS
        assert heartbeat.read() == Beat(5.0, 0.25)
    heartbeat.close()


def test_worker_cannot_keep_its_primary_from_writing(heartbeat: Heartbeat) -> None:
    """By seals, which nobody could take off again."""
    for seal in (F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE):
        with contextlib.suppress(OSError):
            fcntl.fcntl(heartbeat.fileno(), F_ADD_SEALS, seal)
    os.write(heartbeat.fileno(), b"x" * 1000)
    heartbeat.clear_stacks()
    heartbeat.beat(Beat(5.0, 0.25))
    assert heartbeat.read() == Beat(5.0, 0.25)
    heartbeat.close()


def test_load_is_read_as_it_was_written_and_never_believed_to_be_a_number_that_it_is_not(heartbeat: Heartbeat) -> None:
    """A worker writes what it likes; a dump of stacks does not disturb it."""
    assert heartbeat.load() == NO_LOAD
    for load in (Load(7.5, 3), NO_LOAD, Load(1.0, 2**63)):
        heartbeat.note_load(load)
        os.write(heartbeat.fileno(), b"stacks")
        heartbeat.clear_stacks()
        assert heartbeat.load() == load
    for forged in (math.nan, math.inf, -1.0):
        heartbeat.note_load(Load(forged, 1))
        assert heartbeat.load() == NO_LOAD
    heartbeat.close()
    assert heartbeat.load() == NO_LOAD


def test_requests_are_known_once_the_worker_leaves(heartbeat: Heartbeat) -> None:
    """None served is not the same as nothing said; a dump of stacks does not disturb it."""
    heartbeat.beat(Beat(5.0, 0.25))
    assert heartbeat.served() is None
    heartbeat.clear_stacks()
    assert heartbeat.served() is None
    for requests in (0, 7):
        heartbeat.note_served(requests)
        assert heartbeat.served() == requests
    os.write(heartbeat.fileno(), END_OF_STACKS)
    assert (heartbeat.served(), heartbeat.read()) == (7, Beat(5.0, 0.25))
    assert heartbeat.stacks() == END_OF_STACKS
    heartbeat.close()


@pytest.mark.parametrize("length", [0, 7])
def test_worker_that_cuts_its_memory_short_has_no_beat(heartbeat: Heartbeat, length: int) -> None:
    """And the primary does not stumble."""
    heartbeat.beat(Beat(5.0, 0.25))
    os.ftruncate(heartbeat.fileno(), length)
    assert heartbeat.read() == NO_BEAT
    assert heartbeat.stacks() == b""
    assert heartbeat.served() is None
    heartbeat.close()


def test_worker_that_fills_its_memory_is_read_in_part(heartbeat: Heartbeat) -> None:
    """A bounded part."""
    heartbeat.clear_stacks()
    os.write(heartbeat.fileno(), b"x" * 1_000_000)
    assert len(heartbeat.stacks()) == 64 * 1024
    heartbeat.close()


def test_memory_that_is_closed_says_nothing(heartbeat: Heartbeat) -> None:
    """A handle stays readable after its worker has gone."""
    heartbeat.close()
    heartbeat.close()
    heartbeat.beat(Beat(5.0, 0.25))
    assert heartbeat.read() == NO_BEAT
    assert heartbeat.stacks() == b""


def test_signals_that_a_process_catches() -> None:
    """Real-time signals too; a process that is not there catches none."""
    number = signal.SIGRTMIN + 9
    assert not catches(os.getpid(), number)
    before = signal.signal(number, lambda *_: None)
    try:
        assert catches(os.getpid(), number)
    finally:
        signal.signal(number, before)
    assert not catches(2**22 + 1, number)
