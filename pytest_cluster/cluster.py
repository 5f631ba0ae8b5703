"""A running cluster as a test uses it."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from types import TracebackType
from typing import Any

from .changes import ReloadReport, Snapshot, check_reloaded, check_scaled, take_snapshot
from .client import Client, Endpoint, Response
from .entries import AnyWorker, JournalEntry, ListeningAddress, Wanted, lasting, worker_id
from .errors import ClusterError
from .everywhere import assert_same, run_in
from .expectations import Expectation
from .faults import Faults
from .journal import Journal
from .launcher import ServerProcess
from .messages import Messages
from .options import ClusterOptions, most_workers
from .primary import PrimaryProxy
from .readiness import distinct_addresses, listening_workers, start_server, worker_ids
from .signals import signal_number
from .waiting import Deadline, poll, scaled, timed_out
from .worker import WorkerProxy

__all__ = ["Cluster"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

DEFAULT_TIMEOUT = 10.0


class Cluster:
    """A real gunicorn with all its workers listening; ends with the test, or with the ``with`` that holds it.

    What it knows of its workers stays readable after their end, and after its own.

    Attributes:
        options: what it was started with.
        primary: gunicorn's arbiter process.
        client: requests to it, each on a connection of its own.
        faults: ways to break it.
        messages: what passes between primary and workers.
    """

    def __init__(self, options: ClusterOptions, server: ServerProcess, endpoint: Endpoint) -> None:
        self.options = options
        self.primary = PrimaryProxy(server)
        self._target = options.workers
        self.client = Client(endpoint, server.tallies.seen, self._listening)
        self.faults = Faults(server, options)
        self.messages = Messages(server.journal)
        self.server = server
        self._endpoint = endpoint
        self._closed = False
        server.journal.diagnose = server.stacks

    @classmethod
    def start(cls, options: ClusterOptions, *, pythonpath: str) -> Cluster:
        """Start a cluster and return it when it is ready; its application is imported from *pythonpath*.

        :raises StartError: it ended, or was not ready in time.
        """
        return cls(options, *start_server(options, pythonpath=pythonpath))

    # Where it is

    @property
    def host(self) -> str:
        """The host to connect to; empty for a unix socket."""
        return self._endpoint.host

    @property
    def port(self) -> int:
        """The port, as the primary reported it; 0 for a unix socket."""
        return self._endpoint.port

    @property
    def address(self) -> tuple[str, int] | str:
        """What ``socket.connect`` takes: host and port, or the path of a unix socket."""
        return (self.host, self.port) if self._endpoint.path is None else self._endpoint.path

    @property
    def addresses(self) -> list[ListeningAddress]:
        """Every address that the workers reported, the first one first."""
        return distinct_addresses(self.journal.entries)

    @property
    def url(self) -> str:
        """``http://127.0.0.1:34567``, without a slash at the end."""
        if self._endpoint.path is not None:
            raise ClusterError(f"a server on the unix socket {self._endpoint.path} has no URL; use get() or connect()")
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self._endpoint.tls else 'http'}://{host}:{self.port}"

    # Who is in it

    @property
    def journal(self) -> Journal:
        """Every lifecycle event, message and fault so far, in order."""
        return self.server.journal

    @property
    def workers(self) -> list[WorkerProxy]:
        """The workers that have not exited, by id."""
        return [worker for worker in self.every_worker if not worker.is_dead()]

    @property
    def every_worker(self) -> list[WorkerProxy]:
        """All workers that ever were, by id."""
        return list(map(self.worker, worker_ids(self.journal.entries)))

    def worker(self, worker_id: int) -> WorkerProxy:
        """Return the worker with this id, dead or alive."""
        if worker_id not in worker_ids(self.journal.entries):
            raise ClusterError(f"there has been no worker {worker_id}")
        return WorkerProxy(self.server, worker_id)

    def snapshot(self) -> Snapshot:
        """Return how it is now, as a picture that does not change any more."""
        return take_snapshot(self.primary, self.every_worker)

    @property
    def log(self) -> str:
        """All that the server has written so far, to stdout and stderr: the primary's part, then each worker's."""
        return self.server.log

    @property
    def log_tail(self) -> str:
        """The end of :attr:`log`, short enough for a message."""
        return self.server.log_tail()

    @property
    def returncode(self) -> int | None:
        """The primary's: ``None`` while it runs, then its exit code, or minus a signal's number."""
        return self.primary.returncode

    # Requests

    def get(self, path: str = "/", **options: Any) -> Response:
        """GET *path* on a connection of its own; *options* as for :meth:`Client.request`."""
        return self.client.get(path, **options)

    def request(self, method: str, path: str = "/", **options: Any) -> Response:
        """Send any request on a connection of its own; *options* as for :meth:`Client.request`."""
        return self.client.request(method, path, **options)

    def connect(self, timeout: float | None = None) -> socket.socket:
        """Return a new connection to the server, with TLS where it has that; the caller closes it.

        :param timeout: of the socket, in seconds (default: 10).
        """
        return self._endpoint.connect(timeout)

    # Waiting

    def expect(
        self,
        event: str | None = None,
        *,
        worker: AnyWorker | int | None = None,
        predicate: Callable[[JournalEntry], bool] | None = None,
        timeout: float | None = None,
        count: int = 1,
        exactly: int | None = None,
        none: bool = False,
    ) -> Expectation:
        """Expect an event during a ``with`` block, or soon after it; nothing that happens in the block is missed.

        :param event: ``fork``, ``online``, ``listening``, ``disconnect``, ``exit``, ``message`` or ``fault``.
        :param worker: of this worker only.
        :param predicate: says of an entry whether it counts.
        :param timeout: seconds to wait after the block (default: 10).
        :param count: at least so many; *exactly*: neither more nor fewer; *none*: it must not happen.
        :raises WaitTimeout: at the end of the block, with what happened instead and everybody's stacks.
        """
        wanted = Wanted(event, worker_id(worker), predicate)
        return Expectation(self.journal, wanted, timeout=timeout, count=count, exactly=exactly, none=none)

    def wait_for(self, check: Callable[[Cluster], Any], *, reason: str, timeout: float | None = None) -> Any:
        """Wait until ``check(cluster)`` is true, and return what it returned.

        :param reason: what is waited for, in words; the error says it.
        :raises WaitTimeout: it was not within *timeout* seconds (default: 10).
        """
        seconds = scaled(DEFAULT_TIMEOUT) if timeout is None else timeout
        result = poll(lambda: check(self), seconds)
        if not result:
            sections = [("now", str(self.snapshot())), *self.journal.evidence(), *self.server.stacks()]
            raise timed_out(reason, seconds, sections)
        return result

    def wait_listening(self, count: int | None = None, timeout: float | None = None) -> list[WorkerProxy]:
        """Wait until exactly *count* workers (default: as many as there should be) live, and all of them listen.

        A worker that the test has killed, or told to end, does not count, even before its end was seen.

        :raises WaitTimeout: it did not come to that.
        """
        wanted = self._target if count is None else count

        def settled(entries: tuple[JournalEntry, ...]) -> bool:
            if self.server.ended():
                return False  # its workers go with it, and nobody writes that down
            gone = {entry.worker for entry in entries if entry.event == "exit"}
            alive = set(worker_ids(entries)) - gone
            doomed = {entry.worker for entry in lasting(entries) if entry.ends}
            listening = set(listening_workers(entries, self.options.listeners))
            return len(alive) == wanted and alive == listening and not alive & doomed

        self.journal.wait_until(
            settled,
            expected=f"{wanted} workers, all listening",
            timeout=self.options.start_timeout if timeout is None else timeout,
            interrupted=self.server.ended,
        )
        return self.workers

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
        if not 1 <= workers <= most_workers():
            raise ClusterError(f"expected 1 to {most_workers()} workers, got {workers}")
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
        it had started has ended.

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
            known = {worker.id for worker in before}
            for worker in self.workers:
                if worker.id not in known:
                    self.journal.wait_for("exit", worker=worker.id, timeout=deadline.remaining)
        return report

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

    def run_in_all(
        self, function: Callable[..., Any] | str, *args: Any, timeout: float | None = None
    ) -> dict[int, Any]:
        """Call *function* in every worker at the same time; return the results by worker id."""
        return run_in(self.workers, function, args, timeout)

    def assert_same_everywhere(
        self, function: Callable[..., Any] | str, *args: Any, timeout: float | None = None
    ) -> Any:
        """Call *function* in every worker and fail unless all return the same, which is returned.

        It finds caches, counters and sessions that each process has for itself.
        """
        name = function if isinstance(function, str) else getattr(function, "__name__", repr(function))
        return assert_same(name, self.run_in_all(function, *args, timeout=timeout))

    def broadcast(self, message: Any) -> None:
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
            self.client.close()
            try:
                self.server.close()
            finally:
                self.client.join()

    def keep(self) -> None:
        """Let it run on after pytest has ended."""
        self._closed = True
        self.faults.undo()
        self.client.close()
        self.client.join()
        self.server.keep()

    def _listening(self) -> frozenset[int]:
        """The ids of the workers that listen and are not about to be ended by the test."""
        entries = self.journal.entries
        doomed = {entry.worker for entry in lasting(entries) if entry.ends}
        return frozenset(listening_workers(entries, self.options.listeners)) - doomed

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "running" if self.returncode is None else f"ended, {self.returncode}"
        return f"<cluster of {self.options.target} at {self.address} ({state})>"
