"""Every fault at every moment (``moments``): each cell leaves the cluster as it was, and loses nothing that it may not.

A cell waits most of its time: for gunicorn's time-out, a boot limit, the end of a drain. So the cells run on several
clusters at once, each in a thread, in the order of the tests; a test waits for its cell and reports it. A cluster that
a cell has spoilt is replaced.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue

import gunicorn
import pytest
from _pytest.mark.structures import ParameterSet
from cells import Cell
from kinds import ASGI, THREADS
from moments import (
    ASGI_CELLS,
    CELLS,
    FAULTS,
    MOMENTS,
    QUICK,
    QUICK_OF_ASGI,
    QUICK_OF_THREADS,
    SLOW_OF_ASGI,
    SLOW_OF_THREADS,
    THREAD_CELLS,
    Fault,
    Moment,
)
from track import OPTIONS, PATIENT
from witness import Acks, acks_of

from pytest_cluster import Cluster, ClusterOptions
from pytest_cluster.options.checks import cores

SLOW_TRACKS = 2 + 2 * cores()  # they wait
QUICK_TRACKS = cores()
TEST_SECONDS = 150

Ticket = tuple[Fault, Moment, "Future[None]"]
Names = frozenset[tuple[str, str]]


class Track:
    """A thread with a cluster, that takes one cell after another."""

    def __init__(self, cells: SimpleQueue[Ticket], options: ClusterOptions) -> None:
        self._cells = cells
        self._options = options
        self._cluster: Cluster | None = None
        self._acks: Acks
        self._over = False
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def end(self) -> None:
        """Begin no further cell."""
        self._over = True

    def _run(self) -> None:
        with suppress(Empty):
            while not self._over:
                fault, moment, result = self._cells.get_nowait()
                try:
                    self._run_cell(fault, moment)
                    result.set_result(None)
                except BaseException as error:  # noqa: BLE001 - the test's own to report
                    result.set_exception(error)
        self._close()

    def _run_cell(self, fault: Fault, moment: Moment) -> None:
        if self._cluster is None:
            self._cluster = Cluster.start(self._options, pythonpath=self._options.settings["pythonpath"])
            self._acks = acks_of(self._cluster)
        try:
            Cell(self._cluster, self._acks, fault, moment).run()
        except BaseException:
            with suppress(Exception):
                self._close()
            self._cluster = None
            raise
        if moment.way == "shutdown":
            self._close()

    def _close(self) -> None:
        cluster, self._cluster = self._cluster, None
        if cluster is not None:
            cluster.close()


def _tracks() -> Iterator[tuple[tuple[str, bool], tuple[SimpleQueue[Ticket], ClusterOptions, int]]]:
    """For each test, and for cells that wait for a limit or not: what is to be done, by which clusters, how many."""
    for is_slow, options, most in ((True, OPTIONS, SLOW_TRACKS), (False, PATIENT, QUICK_TRACKS)):
        yield ("test_cell", is_slow), (SimpleQueue(), options, most)
        yield ("test_cell_of_threads", is_slow), (SimpleQueue(), options.changed("threads", THREADS), 2)
        yield ("test_cell_of_asgi", is_slow), (SimpleQueue(), options.changed("asgi", ASGI), 2)


@pytest.fixture(scope="module")
def results(request: pytest.FixtureRequest) -> Iterator[dict[str, Future[None]]]:
    """The outcomes of the cells that this run has selected, by the name of their test."""
    tracks_of = dict(_tracks())
    futures: dict[str, Future[None]] = {}
    for item in request.session.items:
        if item.path == request.path and isinstance(item, pytest.Function) and hasattr(item, "callspec"):
            fault, moment = item.callspec.params["fault"], item.callspec.params["moment"]
            futures[item.name] = Future()
            queue, _, _ = tracks_of[item.originalname, fault.effect == "blocks"]
            queue.put((fault, moment, futures[item.name]))
    kinds = tracks_of.values()
    tracks = [Track(queue, options) for queue, options, most in kinds for _ in range(min(most, queue.qsize()))]
    yield futures
    for track in tracks:
        track.end()
    for track in tracks:
        track.thread.join()


def _params(cells: Iterable[tuple[Fault, Moment]], quick: Names, slow: Names) -> list[ParameterSet]:
    """Return the cells, with the run that each of them belongs to."""

    def marks(cell: tuple[str, str]) -> list[pytest.MarkDecorator]:
        return [] if cell in quick else [pytest.mark.slow] if cell in slow else [pytest.mark.long]

    return [
        pytest.param(fault, moment, id=f"{fault.name} at {moment.name}", marks=marks((fault.name, moment.name)))
        for fault, moment in cells
    ]


@pytest.mark.timeout(TEST_SECONDS)
@pytest.mark.parametrize(("fault", "moment"), _params(CELLS, QUICK, frozenset()))
def test_cell(request: pytest.FixtureRequest, results: dict[str, Future[None]], fault: Fault, moment: Moment) -> None:
    results[request.node.name].result(TEST_SECONDS)


@pytest.mark.timeout(TEST_SECONDS)
@pytest.mark.parametrize(("fault", "moment"), _params(THREAD_CELLS, QUICK_OF_THREADS, SLOW_OF_THREADS))
def test_cell_of_threads(
    request: pytest.FixtureRequest, results: dict[str, Future[None]], fault: Fault, moment: Moment
) -> None:
    """Workers of threads."""
    results[request.node.name].result(TEST_SECONDS)


@pytest.mark.skipif(gunicorn.version_info < (27, 0, 1), reason="ASGIWorker needs gunicorn 27.0.1")
@pytest.mark.timeout(TEST_SECONDS)
@pytest.mark.parametrize(("fault", "moment"), _params(ASGI_CELLS, QUICK_OF_ASGI, SLOW_OF_ASGI))
def test_cell_of_asgi(
    request: pytest.FixtureRequest, results: dict[str, Future[None]], fault: Fault, moment: Moment
) -> None:
    """Workers with a loop."""
    results[request.node.name].result(TEST_SECONDS)


def test_every_pair_is_a_cell_or_has_its_reason() -> None:
    reasons = {(fault.name, name) for fault in FAULTS for name in fault.never}
    cells = {(fault.name, moment.name) for fault, moment in CELLS}
    assert cells | reasons == {(fault.name, moment.name) for fault in FAULTS for moment in MOMENTS}
    assert not cells & reasons
    of_kinds = QUICK_OF_THREADS | QUICK_OF_ASGI
    assert cells >= QUICK | of_kinds
    assert {fault for fault, _ in QUICK} == {fault.name for fault in FAULTS}
    for quick in (QUICK, of_kinds):
        assert {moment for _, moment in quick} == {moment.name for moment in MOMENTS}
