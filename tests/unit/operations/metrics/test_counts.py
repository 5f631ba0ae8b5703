"""What a worker counts, and what its primary reads of it, believes of it, and makes of it when it has ended."""

from __future__ import annotations

import errno
import math
import mmap
import os
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from drawing import drawn
from hypothesis import given, settings
from hypothesis import strategies as st
from manual_clock import ManualClock

from nodecluster_compat.machine.process_usage import usage_of
from nodecluster_compat.machine.sealed_memory import SealedMemory
from nodecluster_compat.operations.metrics.counts import CountsReader, together
from nodecluster_compat.operations.metrics.layout import (
    BOUNDS,
    HEADER_BYTES,
    ROWS,
    SINCE_AT,
    SLOTS,
    WHOLE_BYTES,
)
from nodecluster_compat.operations.metrics.ledger import Ledger
from nodecluster_compat.operations.metrics.request_meter import NO_SLOT, RequestMeter
from nodecluster_compat.roles.status import Durations

pytestmark = pytest.mark.usefixtures("no_leaks")

BORN = 1000.0


class Pair:
    """A worker's meter and its primary's reader."""

    def __init__(self) -> None:
        self.clock = ManualClock(BORN)
        self.memory = SealedMemory("test", WHOLE_BYTES)
        self.reader = CountsReader(self.memory, BORN)
        self.meter = RequestMeter(self.memory.view(), self.clock)
        self.clock.now += 1

    def close(self) -> None:
        self.meter.abandon()
        self.memory.close()

    def request(self, method: str = "GET", status: object = "200 OK", seconds: float = 0.0, sent: int = 0) -> None:
        started = self.meter.begin(NO_SLOT, b"")
        self.clock.now += seconds
        self.meter.end(NO_SLOT, started, method, cast("Any", status), sent)

    def rows(self) -> dict[tuple[str, str], int]:
        return {key: row.count for key, row in self.reader.read(self.clock.now).rows.items()}


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = Pair()
    yield pair
    pair.close()


def test_requests_are_counted_by_method_and_status(pair: Pair) -> None:
    """A status may be gunicorn's text or a number; methods that nobody knows are one."""
    for method, status in [("GET", "200 OK"), ("GET", 200), ("POST", "201 Created"), ("GET", None), ("BREW", "418 I")]:
        pair.request(method, status)
    assert pair.rows() == {("GET", "200"): 2, ("POST", "201"): 1, ("GET", ""): 1, ("_OTHER", "418"): 1}
    by_class = pair.reader.read(pair.clock.now).by_class()
    assert by_class == {"1xx": 0, "2xx": 3, "3xx": 0, "4xx": 1, "5xx": 0, "unanswered": 1}


@pytest.mark.parametrize("status", ["", "no", "99 Low", "600 High", [], "\u0663\u0663\u0663", 10**30, -200, b"200 OK"])
def test_status_that_is_none_is_no_answer(pair: Pair, status: object) -> None:
    """An application may say anything."""
    pair.request("GET", status)
    assert sum(pair.rows().values()) == 1
    assert all(key == "" or key.isdigit() for _, key in pair.rows())


def test_durations_and_bytes(pair: Pair) -> None:
    """Each bound belongs to its bucket, as Prometheus has it; bytes are those of bodies."""
    pair.clock.now = BORN + 0.0  # so that the differences are exact
    for bound in BOUNDS:
        started = pair.meter.begin(NO_SLOT, b"")
        pair.meter.end(NO_SLOT, started - bound, "GET", "200 OK", 10)
    pair.request(seconds=60.0, sent=7)
    (row,) = pair.reader.read(pair.clock.now).rows.values()
    assert row.count == len(BOUNDS) + 1
    assert row.buckets[-1] == 1
    assert row.sent == 10 * len(BOUNDS) + 7
    assert math.isclose(row.seconds, sum(BOUNDS) + 60.0)


def test_more_rows_than_there_are(pair: Pair) -> None:
    """What does not fit is counted by its class."""
    statuses = range(100, 600)
    for status in statuses:
        pair.request("GET", status)
    assert sum(pair.rows().values()) == len(statuses)
    assert len(pair.rows()) <= ROWS
    assert pair.rows()["_OTHER", "5xx"] == 100


def test_late_requests_are_counted(pair: Pair) -> None:
    for _ in range(3):
        pair.meter.count_late()
    assert pair.reader.read(pair.clock.now).late == 3
    other = pair.reader.read(pair.clock.now)
    assert together([other, other]).late == 6


