"""Run a cluster: send it requests, scale, reload and stop it, call functions in its workers."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar, overload

from ..errors import ClusterError, OptionError
from ..faults.cluster_faults import Faults
from ..journal.entries import required_worker_id
from ..journal.messages import Messages
from ..options.checks import check_seconds, is_count, most_workers
from ..options.cluster_options import ClusterOptions
from ..processes.everywhere import assert_same, run_in, value_in_all
from ..processes.worker import WorkerProxy
from ..requests.endpoint import Endpoint
from ..server.server_process import ServerProcess
from ..signals import signal_number
from ..values import Message, Pickled
from ..waiting import Deadline, poll, scaled, timed_out
from .asked import AskedCluster
from .changes import ReloadReport, Snapshot, check_reloaded, check_restarted, check_scaled
from .readiness import bring_up, prepare_server

if TYPE_CHECKING:
    pass

__all__ = ["Cluster"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

T = TypeVar("T")

DEFAULT_TIMEOUT = 10.0


class Cluster(AskedCluster):
    """A real gunicorn with all its workers listening; ends with the test, or with the ``with`` that holds it.

    What it knows of its workers stays readable after their end, and after its own.

    Attributes:
        faults: ways to break it.
        messages: what passes between primary and workers.
        picture: how it was when its ``with`` block ended; ``None`` before, and where there was none.
        ends_quickly: whether its end cuts off requests that are under way: its test has failed.
        used_by: the earlier tests that have asked it for anything, by their node ids.
    """

    def __init__(self, options: ClusterOptions, server: ServerProcess, endpoint: Endpoint, faults: Faults) -> None:
        super().__init__(options, server, endpoint)
        self.faults = faults
        self.messages: Messages = Messages(server.journal)
        self.picture: Snapshot | None = None
        self.ends_quickly: bool = False
        self.used_by: list[str] = []
        server.journal.diagnose = server.stacks

    @classmethod
    def start(cls, options: ClusterOptions, *, pythonpath: str) -> Cluster:
        """Start a cluster and return it when it is ready; its application is imported from *pythonpath*.

        :raises StartError: it ended, or was not ready in time.
        """
        server = prepare_server(options, pythonpath=pythonpath)
        faults = Faults(server, options)
        return cls(options, server, bring_up(server, options, workers=options.workers), faults)

    @property
    def is_closed(self) -> bool:
        """Whether :meth:`close` has ended it already, or :meth:`keep` let it go."""
        return self._closed

    def wait_for(self, check: Callable[[Cluster], T | None], *, reason: str, timeout: float | None = None) -> T:
        """Wait until ``check(cluster)`` is true, and return what it returned.

        :param reason: what is waited for, in words; the error says it.
        :raises OptionError: *check* is no function, or *timeout* no number of seconds.
        :raises WaitTimeout: it was not within *timeout* seconds (default: 10).
        """
        if not callable(check):
            raise OptionError(f"wait_for: expected a function of the cluster, got {check!r:.100}")
        seconds = scaled(DEFAULT_TIMEOUT) if timeout is None else timeout
        check_seconds("wait_for(timeout)", seconds)
        deadline = Deadline(seconds)
        result = poll(lambda: check(self), seconds)
        if not result:
            early = deadline.early_end()
            sections = [("now", str(self.snapshot())), *self._evidence()]
            raise timed_out(reason, seconds, sections, early=early)
        return result

    # Changes

    def scale(self, workers: int, *, timeout: float | None = None) -> list[WorkerProxy]:
        """Have so many workers, and wait until exactly they are there and listen; return them.

        What holds of scaling is checked: those that stay are the workers that there were, and those that go were asked
        to.

        :param timeout: seconds to wait (default: the marker's ``start_timeout``).
        :raises ClusterError: it is a script, or *workers* is no number that can be.
        :raises WaitTimeout: it did not come to that.
        :raises AssertionError: a worker was lost, or replaced, on the way.
        """
        if not is_count(workers, 1, most_workers()):
            raise ClusterError(f"expected 1 to {most_workers()} workers, got {workers!r:.100}")
        before = self.workers
        self.journal.note_fault(0, self.primary.pid, f"scale to {workers} workers", harmless=True)
        self.primary.ask("scale", (workers,))
        self._target = workers
        after = self.wait_listening(workers, timeout)
        check_scaled(before, after)
        return after

    def reload(self, *, timeout: float | None = None) -> ReloadReport:
        """Reload as HUP does, and wait for its end.

        What holds for a reload that succeeded is checked: as many workers as there should be listen, all are new, and
        every old one has ended because it was asked to.  One that failed is in the report: look at ``succeeded``; what
        it had started has ended, but for workers that listen where an old one had left already.

        :param timeout: seconds to wait (default: twice the marker's ``start_timeout``).
        :raises ClusterError: the cluster is a script.
        :raises WaitTimeout: it did not end in time.
        :raises AssertionError: it says that it succeeded, and something of that does not hold.
        """
        seconds = self.options.start_timeout * 2 if timeout is None else timeout
        deadline = Deadline(seconds)
        before = self.workers
        self.journal.note_fault(0, self.primary.pid, "reload", harmless=True)
        report = ReloadReport(**self.primary.ask("reload", timeout=seconds))
        if report.succeeded:
            for worker in before:
                self.journal.wait_for("exit", worker=worker.id, timeout=deadline.remaining)
            self._target = self.primary.status()["target"]  # as the configuration says: the reload has read it again
            check_reloaded(before, self.wait_listening(None, deadline.remaining))
        elif report.state == "failed":
            self._wait_given_up(before, deadline)
        return report

    def _wait_given_up(self, before: Sequence[WorkerProxy], deadline: Deadline) -> None:
        """Wait for the end of what a failed reload had started, but for those that stay: their places were empty."""
        started = [worker for worker in self.workers if worker not in before]
        if started:
            staying = {one["id"] for one in self.primary.status()["workers"] if not one["is_leaving"]}
            for worker in started:
                if worker.id not in staying:
                    self.journal.wait_for("exit", worker=worker.id, timeout=deadline.remaining)

    def restart_worker(self, worker: WorkerProxy | int, *, timeout: float | None = None) -> WorkerProxy:
        """Let one worker finish and end, wait until another listens in its place, and return that one.

        What holds of it is checked: the worker has ended because it was asked to, and all others are still there.

        :param worker: or its id.
        :param timeout: seconds to wait (default: the marker's ``start_timeout``).
        :raises ClusterError: the cluster is a script, which replaces its workers itself; or there is no such worker.
        :raises ProcessGone: it has ended already.
        :raises WaitTimeout: it did not come to that.
        :raises AssertionError: another worker was lost on the way.
        """
        if self.options.script is not None:
            raise ClusterError("a script replaces its workers itself: let it, by worker.disconnect() or a message")
        old = self.worker(required_worker_id(worker))
        deadline = Deadline(self.options.start_timeout if timeout is None else timeout)
        before = self.workers
        old.disconnect()
        self.journal.wait_for("exit", worker=old.id, timeout=deadline.remaining)
        after = self.wait_listening(len(before), deadline.remaining)
        check_restarted(old, before, after)
        return after[-1]

    def rolling_restart(self, *, timeout: float | None = None) -> Iterator[WorkerProxy]:
        """Restart the workers of now one after another: a step for each, at which the test may look at everything.

        ``for worker in cluster.rolling_restart(): assert cluster.get("/").ok``

        :param timeout: of each step, as in :meth:`restart_worker`, with its errors.
        :return: yields the worker that has come in place of one; what is left is not restarted when nobody goes on.
        """
        for old in self.workers:
            yield self.restart_worker(old, timeout=timeout)

    def disconnect(self, *, timeout: float | None = None) -> int:
        """``cluster.disconnect()`` in the primary: every worker finishes and ends, then the server; its return code.

        :param timeout: seconds to wait (default: gunicorn's grace and some).
        :raises StopError: it still ran after that, and was killed.
        """
        self.journal.note_fault(0, self.primary.pid, "cluster.disconnect()", ends=True)
        self.primary.ask("disconnect", ())
        seconds = self.options.stop_timeout if timeout is None else timeout
        return self.server.wait_ended("cluster.disconnect()", seconds)

    def stop(self, which: int | str = signal.SIGTERM, timeout: float | None = None) -> int:
        """Send the primary a signal that ends it, wait for its end, return its return code.

        :raises StopError: it still ran after *timeout* seconds (default: gunicorn's grace and some) and was
            killed.
        """
        ended = self.returncode
        if ended is not None:
            return ended
        number = signal_number(which)
        self.journal.note_fault(0, self.primary.pid, f"{number.name} to the primary", ends=True)
        return self.server.stop(number, self.options.stop_timeout if timeout is None else timeout)

    # Inside its processes

    @overload
    def run_in_all(self, function: Callable[..., T], *args: object, timeout: float | None = ...) -> dict[int, T]: ...
    @overload
    def run_in_all(self, function: str, *args: object, timeout: float | None = ...) -> dict[int, Pickled]: ...
    def run_in_all(
        self, function: Callable[..., object] | str, *args: object, timeout: float | None = None
    ) -> dict[int, Pickled]:
        """Call *function* in every worker at the same time; return the results by worker id.

        :raises Exception: what it has raised in one of them.
        """
        return value_in_all(run_in(self.workers, function, args, timeout))

    @overload
    def assert_same_everywhere(self, function: Callable[..., T], *args: object, timeout: float | None = ...) -> T: ...
    @overload
    def assert_same_everywhere(self, function: str, *args: object, timeout: float | None = ...) -> Pickled: ...
    def assert_same_everywhere(
        self, function: Callable[..., object] | str, *args: object, timeout: float | None = None
    ) -> Pickled:
        """Call *function* in every worker and fail unless all return the same, which is returned.

        It finds caches, counters and sessions that each process has for itself.

        :raises AssertionError: they do not; it shows what differs, and who raised something instead.
        :raises Exception: what it has raised in all of them.
        """
        name = function if isinstance(function, str) else getattr(function, "__name__", repr(function))
        return assert_same(name, run_in(self.workers, function, args, timeout))

    def broadcast(self, message: Message) -> None:
        """Let the primary send a message to every worker."""
        for worker in self.workers:
            worker.send(message)

    # Its end

    def close(self) -> None:
        """End it, check that it left no process, release everything.  The fixture does this.

        :raises StopError: it had to be killed.
        :raises LeakError: it had left processes behind, which were killed.
        """
        if self._closed:
            return
        self._closed = True
        try:
            self.faults.undo()
        finally:
            for client in self._clients:
                client.close()
            try:
                self.server.close(quick=self.ends_quickly)
            finally:
                for client in self._clients:
                    client.join()

    def keep(self) -> None:
        """Let it run on after pytest has ended."""
        self.faults.undo()
        for client in self._clients:
            client.close()
            client.join()
        self.server.keep()
        self._closed = True  # what could not be kept is still to be closed

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if not self._closed:
                self.picture = self.snapshot()
        finally:
            self.ends_quickly = self.ends_quickly or error is not None
            self.close()
