"""Ask a program's policy, on a thread of its own, which worker gets a connection.

    ask ──▶ the thread calls the function ──▶ the dealer's loop: answered
     └── 50 ms later, if there is no answer: any worker will do

A function that raises, returns something else than a worker's id, or takes a second for one call is asked no more.
That is logged once, and connections are dealt round robin from then on.  So a function that sleeps costs a client 50 ms
at the most, and only until then; one that never returns costs a thread.  A function that is quicker than that, but
slower than clients come, is asked only for those that still wait; how many waited no longer is logged.
"""

from __future__ import annotations

import _socket
import os
from collections import deque
from collections.abc import Callable
from typing import Final

from ..base.log import Log
from ..base.records import Connection
from ..machine.helper_thread import HelperThread
from .dealing_loop import READABLE, DealingLoop
from .policies import Function, WorkerView

__all__ = ["PolicyThread"]

_PATIENCE_SECONDS: Final = 0.05
_MOST_SECONDS: Final = 1.0
_FORK_SECONDS: Final = 0.2  # that a fork waits for a call to return


class PolicyThread:
    """See :class:`~nodecluster_compat.connections.policies.AskedFunction`.

    Args:
        function: the program's.
        loop: the dealer's.
        answered: told of a connection and the worker (its id) that gets it, ``None`` for anybody.
        log: told when the function is slow, or asked no more; must not wait.

    Raises:
        OSError: no descriptors are left.
    """

    def __init__(
        self, function: Function, loop: DealingLoop, answered: Callable[[Connection, int | None], None], log: Log
    ) -> None:
        self._function = function
        self._loop = loop
        self._answered = answered
        self._log = log
        self._asked: deque[tuple[Connection, list[WorkerView]]] = deque()
        self._answers: deque[tuple[Connection, object]] = deque()
        self._open: dict[int, Connection] = {}  # by their identity: nobody has answered for them
        self._descriptors: tuple[int, ...] = ()
        self._calls = 0  # that have begun
        self._late_ones = 0
        self._is_calling = False
        self._is_closed = False
        self.is_silent = False
        self._to_thread = os.eventfd(0, os.EFD_CLOEXEC)
        self._to_loop = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._descriptors = (self._to_thread, self._to_loop)
        self._thread = HelperThread("policy", self._work, self._wake, self._died, _FORK_SECONDS)
        loop.watch(self._to_loop, READABLE, self._heard)

    # --- on the dealing thread -----------------------------------------------------------------

    def ask(self, connection: Connection, workers: list[WorkerView]) -> None:
        """See :class:`~nodecluster_compat.connections.policies.AskedFunction`."""
        self._open[id(connection)] = connection
        self._asked.append((connection, workers))
        self._loop.call_later(_PATIENCE_SECONDS, self._late, connection)
        self._thread.start()
        self._wake()

    def _late(self, connection: Connection) -> None:
        if self._open.pop(id(connection), None) is not None:
            if self._is_calling:
                self._loop.call_later(_MOST_SECONDS - _PATIENCE_SECONDS, self._too_long, self._calls)
            self._count_late()
            self._answered(connection, None)

    def _count_late(self) -> None:
        self._late_ones += 1
        if self._late_ones & (self._late_ones - 1) == 0:  # the first, the second, the fourth, …
            self._log.warning(
                "The policy %s is slow: %s connections waited %g ms for it, and went to anybody",
                *(self._name, self._late_ones, _PATIENCE_SECONDS * 1000),
            )

    def _too_long(self, call: int) -> None:
        if self._is_calling and self._calls == call:
            self._give_up(f"took more than {_MOST_SECONDS:g} s", None)

    def _heard(self, _: int) -> None:
        os.eventfd_read(self._to_loop)
        while self._answers:
            connection, answer = self._answers.popleft()
            if isinstance(answer, BaseException):
                self._give_up(f"failed: {answer!r}", answer)
            elif self._open.pop(id(connection), None) is not None:
                self._answered(connection, answer)  # type: ignore[arg-type]  # was checked

    def _give_up(self, why: str, error: BaseException | None) -> None:
        if not self.is_silent:
            self.is_silent = True
            self._log.error(
                "The policy %s %s. Connections are dealt round robin from now on.", self._name, why, exc_info=error
            )
        self._asked.clear()
        for connection in list(self._open.values()):
            self._answered(connection, None)
        self._open.clear()

    @property
    def _name(self) -> str:
        return str(getattr(self._function, "__name__", self._function))

    def close(self) -> None:
        """Ask no more; who waits for an answer is the caller's to deal.

        That waits for nothing: a call that is under way returns when it likes, and the thread ends after it.
        """
        self.is_silent = True
        self._asked.clear()
        self._open.clear()
        self._loop.unwatch(self._to_loop)
        self._is_closed = self._thread.is_stopping = True
        if self._thread.is_running:
            self._wake()
        else:
            self.abandon()

    def abandon(self) -> None:
        """In a forked child, and when neither the loop nor the thread uses them any more: close the descriptors."""
        descriptors, self._descriptors = self._descriptors, ()
        for fd in descriptors:
            _socket.close(fd)

    __del__ = abandon

    # --- on the thread -------------------------------------------------------------------------

    def _wake(self) -> None:
        os.eventfd_write(self._to_thread, 1)

    def _work(self) -> None:
        os.eventfd_read(self._to_thread)
        while self._asked and not self._thread.is_stopping:
            connection, workers = self._asked.popleft()
            if id(connection) not in self._open:
                continue  # it has not waited for this
            self._calls += 1
            self._is_calling = True
            try:
                answer: object = _checked(self._function(connection.peer, workers))
            except Exception as error:  # noqa: BLE001 - whatever a program raises
                answer = error
            self._is_calling = False
            self._answers.append((connection, answer))
            os.eventfd_write(self._to_loop, 1)
        if self._is_closed:
            self.abandon()

    def _died(self, error: BaseException) -> None:
        self._answers.append((Connection(-1, ""), error))
        os.eventfd_write(self._to_loop, 1)


def _checked(answer: object) -> int | None:
    if answer is None or type(answer) is int:
        return answer
    raise TypeError(f"expected the id of a worker or None, got {answer!r}")