def test_ten_thousand_paths_are_one_row(pair: Pair) -> None:
    """Of one slot, too: what clients make up takes no memory and no series."""
    slot = pair.meter.open("127.0.0.1:1", 1)
    for number in range(10_000):
        started = pair.meter.begin(slot, b"GET /%d?%d HTTP/1.1" % (number, number))
        pair.meter.end(slot, started, "GET", "200 OK", 1)
    assert pair.rows() == {("GET", "200"): 10_000}
    assert [len(rows) for rows in pair.meter._rows.values()] == [2]  # by text and by number
    assert pair.reader.in_flight(pair.clock.now) == []


@pytest.mark.parametrize("jump", [-(10.0**6), 10.0**6])
def test_clock_that_jumps(pair: Pair, jump: float) -> None:
    """Of a primary that reads before its worker's moment, or long after: nothing goes back, and no age is negative."""
    slot = pair.meter.open("127.0.0.1:1", 1)
    pair.request()
    started = pair.meter.begin(slot, b"GET / HTTP/1.1")
    assert pair.rows() == {("GET", "200"): 1}
    pair.clock.now += jump
    active, oldest = pair.reader.active(pair.clock.now)
    assert active in (0, 1)
    assert oldest >= 0
    assert pair.rows() == {("GET", "200"): 1}
    pair.clock.now -= min(jump, 0.0)  # the worker's own does not go back
    pair.meter.end(slot, started, "GET", "200 OK", 0)
    row = pair.reader.read(pair.clock.now).rows["GET", "200"]
    assert (row.count, row.seconds) == (2, max(jump, 0.0))


def test_what_is_in_flight(pair: Pair) -> None:
    """The oldest first, with its greenlet, and without what follows a question mark."""
    first, second = (pair.meter.open(f"127.0.0.1:{port}", port) for port in (1, 2))
    begun = pair.meter.begin(second, b"POST /second HTTP/1.1\r\nCookie: secret\r\n\r\n")
    pair.clock.now += 2
    pair.meter.begin(first, b"GET /first?password=1 HTTP/1.1\r\n")
    found = pair.reader.in_flight(pair.clock.now)
    assert [(one.method, one.path, one.client, one.ident) for one in found] == [
        ("POST", "/second", "127.0.0.1:2", 2),
        ("GET", "/first", "127.0.0.1:1", 1),
    ]
    assert pair.reader.active(pair.clock.now) == (2, 2.0)
    pair.meter.end(second, begun, "POST", 200, 0)
    assert pair.reader.active(pair.clock.now) == (1, 0.0)


def test_worker_itself_knows_who_serves_what(pair: Pair) -> None:
    """Not what has ended, not who waits for a client."""
    meter = pair.meter
    slots = [meter.open("", ident) for ident in (1, 2, 3)]
    begun = [meter.begin(slot, b"GET /%d HTTP/1.1" % slot) for slot in slots[:2]]
    meter.name(slots[1], 7)
    meter.end(slots[0], begun[0], "GET", 200, 0)
    assert meter.in_flight_by_ident() == {7: f"GET /{slots[1]} HTTP/1.1"}


def test_more_connections_than_slots(pair: Pair) -> None:
    """The requests of the others are counted, without their paths."""
    slots = [pair.meter.open("", 0) for _ in range(SLOTS + 2)]
    assert slots.count(NO_SLOT) == 2
    started = [pair.meter.begin(slot, b"GET / HTTP/1.1") for slot in slots]
    pair.reader.read(pair.clock.now)
    assert pair.reader.active(pair.clock.now)[0] == SLOTS + 2
    assert len(pair.reader.in_flight(pair.clock.now)) == SLOTS
    for slot, began in zip(slots, started, strict=True):
        pair.meter.end(slot, began, "GET", 200, 0)
        pair.meter.close(slot)
    assert pair.reader.active(pair.clock.now) == (0, 0.0)
    counts = pair.reader.read(pair.clock.now)
    assert (counts.opened, counts.closed, counts.requests) == (SLOTS + 2, SLOTS + 2, SLOTS + 2)
    assert pair.meter.open("", 0) != NO_SLOT


