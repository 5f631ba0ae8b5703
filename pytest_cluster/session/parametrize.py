"""Parametrize a test by its number of workers, and check its marker."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from ..errors import OptionError
from ..options import settings
from ..options.cluster_options import ClusterOptions
from ..options.markers import markers_of
from ..stash import FIXTURES, WORKERS
from .asking import asks_for, may_ask
from .matrix import matrix_of

__all__ = ["check_marker", "count_of", "parametrize", "run_name", "why_once", "worker_counts", "workers_of"]

PARAMETER = "cluster_workers"


def parametrize(metafunc: pytest.Metafunc) -> None:
    """Run a test function once for each number of workers, if it uses a cluster."""
    if not asks_for(metafunc.definition) or "workers" in matrix_of(metafunc.definition):
        return
    counts = worker_counts(metafunc.definition)
    if len(counts) > 1:
        if PARAMETER not in metafunc.fixturenames:  # it asks for the cluster while it runs
            metafunc.fixturenames.append(PARAMETER)
        metafunc.parametrize(PARAMETER, counts, indirect=True, ids=map(run_name, counts))


def why_once(item: pytest.Item) -> str:
    """Say why a test that has a cluster runs with one number of workers where several were asked for, or nothing."""
    if count_of(item) is not None or not settings.repeats(item.config) or len(worker_counts(item)) < 2:
        return ""
    return (
        f"{item.nodeid} ran once only: that it uses a cluster was known when it asked for it, and its runs had been "
        "counted; take cluster as an argument of the test or of its fixture, or name it where getfixturevalue is called"
    )


def run_name(count: int) -> str:
    """Return what stands in brackets after the name of a test that runs with *count* workers."""
    return f"workers={count}"


def count_of(item: pytest.Item) -> int | None:
    """Return the number of workers that this run of a test was made for; ``None`` for a test with one run."""
    params = getattr(getattr(item, "callspec", None), "params", {})
    count: int | None = params.get(PARAMETER, item.stash.get(WORKERS, None))
    return count


def worker_counts(item: pytest.Item) -> tuple[int, ...]:
    """Return with how many workers a test is to run: one number, or several.

    A marker that says ``workers=`` stands above the command line; only ``--cluster-compare`` runs it with 1 as well,
    and has nothing to compare where it says 1.
    """
    config = item.config
    own = _marked_workers(markers_of(item))
    asked: tuple[int, ...] = settings.value_of(config, "workers").value
    counts = asked if own is None else (own,)
    compares = settings.value_of(config, "compare").value and own != 1
    if not compares or not all(isinstance(count, int) for count in counts):
        return counts  # what is no number is refused by check_marker
    return tuple(dict.fromkeys((1, *counts))) if counts != (1,) else (1, 2)


def workers_of(item: pytest.Item, count: int) -> int:
    """Return how many workers a run of *item* has that was to have *count*.

    A marker on one of its parameters is seen only now; it stands above the command line as any other does.
    """
    own = _marked_workers(markers_of(item))
    compares = settings.value_of(item.config, "compare").value
    return count if own is None or (compares and 1 in (own, count)) else own


def check_marker(item: pytest.Item) -> None:
    """Refuse what a marker cannot mean.

    :raises pytest.UsageError: the sentence names the test, what was said, and what is valid.
    """
    for marker in item.iter_markers("cluster"):
        source = f"{item.nodeid}: @pytest.mark.cluster"
        if marker.args:
            raise pytest.UsageError(f"{source} takes keywords only: {', '.join(ClusterOptions.keywords())}")
        try:
            ClusterOptions().changed(source, marker.kwargs)
        except OptionError as error:
            raise pytest.UsageError(str(error)) from None
    own = any(marker.name == "cluster" for marker in item.own_markers)
    if own and not may_ask(item):
        raise pytest.UsageError(
            f"{item.nodeid}: @pytest.mark.cluster starts nothing by itself, and the test uses none of its fixtures: "
            f"take {', '.join(FIXTURES)} as an argument, or remove the marker"
        )


def _marked_workers(markers: Iterable[pytest.Mark]) -> int | None:
    return next((marker.kwargs["workers"] for marker in markers if "workers" in marker.kwargs), None)
