"""Parametrize a test by its number of workers, and check its marker."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from ..errors import OptionError
from ..options import settings
from ..options.cluster_options import ClusterOptions
from ..stash import FIXTURES

__all__ = ["check_marker", "worker_counts", "workers_of"]


def worker_counts(metafunc: pytest.Metafunc) -> tuple[int, ...]:
    """Return with how many workers a test is to run: one number, or several.

    A marker that says ``workers=`` stands above the command line; only ``--cluster-compare`` runs it with 1 as well,
    and has nothing to compare where it says 1.
    """
    config = metafunc.config
    own = _marked_workers(metafunc.definition.iter_markers("cluster"))
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
    own = _marked_workers(item.iter_markers("cluster"))
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
    if own and not set(FIXTURES) & set(getattr(item, "fixturenames", ())):
        raise pytest.UsageError(
            f"{item.nodeid}: @pytest.mark.cluster starts nothing by itself, and the test uses none of its fixtures: "
            f"take {', '.join(FIXTURES)} as an argument, or remove the marker"
        )


def _marked_workers(markers: Iterable[pytest.Mark]) -> int | None:
    return next((marker.kwargs["workers"] for marker in markers if "workers" in marker.kwargs), None)
