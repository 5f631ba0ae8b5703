"""Delay, lose, reorder and cut the connections that the primary deals to its workers.

A client's connection is accepted by the primary and goes to a worker as a descriptor, in a channel of its own.  These
faults happen in the worker, where a connection has been taken from that channel and is not served yet.  What is between
a client and the server is :mod:`pytest_cluster.faults.network_faults`.
"""

from __future__ import annotations

from ..errors import FaultError
from ..options.checks import check_count, check_seconds
from ..processes.worker import WorkerProxy
from ..wire.records import CONNECTION_STEP, Action, Delay, Drop, Reorder
from .message_faults import MessageFaults, check_share

__all__ = ["ConnectionFaults"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all


class ConnectionFaults(MessageFaults):
    """The faults of connections between primary and workers."""

    def delay_connections(
        self, seconds: float, *, jitter: float = 0.0, seed: int = 0, worker: WorkerProxy | int | None = None
    ) -> None:
        """Let connections come to a worker later, until :meth:`undo`; they stay in order, and its loop goes on.

        :param seconds: how late; *jitter*: up to so much later, by a random number of *seed*.
        :raises OptionError: something of that cannot be.
        :raises FaultError: the workers accept by themselves.
        """
        check_seconds("delay_connections(seconds)", seconds)
        check_seconds("delay_connections(jitter)", jitter)
        check_count("delay_connections(seed)", seed, 0)
        self._connections(Delay(seconds, jitter, seed), worker, f"connections late by {seconds:g} s")

    def drop_connections(
        self,
        times: int | None = 1,
        *,
        share: float = 1.0,
        seed: int = 0,
        worker: WorkerProxy | int | None = None,
    ) -> None:
        """Lose connections on their way to a worker, until :meth:`undo`: the client sees the end, no application it.

        :param times: so many in each worker; ``None``: all.
        :param share: of those that come by, 0 to 1, by random numbers of *seed*.
        :raises OptionError: something of that cannot be.
        :raises FaultError: the workers accept by themselves.
        """
        if times is not None:
            check_count("drop_connections(times)", times)
        check_share("drop_connections(share)", share)
        check_count("drop_connections(seed)", seed, 0)
        what = "all connections" if times is None else f"{times} connection{'s' if times > 1 else ''}"
        self._connections(Drop(times, share, seed), worker, f"loss of {what}")

    def reorder_connections(
        self, window: int = 2, *, seconds: float = 1.0, seed: int = 0, worker: WorkerProxy | int | None = None
    ) -> None:
        """Let the connections of a worker overtake each other, until :meth:`undo`.

        :param window: so many wait for each other, and go on in another order, by a random number of *seed*.
        :param seconds: what is less than a window by then goes on all the same.
        :raises OptionError: something of that cannot be.
        :raises FaultError: the workers accept by themselves.
        """
        check_count("reorder_connections(window)", window, 2, 1000)
        check_seconds("reorder_connections(seconds)", seconds, can_be_zero=False)
        check_count("reorder_connections(seed)", seed, 0)
        self._connections(Reorder(window, seconds, seed), worker, "connections out of order")

    def cut_connections(self, worker: WorkerProxy) -> None:
        """Break the channel by which a worker gets its connections: it ends, and what it had not taken goes to others.

        :raises FaultError: it is no worker, or one that accepts by itself.
        """
        if not isinstance(worker, WorkerProxy):
            raise FaultError(
                f"expected a worker (cluster.worker(1)), whose connection channel is to be cut, got {worker!r:.100}"
            )
        worker.check_alive()
        self._check_dealt()
        self._note(worker, "cut of the connection channel of", ends=True)
        worker.ask("cut_connections")

    def _connections(self, action: Action, worker: WorkerProxy | int | None, what: str) -> None:
        self._check_dealt()
        self._arm(CONNECTION_STEP, action, worker, f"{what} in", harmless=True)

    def _check_dealt(self) -> None:
        if self._options.has_journal and self._options.policy_in_force == "none":
            raise FaultError("no connection comes to these workers from the primary: they accept by themselves")
