"""Define the fixtures.  Nothing without the prefix ``cluster``, nothing automatic, nothing heavy before its use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, cast

import pytest

if TYPE_CHECKING:
    from .clusters.chaos import Chaos
    from .clusters.cluster import Cluster
    from .clusters.factories import ClusterFactory, NginxFactory
    from .clusters.foreign import ForeignCluster
    from .clusters.nginx import Nginx
    from .clusters.prepared import PreparedCluster
    from .faults.cluster_faults import Faults
    from .journal.journal import Journal
    from .requests.client import Client
    from .server.services import Service
    from .session.run import ClusterRun

__all__ = [
    "RUN",
    "cluster",
    "cluster_app",
    "cluster_chaos",
    "cluster_client",
    "cluster_factory",
    "cluster_faults",
    "cluster_journal",
    "cluster_matrix",
    "cluster_nginx",
    "cluster_noproc",
    "cluster_options",
    "cluster_postgresql",
    "cluster_postgresql_noproc",
    "cluster_redis",
    "cluster_redis_noproc",
    "cluster_workers",
    "fail_without_traceback",
]

RUN: pytest.StashKey[ClusterRun] = pytest.StashKey()


@contextmanager
def _without_traceback() -> Iterator[None]:
    """Raise our errors without a traceback: outside of the test's own code all frames would be the plugin's."""
    from .errors import ClusterError, OptionError, StartError

    try:
        yield
    except (OptionError, StartError) as error:  # what the test asks for cannot be: a sentence
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    except ClusterError as error:
        raise pytest.fail.Exception(f"{type(error).__name__}: {error}", pytrace=False) from None


@contextmanager
def _skip_of_matrix(request: pytest.FixtureRequest) -> Iterator[None]:
    """Skip the combination of a matrix for which this machine lacks an interpreter, or a version of gunicorn."""
    from .errors import MissingProgram

    try:
        yield
    except MissingProgram as problem:
        if request.node.get_closest_marker("cluster_matrix") is None:
            raise
        pytest.skip(f"cluster_matrix: {problem}")


def _end(run: ClusterRun, one: Cluster, item: pytest.Item, problems: list[Exception]) -> None:
    """End one of several clusters: what goes wrong with it does not hide what goes wrong with the next."""
    from .errors import ClusterError

    try:
        run.end(one, item)
    except ClusterError as error:
        problems.append(error)


def fail_without_traceback(problems: Sequence[Exception]) -> NoReturn:
    """Fail with the sentences of these errors; the report is about the first one's server."""
    failure = pytest.fail.Exception("\n".join(f"{type(one).__name__}: {one}" for one in problems), pytrace=False)
    failure.__context__, failure.__suppress_context__ = problems[0], True
    raise failure


@pytest.fixture(scope="session")
def cluster_options() -> Mapping[str, Any]:
    """Override this to give a directory or a module defaults: the marker's keywords in a mapping."""
    return {}


@pytest.fixture(scope="session")
def cluster_app() -> object:
    """Override this to say what is served: ``"module:name"``, or a WSGI callable that is a global of its module.

    With ``fork_app=True``, any WSGI callable: also from a fixture of a narrower scope.
    """
    return None


@pytest.fixture
def cluster_workers(request: pytest.FixtureRequest) -> int | None:
    """How many workers this run of the test has, where ``--cluster-workers`` or ``--cluster-compare`` says several."""
    from .session.parametrize import count_of, workers_of

    count = count_of(request.node)
    return None if count is None else workers_of(request.node, count)


@pytest.fixture
def cluster_factory(
    request: pytest.FixtureRequest, cluster_options: Mapping[str, Any], cluster_app: object, cluster_workers: int | None
) -> Iterator[ClusterFactory]:
    """Start clusters by hand, several at once or such as do not start: ``cluster_factory(workers=3)``.

    ``start=False`` only prepares one, for faults of its first boot.
    """
    from .errors import OptionError

    run = request.config.stash[RUN]
    if run.foreign_url is not None:
        from .clusters.foreign import skip_start

        skip_start(run.foreign_url)
    with _without_traceback(), _skip_of_matrix(request):
        without_app = run.recipe(request.node, cluster_options, None, cluster_workers)
    problems: list[Exception] = []
    with ExitStack() as stack:

        def ends_with_the_test(one: Cluster) -> None:
            stack.callback(_end, run, one, request.node, problems)

        def factory(*, start: bool = True, **changes: object) -> Cluster | PreparedCluster:
            __tracebackhide__ = True
            if not isinstance(start, bool):
                raise OptionError(f"cluster_factory: expected start to be True or False, got {start!r:.100}")
            recipe = without_app
            if changes.get("app") is None:  # only now: an object that nobody can import may be forked, as the call says
                forks = changes.get("fork_app") is True
                recipe = run.recipe(request.node, cluster_options, cluster_app, cluster_workers, forks=forks)
            prepared = run.prepare(recipe.changed("cluster_factory", changes), request.node, ends_with_the_test)
            stack.callback(prepared.discard)
            return prepared.start() if start else prepared

        yield cast("ClusterFactory", factory)
    if problems:
        fail_without_traceback(problems)