def test_line_of_a_request_is_told_as_one_line(pair: Pair) -> None:
    """Whatever a client has put there."""
    slot = pair.meter.open("127.0.0.1:1", 2**70)
    pair.meter.begin(slot, b"GET /\x1b[2J\x07" + b"x" * 5000)
    (one,) = pair.reader.in_flight(pair.clock.now)
    assert one.path.startswith(r"/\x1b[2J\x07xxx")
    assert len(one.path) < 200


def test_forked_process_counts_for_nobody(pair: Pair) -> None:
    """Its worker's numbers are not its own."""
    pair.request()
    pair.meter.abandon()
    pair.request()
    assert pair.rows() == {("GET", "200"): 1}


# --- a worker that lies --------------------------------------------------------------------------


def overwrite(memory: SealedMemory, data: bytes, at: int = 0) -> None:
    os.pwrite(memory.fileno(), data, at)


@given(st.binary(min_size=8, max_size=4096), st.integers(0, SINCE_AT + 8 * SLOTS + 4096))
@settings(max_examples=drawn(200), deadline=None)
def test_nonsense_is_not_believed(data: bytes, at: int) -> None:
    """Whatever a worker writes: what is read is finite, and goes back in nothing."""
    pair = Pair()
    try:
        pair.meter.begin(pair.meter.open("127.0.0.1:1", 1), b"GET / HTTP/1.1")
        pair.request(seconds=0.2, sent=5)
        before = pair.reader.read(pair.clock.now)
        overwrite(pair.memory, data, at)
        for now in (pair.clock.now, pair.clock.now + 1):
            after = pair.reader.read(now)
            assert after.requests >= before.requests
            assert after.opened >= before.opened
            assert all(math.isfinite(row.seconds) for row in after.rows.values())
            assert after.rows["GET", "200"].buckets[6] >= 1
            active, oldest = pair.reader.active(now)
            assert 0 <= active <= SLOTS + after.opened
            assert 0.0 <= oldest <= now - BORN
            assert all(one.path.isprintable() for one in pair.reader.in_flight(now))
            before = after
    finally:
        pair.close()


@pytest.mark.parametrize("byte", [0x00, 0xFF, 0x7F, 0x41])
def test_memory_full_of_one_byte(pair: Pair, byte: int) -> None:
    """The last good reading stays."""
    pair.request(seconds=0.2)
    before = pair.reader.read(pair.clock.now)
    overwrite(pair.memory, bytes([byte]) * (SINCE_AT + 8 * SLOTS))
    assert pair.reader.read(pair.clock.now) == before
    assert pair.reader.active(pair.clock.now) == (0, 0.0)


def test_memory_cannot_be_cut_short(pair: Pair) -> None:
    """Or made longer; so nothing that is mapped ever goes away."""
    for size in (0, HEADER_BYTES, WHOLE_BYTES * 2):
        with pytest.raises(PermissionError):
            os.ftruncate(pair.memory.fileno(), size)
    with mmap.mmap(pair.memory.fileno(), HEADER_BYTES) as mapped:
        assert len(mapped) == HEADER_BYTES


