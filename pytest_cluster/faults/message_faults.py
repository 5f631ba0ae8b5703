"""Delay, lose, reorder and cut what passes between the primary and its workers.

A channel between two processes of one machine does nothing of that by itself: messages are late when a process is busy,
and lost when it ends.  These faults have a program meet both when the test wants it.  They happen in the worker, where
its messages come in and go out; what the cluster says for itself is not touched.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import FaultError, OptionError
from ..options.checks import check_count, check_seconds
from ..processes.worker import WorkerProxy
from ..wire.records import MESSAGE_STEPS, Action, Delay, Drop, Reorder
from .armed_faults import ArmedFaults

__all__ = ["DIRECTIONS", "MessageFaults", "check_share"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

DIRECTIONS = ("both", "receive", "send")
"""Which messages: those that come to the worker, those that it sends."""


class MessageFaults(ArmedFaults):
    """The faults of messages between primary and workers."""

    def delay_messages(
        self,
        seconds: float,
        *,
        jitter: float = 0.0,
        seed: int = 0,
        direction: str = "both",
        worker: WorkerProxy | int | None = None,
    ) -> None:
        """Let messages come later, until :meth:`undo`; they stay in order, as one that is late holds up the next.

        :param seconds: how late; *jitter*: up to so much later, by a random number of *seed*.
        :param direction: ``"receive"``: what comes to the worker; ``"send"``: what it sends; or ``"both"``.
        :raises OptionError: something of that cannot be.
        """
        check_seconds("delay_messages(seconds)", seconds)
        check_seconds("delay_messages(jitter)", jitter)
        check_count("delay_messages(seed)", seed, 0)
        self._messages(Delay(seconds, jitter, seed), worker, direction, f"messages late by {seconds:g} s in")

    def drop_messages(
        self,
        times: int | None = 1,
        *,
        share: float = 1.0,
        seed: int = 0,
        direction: str = "both",
        worker: WorkerProxy | int | None = None,
    ) -> None:
        """Lose messages, until :meth:`undo`; whoever sends one is told that it was written.

        A message with a handle is never lost: its sender waits for word of it.

        :param times: so many in each worker and direction; ``None``: all.
        :param share: of those that come by, 0 to 1, by random numbers of *seed*.
        :param direction: as in :meth:`delay_messages`.
        :raises OptionError: something of that cannot be.
        """
        if times is not None:
            check_count("drop_messages(times)", times)
        check_share("drop_messages(share)", share)
        check_count("drop_messages(seed)", seed, 0)
        what = "all messages" if times is None else f"{times} message{'s' if times > 1 else ''}"
        self._messages(Drop(times, share, seed), worker, direction, f"loss of {what} in")

    def reorder_messages(
        self,
        window: int = 2,
        *,
        seconds: float = 1.0,
        seed: int = 0,
        direction: str = "both",
        worker: WorkerProxy | int | None = None,
    ) -> None:
        """Let messages overtake each other, until :meth:`undo`.

        :param window: so many wait for each other, and go on in another order, by a random number of *seed*.
        :param seconds: what is less than a window by then goes on all the same.
        :param direction: as in :meth:`delay_messages`.
        :raises OptionError: something of that cannot be.
        """
        check_count("reorder_messages(window)", window, 2, 1000)
        check_seconds("reorder_messages(seconds)", seconds, can_be_zero=False)
        check_count("reorder_messages(seed)", seed, 0)
        self._messages(Reorder(window, seconds, seed), worker, direction, "messages out of order in")

    def cut_channel(self, worker: WorkerProxy) -> None:
        """Close the channel between the primary and a worker, which ends: for it its primary is gone.

        :raises FaultError: it is no worker.
        """
        if not isinstance(worker, WorkerProxy):
            raise FaultError(f"expected a worker (cluster.worker(1)), whose channel is to be cut, got {worker!r:.100}")
        worker.check_alive()
        self._note(worker, "cut of the channel of", ends=True)
        worker.ask("cut")

    def _messages(self, action: Action, worker: WorkerProxy | int | None, direction: str, what: str) -> None:
        for step in _steps(direction):
            told = "" if direction == "both" else f" ({direction})"
            self._arm(step, action, worker, what.removesuffix(" in") + told + " in", harmless=True)


def _steps(direction: object) -> Sequence[str]:
    if direction not in DIRECTIONS:
        raise OptionError(f"direction: expected one of {', '.join(map(repr, DIRECTIONS))}, got {direction!r:.100}")
    return MESSAGE_STEPS if direction == "both" else (str(direction),)


def check_share(what: str, value: object) -> None:
    """Refuse what is no part of a whole.

    :raises OptionError: the sentence names *what* it is of.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise OptionError(f"{what}: expected a number from 0 to 1, got {value!r:.100}")
