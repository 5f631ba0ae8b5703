"""The fixtures.  Nothing without the prefix ``cluster``, nothing automatic, nothing heavy before its use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from .client import Client
    from .cluster import Cluster
    from .faults import Faults
    from .journal import Journal
    from .run import ClusterRun

__all__ = [
    "FIXTURES",
    "RUN",
    "ClusterFactory",
    "cluster",
    "cluster_app",
    "cluster_client",
    "cluster_factory",
    "cluster_faults",
    "cluster_journal",
    "cluster_options",
    "cluster_workers",
]

RUN: pytest.StashKey[ClusterRun] = pytest.StashKey()

FIXTURES = ("cluster", "cluster_factory", "cluster_client", "cluster_faults", "cluster_journal")
"""A test that uses none of these starts no cluster, whatever its marker says."""


@contextmanager
def _told_plainly() -> Iterator[None]:
    """Outside of the test's own code an error needs no traceback: the frames would all be the plugin's."""
    from .errors import ClusterError, OptionError, StartError

    try:
        yield
    except (OptionError, StartError) as error:  # what the test asks for cannot be: a sentence
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    except ClusterError as error:
        raise pytest.fail.Exception(f"{type(error).__name__}: {error}", pytrace=False) from None


class ClusterFactory(Protocol):
    """Starts a cluster; the keywords are the marker's and override it."""

    def __call__(self, **changes: Any) -> Cluster:
        """Return a running cluster, which ends with the test at the latest."""
        ...


@pytest.fixture(scope="session")
def cluster_options() -> Mapping[str, Any]:
    """Override this to give a directory or a module defaults: the marker's keywords in a mapping."""
    return {}


@pytest.fixture(scope="session")
def cluster_app() -> Any:
    """Override this to say what is served: ``"module:name"``, or a WSGI callable that is a global of its module."""
    return None


@pytest.fixture
def cluster_workers(request: pytest.FixtureRequest) -> int | None:
    """How many workers this run of the test has, where ``--cluster-workers`` or ``--cluster-compare`` says several."""
    count: int | None = getattr(request, "param", None)
    return count


@pytest.fixture
def cluster_factory(
    request: pytest.FixtureRequest, cluster_options: Mapping[str, Any], cluster_app: Any, cluster_workers: int | None
) -> Iterator[ClusterFactory]:
    """Start clusters by hand, several at once or such as do not start: ``cluster_factory(workers=3)``."""
    run = request.config.stash[RUN]
    with _told_plainly(), ExitStack() as stack:
        wanted = run.wanted(request.node, cluster_options, cluster_app, cluster_workers)

        def factory(**changes: Any) -> Cluster:
            __tracebackhide__ = True
            one: Cluster = run.start(wanted.changed("cluster_factory", changes), request.node)
            stack.callback(run.end, one, request.node)
            return one

        yield factory


@pytest.fixture
def cluster(
    request: pytest.FixtureRequest, cluster_options: Mapping[str, Any], cluster_app: Any, cluster_workers: int | None
) -> Iterator[Cluster]:
    """Run a cluster of real processes with all its workers listening.

    An earlier test's, when that has left it as it was and nothing was asked otherwise; see the marker's ``fresh``.
    """
    run = request.config.stash[RUN]
    with _told_plainly():
        wanted = run.wanted(request.node, cluster_options, cluster_app, cluster_workers)
        lease = run.lease(wanted, request.node)
    yield lease.cluster
    with _told_plainly():
        run.give_back(lease, request.node)


@pytest.fixture
def cluster_client(cluster: Cluster) -> Client:
    """Requests to the cluster, each on a connection of its own; each answer says which worker gave it."""
    return cluster.client


@pytest.fixture
def cluster_faults(cluster: Cluster) -> Iterator[Faults]:
    """Ways to break the cluster; what lasts is undone at the end of the test."""
    yield cluster.faults
    cluster.faults.undo()


@pytest.fixture
def cluster_journal(cluster: Cluster) -> Journal:
    """Every event, message and fault of the cluster, in order."""
    return cluster.journal
