"""The figures of a run, added up over the processes of xdist."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pytest_cluster.session.totals import Totals


def served(app: str | None, *, ends: tuple[str | None, ...] = (), measured: tuple[bool, ...] = ()) -> Any:
    hellos = [SimpleNamespace(worker=number, measured=one) for number, one in enumerate(measured, start=1)]
    return SimpleNamespace(
        options=SimpleNamespace(app=app),
        server=SimpleNamespace(control=SimpleNamespace(hellos=[SimpleNamespace(worker=None, measured=False), *hellos])),
        every_worker=[SimpleNamespace(exit_signal=one) for one in ends],
    )


def test_starts() -> None:
    totals = Totals()
    for app, seconds in (("shop.web:app", 0.5), ("shop:app", 1.25), ("other:app", 1.0), (None, 0.1)):
        totals.note_start(served(app), seconds)
    assert (totals.started, totals.slowest, totals.packages) == (4, 1.25, ["shop", "other"])


def test_workers_that_lost_their_coverage() -> None:
    """The primary does not count."""
    totals = Totals()
    totals.note_end(served("shop:app", ends=("SIGKILL", None, "SIGTERM", "SIGKILL"), measured=(True, True)))
    assert (totals.killed_workers, totals.unmeasured) == (2, False)
    totals.note_end(served("shop:app", measured=(True, False)))
    assert totals.unmeasured


def test_processes_add_up() -> None:
    mine, theirs = Totals(started=1, slowest=2.0, leaked=1), Totals(started=2, reused=1, slowest=1.0, measures=True)
    theirs.note_problems([ValueError("why")])
    theirs.slow_ends.append("slow")
    mine.add(theirs.as_mapping())
    assert mine == Totals(
        started=3, reused=1, slowest=2.0, leaked=1, measures=True, problems=["ValueError: why"], slow_ends=["slow"]
    )


@pytest.mark.parametrize(("reused", "word"), [(0, "0 times"), (1, "1 time"), (2, "2 times")])
def test_last_line(reused: int, word: str) -> None:
    told = str(Totals(started=1, reused=reused, slowest=0.891))
    assert told == f"cluster: 1 started, reused {word}, slowest boot 0.89 s, 0 with leaked processes"
