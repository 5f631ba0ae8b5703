"""Read the state of a cluster, and wait for its events; also after its end."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import ClusterError
from ..journal.entries import AnyWorker, JournalEntry, ListeningAddress, Wanted, lasting, worker_id
from ..journal.expectations import Expectation
from ..journal.journal import Journal
from ..options.checks import check_count
from ..options.cluster_options import ClusterOptions
from ..processes.primary import PrimaryProxy
from ..processes.worker import WorkerProxy
from ..requests.endpoint import Endpoint
from ..server.server_process import ServerProcess
from .changes import Snapshot, take_snapshot
from .readiness import distinct_addresses, listening_workers, worker_ids

__all__ = ["ClusterView"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all


class ClusterView:
    """The readable half of a cluster: its address, its processes, its events.

    Attributes:
        options: what it was started with.
        primary: gunicorn's arbiter process.
        server: the processes and files that it consists of; for the plugin's own use.
    """

    def __init__(self, options: ClusterOptions, server: ServerProcess, endpoint: Endpoint) -> None:
        self.options = options
        self.primary: PrimaryProxy = PrimaryProxy(server)
        self.server = server
        self._endpoint = endpoint
        self._target = options.workers

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
            raise ClusterError(f"there has been no worker {worker_id!r}")
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
        """The primary's: ``None`` while it runs, then its exit code, or minus a signal's number.

        When it says the end first, it waits for what the journal still has to tell, a second at most.
        """
        return self.primary.returncode

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

    def wait_listening(self, count: int | None = None, timeout: float | None = None) -> list[WorkerProxy]:
        """Wait until exactly *count* workers (default: as many as there should be) live, and all of them listen.

        A worker that the test has killed, or told to end, does not count, even before its end was seen.

        :raises OptionError: *count* is no number of workers.
        :raises WaitTimeout: it did not come to that.
        """
        wanted = self._target if count is None else count
        check_count("wait_listening", wanted, 0)

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

    def __repr__(self) -> str:
        state = "running" if self.returncode is None else f"ended, {self.returncode}"
        return f"<cluster of {self.options.target} at {self.address} ({state})>"

    def _evidence(self) -> list[tuple[str, str]]:
        """Return the sections that a time-out shows."""
        return [*self.journal.evidence(), *self.server.stacks()]

    def _listening(self) -> frozenset[int]:
        """Return the ids of the workers that listen and are not about to be ended by the test."""
        entries = self.journal.entries
        doomed = {entry.worker for entry in lasting(entries) if entry.ends}
        return frozenset(listening_workers(entries, self.options.listeners)) - doomed
