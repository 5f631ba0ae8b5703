"""A running cluster as a test uses it."""

from __future__ import annotations

import signal
import socket
from collections.abc import Mapping
from types import TracebackType

from .client import DEFAULT_TIMEOUT, Endpoint, Response
from .errors import ClusterError
from .journal import Journal, JournalEntry, ListeningAddress
from .launcher import ServerProcess
from .options import ClusterOptions, signal_number
from .readiness import distinct_addresses, listening_workers, start_server, worker_ids
from .worker import PrimaryProxy, WorkerProxy

__all__ = ["Cluster"]


class Cluster:
    """A real gunicorn with all its workers listening; ends with the test, or with the ``with`` that holds it.

    What it knows of its workers stays readable after their end, and after its own.
    """

    def __init__(self, options: ClusterOptions, server: ServerProcess, endpoint: Endpoint) -> None:
        self.options = options
        self.primary = PrimaryProxy(server)
        self._server = server
        self._endpoint = endpoint
        self._closed = False

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
        """Every lifecycle event so far, in order."""
        return self._server.journal

    @property
    def workers(self) -> list[WorkerProxy]:
        """The workers that have not exited, by id."""
        every = map(self.worker, worker_ids(self.journal.entries))
        return [worker for worker in every if not worker.is_dead()]

    def worker(self, worker_id: int) -> WorkerProxy:
        """Return the worker with this id, dead or alive."""
        if worker_id not in worker_ids(self.journal.entries):
            raise ClusterError(f"there has been no worker {worker_id}")
        return WorkerProxy(self.journal, worker_id)

    @property
    def log(self) -> str:
        """All that the server has written so far, to stdout and stderr."""
        return self._server.log

    @property
    def log_tail(self) -> str:
        """The end of :attr:`log`, short enough for a message."""
        return self._server.log_tail()

    @property
    def returncode(self) -> int | None:
        """The primary's: ``None`` while it runs, then its exit code, or minus a signal's number."""
        return self.primary.returncode

    # What it does

    def get(
        self, path: str = "/", *, headers: Mapping[str, str] | None = None, timeout: float = DEFAULT_TIMEOUT
    ) -> Response:
        """GET *path* on a connection of its own."""
        return self._endpoint.request("GET", path, headers=headers, timeout=timeout)

    def request(
        self,
        method: str,
        path: str = "/",
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> Response:
        """Send any request on a connection of its own."""
        return self._endpoint.request(method, path, body, headers, timeout)

    def connect(self, timeout: float = DEFAULT_TIMEOUT) -> socket.socket:
        """Return a new connection to the server; the caller closes it."""
        return self._endpoint.connect(timeout)

    def wait_listening(self, count: int | None = None, timeout: float | None = None) -> list[WorkerProxy]:
        """Wait until exactly *count* workers (default: as many as were started) live, and all of them listen.

        :raises WaitTimeout: it did not come to that.
        """
        wanted = self.options.workers if count is None else count

        def settled(entries: tuple[JournalEntry, ...]) -> bool:
            gone = {entry.worker for entry in entries if entry.event == "exit"}
            alive = set(worker_ids(entries)) - gone
            return len(alive) == wanted and alive == set(listening_workers(entries, self.options.listeners))

        self.journal.wait_until(
            settled,
            expected=f"{wanted} workers, all listening",
            timeout=self.options.start_timeout if timeout is None else timeout,
            interrupted=self._server.ended,
        )
        return self.workers

    def stop(self, which: int | str = signal.SIGTERM, timeout: float | None = None) -> int:
        """Send the primary a signal that ends it, wait for its end, return its return code.

        :raises StopError: it still ran after *timeout* seconds (default: gunicorn's grace and some) and was
            killed.
        """
        ended = self.returncode
        if ended is not None:
            return ended
        return self._server.stop(signal_number(which), self.options.stop_timeout if timeout is None else timeout)

    def close(self) -> None:
        """End it, check that it left no process, release everything.  The fixture does this.

        :raises StopError: it had to be killed.
        :raises LeakError: it had left processes behind, which were killed.
        """
        if not self._closed:
            self._closed = True
            self._server.close()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "running" if self.returncode is None else f"ended, {self.returncode}"
        return f"<cluster of {self.options.app} at {self.address} ({state})>"
