"""Break a cluster on purpose: slow it, fail its requests and boots, hold its steps; every fault there is.

Each fault is in the journal as *injected* before it happens, so that a report can tell the test's doing from the
cluster's.  A pause, a failpoint or a limit is undone at the end of its block or of the test, whichever comes first;
where it could have ended a process, the journal has its end as well.
"""

from __future__ import annotations

import contextlib
import pickle
import signal
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..errors import FaultError, OptionError
from ..options.checks import check_count, check_seconds
from ..processes.worker import WorkerProxy
from ..wire.records import MESSAGE, Action, Delay, Do, End, Fail, Hold
from ..wire.remote import function_record
from .gates import Gate
from .injector import pickled
from .network_faults import NetworkFaults

__all__ = ["BOOT_FAILURES", "Faults"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all


def _raises(error: Exception, times: int | None = None) -> Fail:
    return Fail(times, error=pickle.dumps(error))


BOOT_FAILURES: Mapping[str, tuple[str, Action]] = {
    "import": ("boot", _raises(ImportError("injected: the application does not import"))),
    "exit": ("boot", End(code=1)),
    "kill": ("boot", End(signal=signal.SIGKILL)),
    "hang": ("boot", Hold()),
    "late": ("ready", _raises(RuntimeError("injected: loaded, and then not ready"))),
}
"""What :meth:`Faults.boot_failure` can do, by name: the step, and what happens there."""


class Faults(NetworkFaults):
    """The faults of one cluster: ``cluster_faults``, or ``cluster.faults``.

    A *target* is a worker (``cluster.workers[0]``) or the primary (``cluster.primary``).  Where a fault is one of
    workers, ``worker=`` takes a worker, or an id, also of one that is to come; without it, it is a fault of all, and
    of those that come later: of the first ones, too, in a cluster that is prepared (``cluster_factory(start=False)``).

    Everything here raises :class:`ProcessGone` when its target has ended already.
    """

    def slow(
        self, seconds: float, *, jitter: float = 0.0, seed: int = 0, worker: WorkerProxy | int | None = None
    ) -> None:
        """Let each request wait before the application sees it, until :meth:`undo`.

        :param seconds: how long; *jitter*: up to so much longer, by a random number of *seed*.
        :raises OptionError: that is no time.
        """
        check_seconds("slow(seconds)", seconds)
        check_seconds("slow(jitter)", jitter)
        check_count("slow(seed)", seed, 0)
        self._arm("request", Delay(seconds, jitter, seed), worker, f"slow by {seconds:g} s in", harmless=True)

    def fail_next(
        self,
        times: int = 1,
        *,
        status: int | None = None,
        error: type[Exception] | Exception | None = None,
        worker: WorkerProxy | int | None = None,
    ) -> None:
        """Let the next *times* requests fail, in each worker or in one.

        :param status: answer them with this (default: 500).
        :param error: or raise this in the worker, before the application sees them; of a class that the worker can
            import.
        :raises FaultError: the worker cannot have that error, or a status is asked for, too.
        :raises OptionError: it is no error, or no number that can be.
        """
        check_count("fail_next(times)", times)
        if status is not None:
            check_count("fail_next(status)", status, 100, 599)
        if error is None:
            action = Fail(times, status=status or 500)
        elif status is not None:
            raise FaultError("a request that fails by an error has no status of its own: give one of the two")
        else:
            action = Fail(times, error=pickled(_instance(error), "the error"))
        self._arm("request", action, worker, f"fail_next({times}) in", harmless=True)

    def boot_failure(self, how: str = "import", *, worker: int | None = None) -> None:
        """Let workers that are started from now on fail to boot, until :meth:`undo`.

        :param how: ``"import"``: the application raises; ``"exit"``, ``"kill"``: the process ends; ``"hang"``: it never
            comes up; ``"late"``: it fails after the application is loaded.
        :param worker: the id that it will have; otherwise every one.
        :raises FaultError: there is no such way to fail.
        """
        if how not in tuple(BOOT_FAILURES):  # also what has no hash
            raise FaultError(f"expected one of {', '.join(BOOT_FAILURES)}, got {how!r}")
        step, action = BOOT_FAILURES[how]
        self._arm(step, action, worker, f"boot failure ({how}) of", only_later=True)

    def at(
        self,
        step: str,
        function: Callable[..., Any] | str,
        *args: object,
        worker: WorkerProxy | int | None = None,
        times: int | None = 1,
    ) -> None:
        """Call *function* in a worker when that comes to a step, until :meth:`undo`: a fault of your own.

        :param step: as in :meth:`hold`, and ``"fork"`` (the first thing in the process, which still has open what the
            primary has: clients' connections, too), ``"online"`` (before it says so), ``"listening"`` (after it has
            said so).  Before ``"boot"`` nothing can wait there.
        :param function: importable there, or at the top level of the test's file; *args*: what it is given.
        :param times: so often in each worker; ``None``: always.
        :raises FaultError: nobody comes to that step, or *args* cannot be sent.
        :raises OptionError: *times* is no number.
        :raises NotImportable: a worker cannot find *function*.
        """
        if times is not None:
            check_count("at(times)", times)
        action = Do(function_record(function), pickled(args, "the arguments"), times)
        self._arm(step, action, worker, f"{getattr(function, '__name__', function)} at {step} in")

    @contextlib.contextmanager
    def hold(self, step: str, *, worker: WorkerProxy | int | None = None) -> Iterator[Gate]:
        """Hold every call that comes to a step, until it is released or the block ends.

        :param step: a function of the application, ``"shop.views:charge"`` (replaced where that name is looked up, as
            ``unittest.mock.patch`` does); or ``"request"``, ``"boot"``, ``"ready"``, ``"receive"``, ``"send"`` (of
            messages), ``"connection"``.
        :raises FaultError: nobody comes to that step, or nothing can wait there.
        """
        with self._gate(step, worker, None) as gate:
            yield gate

    @contextlib.contextmanager
    def barrier(self, step: str, parties: int) -> Iterator[Gate]:
        """Hold calls at a step until *parties* are there, then let these go on at once; and so on.

        :raises FaultError: nobody comes to that step, or nothing can wait there.
        :raises OptionError: *parties* is no number.
        """
        check_count("barrier(parties)", parties)
        with self._gate(step, None, parties) as gate:
            yield gate


def _instance(error: object) -> Exception:
    if isinstance(error, Exception):
        return error
    if not isinstance(error, type) or not issubclass(error, Exception):
        raise OptionError(f"expected an error, or the class of one, got {error!r:.100}")
    try:
        return error(MESSAGE)
    except TypeError as problem:
        raise FaultError(f"{error!r} cannot be made from one text ({problem}): give an error, not its class") from None
