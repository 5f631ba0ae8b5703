"""Ask workers for their stacks, one examination of a worker after the other.

A worker has one place to write its stacks to, and several ask for them: whoever finds it blocked, its time-out, an
operator.  So who comes while it is being examined waits for that to end, which takes a second at most.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ...base.one_line import one_line
from ...machine.heartbeat import END_OF_STACKS
from ...machine.process_state import catches
from ...machine.real_time_signals import ENGINE_STACKS_SIGNAL, THREADS_SIGNAL

if TYPE_CHECKING:
    from ...base.loop import Loop
    from ...roles.worker_handle import WorkerHandle

__all__ = ["Examiner"]

_STACKS_SECONDS: Final = 1.0
_PATIENCE_SECONDS: Final = 0.4
_STACKS_PAUSE: Final = 0.02
_MOST_WAITING: Final = 8  # for one worker

Tell = Callable[[str], None]


class Examiner:
    """Examines the workers of one arbiter.

    Args:
        loop: the arbiter's.
    """

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._queues: dict[int, deque[tuple[int, Tell]]] = {}  # by the worker's id; there while it is examined

    def ask(self, worker: WorkerHandle, tell: Tell, by: int = ENGINE_STACKS_SIGNAL) -> None:
        """Ask a worker for its stacks and call back with them, soon.

        Args:
            worker: which.
            tell: called with the stacks, or with why there are none.
            by: the signal that asks for them; a worker that does not answer is asked without Python.
        """
        queue = self._queues.get(worker.id)
        if queue is None:
            self._queues[worker.id] = deque()
            self._begin(worker, by, tell)
        elif len(queue) >= _MOST_WAITING:
            tell("(no stacks: too many ask for them at once)")
        else:
            queue.append((by, tell))

    def _begin(self, worker: WorkerHandle, by: int, tell: Tell) -> None:
        pid = worker.process.pid or 0
        if worker.heartbeat is None or worker.heartbeat.fileno() < 0 or not catches(pid, THREADS_SIGNAL):
            self._end(worker, tell, "(no stacks: it is not prepared to be asked)")
            return
        worker.heartbeat.clear_stacks()
        now = time.monotonic()
        if catches(pid, by):
            _ask(worker, by)
            self._collect(worker, now + _PATIENCE_SECONDS, now + _STACKS_SECONDS, tell)
        else:  # Python is being finalised: it would end the process
            _ask(worker, THREADS_SIGNAL)
            self._collect_last(worker, now + _STACKS_SECONDS, tell)

    def _collect(self, worker: WorkerHandle, patience: float, deadline: float, tell: Tell) -> None:
        assert worker.heartbeat is not None
        said, now = worker.heartbeat.stacks(), time.monotonic()
        if END_OF_STACKS in said:
            self._end(worker, tell, _text(said.partition(END_OF_STACKS)[0]))
            return
        if now >= deadline:
            self._end(worker, tell, f"{_text(said)}\n(no greenlets or tasks: it is outside Python)")
            return
        if now >= patience and not said:
            _ask(worker, THREADS_SIGNAL)
            patience = deadline
        self._loop.call_later(_STACKS_PAUSE, self._collect, worker, patience, deadline, tell)

    def _collect_last(self, worker: WorkerHandle, deadline: float, tell: Tell) -> None:
        assert worker.heartbeat is not None
        said = worker.heartbeat.stacks()
        if said or time.monotonic() >= deadline:
            self._end(worker, tell, f"{_text(said)}\n(no greenlets or tasks: it is ending)")
        else:
            self._loop.call_later(_STACKS_PAUSE, self._collect_last, worker, deadline, tell)

    def _end(self, worker: WorkerHandle, tell: Tell, stacks: str) -> None:
        queue = self._queues[worker.id]
        if queue:
            self._loop.call_soon(self._begin, worker, *queue.popleft())
        else:
            del self._queues[worker.id]
        tell(stacks)


def _text(said: bytes) -> str:
    """Return what a worker wrote, harmless for a terminal."""
    return "\n".join(map(one_line, said.decode(errors="replace").strip().split("\n")))


def _ask(worker: WorkerHandle, number: int) -> None:
    if worker.process.pid is not None and not worker.process.is_reaped:
        os.kill(worker.process.pid, number)  # not reaped: the pid is its own
