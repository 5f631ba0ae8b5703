"""Run jobs on daemon threads: a pool that holds up no exit, and says what it is doing.

Python joins the threads of ``concurrent.futures`` when the process ends, so one that waits for ever holds it up for
ever.  Here an end asks the idle ones to go and leaves the others to the end of the process.

A job's outcome has the part of a ``Future`` that gunicorn's thread worker uses, and costs less.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final

__all__ = ["Job", "ThreadPool"]

_JOIN_SECONDS: Final = 0.5
_SPARE_THREADS: Final = 4


class Job:
    """One call, and how it ended."""

    __slots__ = ("_args", "_call", "_done", "_error", "_result")

    def __init__(self, call: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self._call = call
        self._args = args
        self._done: Callable[[Job], object] | None = None
        self._error: BaseException | None = None
        self._result: Any = None

    def add_done_callback(self, done: Callable[[Job], object]) -> None:
        """Call ``done(job)`` after it, on its thread; to be said before it is submitted."""
        self._done = done

    def cancelled(self) -> bool:
        """Whether it was called off: never."""
        return False

    @property
    def has_failed(self) -> bool:
        """Whether the call has raised something."""
        return self._error is not None

    def result(self) -> Any:  # noqa: ANN401 - what the call returns
        """Return what the call has returned.

        Raises:
            BaseException: what the call has raised.
        """
        if self._error is not None:
            raise self._error
        return self._result

    def run(self) -> None:
        """Make the call, on this thread."""
        try:
            self._result = self._call(*self._args)
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
            self._error = error
        if self._done is not None:
            self._done(self)


class ThreadPool:
    """So many threads, begun when they are needed or all at once.

    Args:
        size: how many at most.
        name: of the threads, before their number.
        short: called where the system gives no first thread, with why, and with what tries again; jobs wait until
            then. Without it, that is raised by :meth:`submit`.
    """

    def __init__(
        self, size: int, name: str, short: Callable[[RuntimeError, Callable[[], None]], None] | None = None
    ) -> None:
        self._size = size
        self._name = name
        self._short = short
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._since: dict[threading.Thread, float] = {}  # of those that run a job, when it began
        self._open = 0  # jobs that have not ended; counted until all threads have begun
        self._is_whole = False
        self._is_short = False  # somebody tries again
        self._lock = threading.RLock()  # a signal handler may submit a job while this thread does
        self._is_shut = False

    def begin(self) -> None:
        """Begin all threads now, as many as the system gives: beginning one takes as long as a request."""
        with self._lock:
            try:
                while len(self._threads) < self._size:
                    self._begin()
            except RuntimeError:  # the system has a limit of processes, or of memory
                self._give_back()

    def _give_back(self) -> None:
        """Leave some of what the system gives to threads of others: the end of a worker needs one, too."""
        self._size = max(1, len(self._threads) - _SPARE_THREADS)
        for _ in self._threads[self._size :]:
            self._jobs.put(None)
        del self._threads[self._size :]  # whichever end
        self._is_whole = len(self._threads) >= self._size

    def submit(self, call: Callable[..., Any], *args: object, done: Callable[[Job], object] | None = None) -> Job:
        """Make a call on one of the threads, behind those that wait.

        Args:
            call: what to call.
            args: with what.
            done: called with the job after it, on its thread.

        Raises:
            RuntimeError: the system gives no thread, there is none yet, and nobody was given who tries again.
        """
        job = Job(call, args)
        job.add_done_callback(done or _nothing)
        if not self._is_whole:
            with self._lock:
                self._make_room()
        self._jobs.put(job)
        return job

    @property
    def busy(self) -> dict[threading.Thread, float]:
        """The threads that run a job, with when it began on the monotonic clock."""
        return dict(self._since)

    @property
    def waiting(self) -> int:
        """How many jobs wait for a thread."""
        return self._jobs.qsize()

    @property
    def size(self) -> int:
        """How many threads there may be."""
        return self._size

    def shutdown(self, wait: bool = True) -> None:
        """Let idle threads end, and busy ones after their job.

        Args:
            wait: wait for the idle ones, a moment.
        """
        if not self._is_shut:
            self._is_shut = True
            for _ in self._threads:
                self._jobs.put(None)
        limit = time.monotonic() + _JOIN_SECONDS
        for thread in self._threads if wait else ():
            if thread not in self._since and thread is not threading.current_thread():
                thread.join(max(0.0, limit - time.monotonic()))

    def _make_room(self) -> None:
        """Begin a thread for one more job, if that is to have one; it waits for others where none can be had."""
        if self._open + 1 > len(self._threads) < self._size:
            self._try()
        self._open += 1

    def _try(self) -> None:
        try:
            self._begin()
        except RuntimeError as error:
            if self._threads:
                return
            if self._short is None:
                raise
            if not self._is_short:
                self._is_short = True
                self._short(error, self._try_again)

    def _try_again(self) -> None:
        with self._lock:
            self._is_short = False
            if not self._threads and not self._is_shut:
                self._try()

    def _begin(self) -> None:
        number = len(self._threads)
        thread = threading.Thread(target=self._work, name=f"{self._name}-{number}", daemon=True)
        self._threads.append(thread)  # before it is begun: a signal handler may submit a job meanwhile
        try:
            thread.start()
        except RuntimeError:  # the system has a limit of processes
            self._threads.remove(thread)
            raise
        self._is_whole = len(self._threads) >= self._size

    def _work(self) -> None:
        threading.current_thread()._daemonic = False  # type: ignore[attr-defined]  # what it begins is joined at the end, as in gthread
        here = threading.current_thread()
        jobs, since, lock, clock = self._jobs, self._since, self._lock, time.monotonic
        while (job := jobs.get()) is not None:
            since[here] = clock()
            job.run()
            del job  # and what it holds, while nothing is to be done
            del since[here]
            if not self._is_whole:
                with lock:
                    self._open -= 1


def _nothing(_: Job) -> None:
    """What is called after a job of which nobody wants to hear."""