@pytest.fixture
def cluster(
    request: pytest.FixtureRequest, cluster_options: Mapping[str, Any], cluster_app: object, cluster_workers: int | None
) -> Iterator[Cluster]:
    """Run a cluster of real processes with all its workers listening.

    An earlier test's, when that has left it as it was and nothing was asked otherwise; see the marker's ``fresh``.
    """
    run = request.config.stash[RUN]
    if run.foreign_url is not None:
        with _without_traceback(), run.foreign(request.node, cluster_options, cluster_app) as foreign:
            yield cast("Cluster", foreign)
        return
    with _without_traceback(), _skip_of_matrix(request):
        recipe = run.recipe(request.node, cluster_options, cluster_app, cluster_workers)
        lease = run.lease(recipe, request.node, request)
    yield lease.cluster
    with _without_traceback():
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
def cluster_chaos(request: pytest.FixtureRequest, cluster_factory: ClusterFactory) -> Chaos:
    """Run a scenario with a fault at each of its steps: ``cluster_chaos(scenario)``."""
    from .clusters.chaos import Chaos
    from .session.chaos_verdict import given_plan, note_verdict

    item = request.node
    return Chaos(cluster_factory, given_plan(item), lambda *what: note_verdict(item, *what))


@contextmanager
def _service(request: pytest.FixtureRequest, name: str) -> Iterator[Service]:
    from .errors import MissingProgram
    from .server import services

    request.config.stash[RUN].acquire_helpers()
    with _without_traceback(), ExitStack() as stack:
        try:
            service = stack.enter_context(getattr(services, name)())
        except MissingProgram as problem:
            pytest.skip(f"cluster_{problem}")
        yield service


@pytest.fixture(scope="session")
def cluster_redis(request: pytest.FixtureRequest) -> Iterator[Service]:
    """Run a Redis or Valkey of this run's own, to which ``cluster_redis.url`` leads; skip the test where there is none.

    It is empty at first, and not emptied between tests.
    """
    with _service(request, "redis") as service:
        yield service


@pytest.fixture(scope="session")
def cluster_postgresql(request: pytest.FixtureRequest) -> Iterator[Service]:
    """Run a PostgreSQL of this run's own, to which its ``url`` and ``env`` lead; skip the test where there is none."""
    with _service(request, "postgresql") as service:
        yield service


@contextmanager
def _service_of_somebody_else(request: pytest.FixtureRequest, name: str) -> Iterator[Service]:
    from .options import settings
    from .server.services import running_already

    setting = f"{name}_url"
    url = settings.value_of(request.config, setting).value
    if url is None:
        option = f"--cluster-{setting.replace('_', '-')}"
        pytest.skip(f"cluster_{name}_noproc: which one? Say {option}=URL, or use cluster_{name}, which runs its own")
    with _without_traceback():
        yield running_already(name, url)


@pytest.fixture(scope="session")
def cluster_redis_noproc(request: pytest.FixtureRequest) -> Iterator[Service]:
    """Return the Redis that ``--cluster-redis-url`` names, which somebody else runs; skip the test without that."""
    with _service_of_somebody_else(request, "redis") as service:
        yield service


@pytest.fixture(scope="session")
def cluster_postgresql_noproc(request: pytest.FixtureRequest) -> Iterator[Service]:
    """Return the PostgreSQL that ``--cluster-postgresql-url`` names; skip the test without that."""
    with _service_of_somebody_else(request, "postgresql") as service:
        yield service


@pytest.fixture
def cluster_noproc(
    request: pytest.FixtureRequest, cluster_options: Mapping[str, Any], cluster_app: object
) -> Iterator[ForeignCluster]:
    """Ask the server that ``--cluster-url`` names, which somebody else runs; skip the test without that."""
    run = request.config.stash[RUN]
    if run.foreign_url is None:
        pytest.skip("cluster_noproc: which server? Say --cluster-url=URL, or use cluster, which starts its own")
    with _without_traceback(), run.foreign(request.node, cluster_options, cluster_app) as foreign:
        yield foreign


@pytest.fixture
def cluster_nginx(request: pytest.FixtureRequest) -> Iterator[NginxFactory]:
    """Run nginx before clusters: ``cluster_nginx(cluster)``; skip the test where it is not installed."""
    request.config.stash[RUN].acquire_helpers()
    with ExitStack() as stack:

        def factory(*clusters: object, server: str | None = None) -> Nginx:
            __tracebackhide__ = True
            from .clusters.nginx import nginx_before
            from .errors import MissingProgram

            try:
                return stack.enter_context(nginx_before(clusters, server))
            except MissingProgram as problem:
                pytest.skip(f"cluster_{problem}")

        yield factory


@pytest.fixture
def cluster_matrix(request: pytest.FixtureRequest) -> Mapping[str, Any]:
    """Return which of the combinations this run is that ``@pytest.mark.cluster_matrix`` asks for; empty for no such."""
    given: Mapping[str, Any] = getattr(request, "param", {})
    return given


@pytest.fixture
def cluster_journal(cluster: Cluster) -> Journal:
    """Every event, message and fault of the cluster, in order."""
    return cluster.journal
