"""The fixtures.  Nothing without the prefix ``cluster``, nothing automatic, nothing heavy before its use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from .cluster import Cluster
    from .options import ClusterOptions

__all__ = ["ClusterFactory", "cluster", "cluster_factory", "cluster_options"]

# The clusters that a test has started, for the report of its failure.
CLUSTERS = pytest.StashKey["list[Cluster]"]()


class ClusterFactory(Protocol):
    """Starts a cluster; the keywords are the marker's and override it."""

    def __call__(self, **changes: Any) -> Cluster:
        """Return a running cluster, which ends with the test at the latest."""
        ...


@pytest.fixture(scope="session")
def cluster_options() -> Mapping[str, Any]:
    """Override this to give a directory or a module defaults: the marker's keywords in a mapping."""
    return {}


@pytest.fixture
def cluster_factory(request: pytest.FixtureRequest, cluster_options: Mapping[str, Any]) -> Iterator[ClusterFactory]:
    """Start clusters by hand, several at once or such as do not start: ``cluster_factory(workers=3)``."""
    from .cluster import Cluster

    options = options_of(request.node, cluster_options)
    started = request.node.stash.setdefault(CLUSTERS, [])

    with ExitStack() as stack:

        def factory(**changes: Any) -> Cluster:
            __tracebackhide__ = True
            asked = options.changed("cluster_factory", changes)
            one = stack.enter_context(Cluster.start(asked, pythonpath=str(request.config.rootpath)))
            started.append(one)
            return one

        yield factory


@pytest.fixture
def cluster(cluster_factory: ClusterFactory) -> Cluster:
    """Run a cluster of real processes with all its workers listening."""
    from .errors import ClusterError

    try:
        return cluster_factory()
    except ClusterError as error:
        pytest.fail(str(error), pytrace=False)


def options_of(item: pytest.Item, defaults: Mapping[str, Any]) -> ClusterOptions:
    """What *item* asks for: marker over command line over fixture ``cluster_options`` over our defaults."""
    from .options import ClusterOptions

    options = ClusterOptions().changed("cluster_options", defaults)
    given = {"workers": item.config.getoption("cluster_workers"), "app": item.config.getoption("cluster_app")}
    options = options.changed("command line", {name: value for name, value in given.items() if value is not None})
    for marker in reversed(list(item.iter_markers("cluster"))):
        options = options.changed("@pytest.mark.cluster", marker.kwargs)
    return options
