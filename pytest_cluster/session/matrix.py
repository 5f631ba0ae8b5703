"""Run a test with each combination of options: ``@pytest.mark.cluster_matrix(gunicorn=[…], python=[…])``."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from ..options.cluster_options import ClusterOptions
from ..options.markers import markers_of

__all__ = ["check_matrix", "matrix_of", "parametrize_matrix"]

FIXTURE = "cluster_matrix"
MOST = 200


def matrix_of(item: pytest.Item) -> Mapping[str, Sequence[Any]]:
    """Return what the nearest markers of a test say: the values of each keyword."""
    found: dict[str, Sequence[Any]] = {}
    for marker in reversed(markers_of(item, FIXTURE)):
        found.update(marker.kwargs)
    return found


def check_matrix(item: pytest.Item) -> None:
    """Refuse what a matrix cannot mean.

    :raises pytest.UsageError: the sentence says what is valid.
    """
    source = f"{item.nodeid}: @pytest.mark.cluster_matrix"
    matrix = matrix_of(item)
    if any(marker.args for marker in item.iter_markers(FIXTURE)):
        raise pytest.UsageError(f"{source} takes keywords only, each with a list: cluster_matrix(workers=[1, 3])")
    unknown = sorted(set(matrix) - set(ClusterOptions.keywords()))
    if unknown:
        valid = ", ".join(ClusterOptions.keywords())
        raise pytest.UsageError(f"{source}: unknown keyword {', '.join(map(repr, unknown))}; valid are {valid}")
    for name, values in matrix.items():
        if not isinstance(values, list | tuple) or not values:
            raise pytest.UsageError(f"{source}: expected a list of values for {name}, got {values!r:.100}")
    if matrix and not hasattr(item, "callspec"):
        raise pytest.UsageError(
            f"{source}: pytest cannot parametrize this test: a matrix is for functions, and methods of classes that "
            "are no TestCase"
        )


def parametrize_matrix(metafunc: pytest.Metafunc) -> None:
    """Run a test function once for each combination."""
    matrix = matrix_of(metafunc.definition)
    if not matrix or not all(isinstance(values, list | tuple) and values for values in matrix.values()):
        return  # check_matrix says what is wrong
    combinations = [dict(zip(matrix, values, strict=True)) for values in itertools.product(*matrix.values())]
    if len(combinations) > MOST:
        raise pytest.UsageError(
            f"{metafunc.definition.nodeid}: @pytest.mark.cluster_matrix: {len(combinations)} combinations are too "
            f"many, at most {MOST}"
        )
    if FIXTURE not in metafunc.fixturenames:
        metafunc.fixturenames.append(FIXTURE)
    known = set(ClusterOptions.keywords())
    params = [
        pytest.param(
            one, marks=pytest.mark.cluster(**{name: one[name] for name in one if name in known}), id=_name(one)
        )
        for one in combinations
    ]
    metafunc.parametrize(FIXTURE, params, indirect=True)


def _name(combination: Mapping[str, object]) -> str:
    return ",".join(f"{name}={value}" for name, value in combination.items())