def test_memory_without_memfd(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Python was built for an old libc; a worker that cuts it short has counted nothing."""
    monkeypatch.delattr(os, "memfd_create")
    pair = Pair()
    pair.request()
    assert pair.rows() == {("GET", "200"): 1}
    pair.meter.abandon()
    os.ftruncate(pair.memory.fileno(), 0)
    assert pair.rows() == {("GET", "200"): 1}
    pair.memory.close()


# --- all workers ---------------------------------------------------------------------------------


def worker(number: int) -> Any:
    return SimpleNamespace(id=number, process=SimpleNamespace(pid=os.getpid(), is_reaped=False))


def test_ledger_keeps_what_dead_workers_have_counted() -> None:
    """Totals do not go back; what was in flight is lost, and said to be."""
    clock = ManualClock(BORN)
    ledger = Ledger(clock)
    meters = []
    for number in (1, 2):
        ledger.born(number, number)
        meters.append(RequestMeter(ledger._books[number].memory.view(), clock))
    clock.now += 1
    for meter in meters:
        slot = meter.open("127.0.0.1:1", 1)
        meter.end(slot, meter.begin(slot, b"GET / HTTP/1.1"), "GET", "200 OK", 3)
        meter.begin(slot, b"GET /again HTTP/1.1")
    before = ledger.totals()
    assert (before.requests, before.connections) == (2, 2)
    assert before.responses is not None
    assert before.responses["2xx"] == 2
    assert before.durations is not None
    assert before.durations.counts == (2, *[0] * len(BOUNDS))
    assert Ledger(clock).totals().durations == Durations(BOUNDS, (0,) * (len(BOUNDS) + 1), 0.0)
    assert ledger.of(worker(1)).active_requests == 1
    assert [one.path for one in ledger.in_flight(1)] == ["/again"]
    assert [ledger.answered(number) for number in (1, 2, 3)] == [1, 1, -1]
    ledger.gone(1, 0.5)
    ledger.gone(1, 0.5)
    survey = ledger.survey()
    assert ledger.totals() == before
    assert (survey.active, survey.lost, survey.cpu_seconds) == ({2: 1}, 1, 0.5)
    assert ledger.of(worker(1)).requests is None
    assert ledger.in_flight(1) == []
    ledger.gone(2)
    assert ledger.totals() == before
    for meter in meters:
        meter.abandon()


def test_child_keeps_its_own_memory_only() -> None:
    """The others' are closed in it."""
    ledger = Ledger(ManualClock(BORN))
    for number in (1, 2):
        ledger.born(number, number)
    others, mine = ledger._books[1].memory, ledger.abandon(2)
    assert mine is not None
    assert mine.fileno() >= 0
    assert others.fileno() == -1
    mine.close()


def test_usage_of_a_process_is_the_kernels() -> None:
    """Of a living one: it has memory, and has computed."""
    ledger = Ledger(ManualClock(BORN))
    numbers = ledger.of(worker(1))
    assert numbers.rss_bytes is not None
    assert numbers.rss_bytes > 1024 * 1024
    assert numbers.cpu_seconds is not None
    assert numbers.cpu_seconds > 0


def test_figures_are_those_of_the_status() -> None:
    """They cost less, and are the same; also of a worker that nobody counts, and of one that is gone."""
    clock = ManualClock(BORN)
    ledger = Ledger(clock)
    ledger.born(1, 1)
    meter = RequestMeter(ledger._books[1].memory.view(), clock)
    meter.end(NO_SLOT, meter.begin(NO_SLOT, b""), "GET", "200 OK", 1)
    meter.begin(meter.open("", 0), b"GET / HTTP/1.1")
    clock.now += 2
    gone = worker(2)
    gone.process.is_reaped = True
    for one in (worker(1), worker(3), gone):
        one.slot, one.health, one.lag = 1, "blocked", 2.345
        numbers, figures = ledger.of(one), ledger.figures(one)
        assert (figures.slot, figures.health, figures.lag) == (1, "blocked", 2.3)
        for name in ("active_requests", "oldest_request_seconds", "connections"):
            assert getattr(figures, name) == getattr(numbers, name), name
        for name in ("rss_bytes", "cpu_seconds"):  # which grow meanwhile
            assert (getattr(figures, name) is None) == (getattr(numbers, name) is None) == (one is gone)
    meter.abandon()
    ledger.gone(1)


def test_processor_time_is_known_where_processes_have_no_clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a sandbox; it is that of the process either way."""
    known = usage_of(os.getpid())

    def refuse(_: int) -> float:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(time, "clock_gettime", refuse)
    told = usage_of(os.getpid())
    assert known is not None
    assert told is not None
    assert told.cpu_seconds > 0
    assert abs(told.cpu_seconds - known.cpu_seconds) < 5
    assert usage_of(2**22 + 1) is None


def test_rows_are_read_when_there_are_more_and_when_they_change(pair: Pair) -> None:
    """What has not changed since the last reading is not read anew."""
    pair.request()
    assert pair.rows() == pair.rows() == {("GET", "200"): 1}
    pair.request(status="404 Not Found")
    pair.request()
    assert pair.rows() == {("GET", "200"): 2, ("GET", "404"): 1}
    assert pair.reader.survey(pair.clock.now)[0].requests == 3
    overwrite(pair.memory, bytes(8), 0)  # it says that it has no rows any more
    assert pair.rows() == {("GET", "200"): 2, ("GET", "404"): 1}


def test_adding_counts_changes_neither() -> None:
    """They are records."""
    pair = Pair()
    pair.request(sent=2)
    one = pair.reader.read(pair.clock.now)
    both = together([one, one])
    assert both.rows["GET", "200"].count == 2
    assert both.rows["GET", "200"].sent == 4
    assert one.rows["GET", "200"].count == 1
    pair.close()
