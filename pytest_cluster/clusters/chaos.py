"""Run a test's scenario with a fault at each of its steps, and again with fewer, to find the least that fails it."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import pytest

from ..errors import OptionError
from ..faults.chaos_plan import KINDS, ChaosFault, fault_at, shrink
from ..options.chaos_spec import ChaosSpec
from ..options.checks import check_count
from ..waiting import time_is_up
from .cluster import Cluster

__all__ = ["DEFAULT_KINDS", "Chaos", "ChaosVerdict"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

DEFAULT_KINDS = ("kill", "stop", "restart", "pause", "slow")
ATTEMPTS = 12
MOST_SEED = 10**6
LOSS = 0.1

Scenario = Callable[[Cluster], Iterator[object]]


class ChaosVerdict(Protocol):
    """Is told what a scenario has failed of."""

    def __call__(self, spec: ChaosSpec, told: str, cluster: Cluster) -> None:
        """Take the smallest plan that fails, what it is in words, and the cluster that has failed with it."""


class Chaos:
    """``cluster_chaos``: runs a scenario, a generator function, with a fault at each ``yield``.

    Before each fault all workers listen.  What lasts (``pause``, ``slow``, ``late_messages``, ``late_connections``,
    ``bad_network``) ends at the next step.

    :param start: starts a cluster, from the marker's keywords.
    :param given: the plan that the command line names, if it does.
    :param verdict: is told of a failure.
    """

    def __init__(self, start: Callable[..., Cluster], given: ChaosSpec | None, verdict: ChaosVerdict) -> None:
        self._start = start
        self._given = given
        self._verdict = verdict

    def __call__(
        self,
        scenario: Scenario,
        *,
        kinds: Sequence[str] = DEFAULT_KINDS,
        seed: int | None = None,
        attempts: int = ATTEMPTS,
        **changes: object,
    ) -> None:
        """Run *scenario* on a new cluster; when it fails, run it again with fewer faults, and raise its last failure.

        :param scenario: a generator function of the cluster; at each of its ``yield`` a fault is injected.
        :param kinds: what may happen: ``kill``, ``stop``, ``disconnect``, ``restart``, ``pause``, ``slow``, ``reload``,
            ``cut`` (the channel of a worker), ``cut_connections`` (that of its connections), ``late_messages``,
            ``late_connections``, ``bad_network``.
        :param seed: decides what happens when and to whom (default: another one each time); ``--cluster-chaos`` is
            stronger.
        :param attempts: how often it may run again to find fewer faults, each time on a cluster of its own.
        :param changes: the marker's keywords.
        :raises OptionError: something of that cannot be.
        :raises Exception: what the scenario has raised with the fewest faults; ``pytest.fail`` is such a failure.
        """
        _check(scenario, kinds, attempts)
        spec = self._given or ChaosSpec(random.randrange(MOST_SEED) if seed is None else _seed(seed))  # noqa: S311
        run = _Run(self._start, scenario, tuple(kinds), changes)
        failure = run.attempt(spec)
        if failure is None:
            return
        if spec.steps is None:
            failure = self._smallest(run, spec, failure, attempts)
        self._verdict(failure.spec, failure.told(len(run.most)), failure.cluster)
        raise failure.error

    def _smallest(self, run: _Run, spec: ChaosSpec, failure: _Failure, attempts: int) -> _Failure:
        found = [failure]

        def fails(steps: tuple[int, ...]) -> bool:
            again = None if time_is_up() else run.attempt(ChaosSpec(spec.seed, steps))
            if again is None or time_is_up() or type(again.error) is not type(failure.error):
                return False
            found.append(again)
            return True

        shrink([one.step for one in failure.done], fails, attempts)
        return found[-1]


class _Failure:
    """A scenario that has failed: with what, where."""

    def __init__(self, spec: ChaosSpec, error: BaseException, done: Sequence[ChaosFault], cluster: Cluster) -> None:
        self.spec = ChaosSpec(spec.seed, tuple(one.step for one in done))
        self.error = error
        self.done = done
        self.cluster = cluster

    def told(self, of: int) -> str:
        """Say of which faults it fails; there were *of* at first."""
        if not self.done:
            return "chaos: it fails without any fault"
        faults = "; ".join(map(str, self.done))
        return f"chaos: it fails with {len(self.done)} of {of} faults of seed {self.spec.seed}: {faults}"


class _Run:
    """Attempts at one scenario; *most* are the faults of the first one."""

    def __init__(
        self, start: Callable[..., Cluster], scenario: Scenario, kinds: tuple[str, ...], changes: Mapping[str, object]
    ) -> None:
        self._start = start
        self._scenario = scenario
        self._kinds = kinds
        self._changes = changes
        self.most: Sequence[ChaosFault] = ()

    def attempt(self, spec: ChaosSpec) -> _Failure | None:
        """Run it once, on a cluster of its own; return how it failed."""
        done: list[ChaosFault] = []
        failure = None
        cluster = self._start(**self._changes)
        with contextlib.ExitStack() as stack:
            stack.enter_context(cluster)
            try:
                self._go_through(cluster, spec, done)
            except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - it is tried again with less
                failure = _Failure(spec, error, done, cluster)
                cluster.ends_quickly = True
        self.most = self.most or done
        return failure

    def _go_through(self, cluster: Cluster, spec: ChaosSpec, done: list[ChaosFault]) -> None:
        steps = self._scenario(cluster)
        if not isinstance(steps, Iterator):
            raise OptionError(
                "cluster_chaos: expected a scenario with a yield where a fault may happen, and "
                f"{_name(self._scenario)} is no generator function"
            )
        with contextlib.ExitStack() as lasting:
            for number, _ in enumerate(steps, start=1):
                lasting.close()
                if spec.has(number):
                    cluster.wait_listening()
                    fault = fault_at(spec.seed, number, self._kinds)
                    done.append(fault)
                    inject(cluster, fault, lasting)
            lasting.close()
        cluster.wait_listening()


def inject(cluster: Cluster, fault: ChaosFault, lasting: contextlib.ExitStack) -> None:
    """Do it; what lasts ends with *lasting*."""
    workers = cluster.workers
    worker = workers[int(fault.choice * len(workers))]
    faults = cluster.faults
    once: Mapping[str, Callable[[], object]] = {
        "kill": lambda: faults.kill(worker),
        "stop": lambda: faults.stop(worker),
        "disconnect": lambda: faults.disconnect(worker),
        "restart": lambda: cluster.restart_worker(worker),
        "reload": cluster.reload,
        "cut": lambda: faults.cut_channel(worker),
        "cut_connections": lambda: faults.cut_connections(worker),
    }
    blocks: Mapping[str, Callable[[], AbstractContextManager[object]]] = {
        "pause": lambda: faults.paused(worker),
        "slow": lambda: _until_undone(cluster, lambda: faults.slow(fault.seconds)),
        "late_messages": lambda: _until_undone(cluster, lambda: faults.delay_messages(fault.seconds)),
        "late_connections": lambda: _until_undone(cluster, lambda: faults.delay_connections(fault.seconds)),
        "bad_network": lambda: faults.network(delay=fault.seconds / 10, loss=LOSS, seed=int(fault.choice * MOST_SEED)),
    }
    if fault.kind in once:
        once[fault.kind]()
    else:
        lasting.enter_context(blocks[fault.kind]())


@contextlib.contextmanager
def _until_undone(cluster: Cluster, begin: Callable[[], None]) -> Iterator[None]:
    begin()
    yield
    cluster.faults.undo()


def _check(scenario: object, kinds: object, attempts: int) -> None:
    if not callable(scenario):
        raise OptionError(f"cluster_chaos: expected a generator function as scenario, got {scenario!r:.100}")
    check_count("cluster_chaos(attempts)", attempts, 0, 1000)
    known = isinstance(kinds, Collection) and not isinstance(kinds, str) and all(one in KINDS for one in kinds)
    if not known or not kinds:
        raise OptionError(f"cluster_chaos: expected kinds to be some of {', '.join(KINDS)}, got {kinds!r:.100}")


def _seed(seed: object) -> int:
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 10**18:
        raise OptionError(f"cluster_chaos: expected seed to be a whole number from 0, got {seed!r:.100}")
    return seed


def _name(function: object) -> str:
    return str(getattr(function, "__name__", repr(function)))
