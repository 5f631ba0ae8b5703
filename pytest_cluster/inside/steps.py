"""Inject faults at the steps of this process: hold, delay, fail, end, call.

A step is one of the server's own (``fork``, ``online``, ``boot``, ``ready``, ``listening``, ``request``) or a function
of the application, which is replaced by a wrapper where its module, class or object keeps it.  With no failpoint at a
step, reaching it costs a dictionary lookup.

Who is held waits as the code around it does: in a greenlet or a thread, or in a task where that runs there.  The
thread that reads the test's calls, which is where a worker without greenlets boots, reads on while it is held.  A plain
function that an event loop calls cannot be held: the order to go on would come by the loop that it holds.

Some steps have a *place* of their own, which is told what is armed there: messages, the disk, the clock.
"""

from __future__ import annotations

import os
import pickle
import random
import sys
import time
from _thread import allocate_lock
from collections.abc import Callable
from functools import partial
from itertools import count
from types import ModuleType

from ..wire.records import Action, Delay, Do, Drop, End, Fail, Failpoint, Hold, Reached, Reorder
from .armed import Answer, Armed, Event, Place, Waiting, seconds_of
from .functions import resolve
from .replaced import Replaced, place_of

__all__ = ["Steps", "end_process"]

HOLD_SECONDS = 300.0
"""A test that forgets what it holds does not hold it for ever."""


def _wait(event: Event, seconds: float) -> None:
    event.wait(seconds)


class Steps:
    """Failpoints by step.

    :param tell: sends a record to the test.
    :param wait: waits for an event, as long as that may take at most.
    """

    def __init__(self, tell: Callable[[Reached], None], wait: Callable[[Event, float], None] = _wait) -> None:
        self._tell = tell
        self._wait = wait
        self._armed: dict[int, Armed] = {}
        self._by_step: dict[str, list[Armed]] = {}
        self._places: dict[str, Place] = {}
        self._replaced: dict[str, Replaced] = {}
        self._pending: set[str] = set()  # functions whose module is not there before the application is loaded
        self._arrivals = count(1)
        self._lock = allocate_lock()  # threads may come to a step at once
        self.application: object = None  # as the server has it

    def place(self, step: str, place: Place) -> None:
        """Let *place* see to a step, from now on and for what is armed there already."""
        self._places[step] = place
        if step in self._by_step:
            place(self.at(step))

    def at(self, step: str) -> tuple[Armed, ...]:
        """Return what is armed at a step."""
        return tuple(self._by_step.get(step, ()))

    def arm(self, failpoint: Failpoint, *, early: bool = False) -> None:
        """Let it happen from now on.

        :param failpoint: what, and where.
        :param early: the application is not loaded yet: a function is replaced in :meth:`loaded`.
        :raises ImportError, AttributeError, TypeError: the step is a function that is not there, or what is to be
            raised or called cannot be had here.
        """
        if failpoint.id in self._armed:
            return  # told in the welcome, and again by a call that crossed it
        action = failpoint.action
        if not early:
            _check(action)
        seed = action.seed if isinstance(action, Delay | Drop | Reorder) else 0
        armed = Armed(failpoint, action.times if isinstance(action, Fail | Do | Drop) else None, random.Random(seed))  # noqa: S311
        if ":" in failpoint.step and failpoint.step not in self._replaced:
            if early:
                self._pending.add(failpoint.step)
            else:
                self._wrap(failpoint.step)
        self._armed[failpoint.id] = armed
        self._by_step.setdefault(failpoint.step, []).append(armed)
        self._tell_place(failpoint.step)

    def _tell_place(self, step: str) -> None:
        if step in self._places:
            self._places[step](self.at(step))

    def loaded(self) -> None:
        """Replace the functions that could not be before the application was loaded."""
        while self._pending:
            step = self._pending.pop()
            try:
                self._wrap(step)
            except (ImportError, AttributeError, TypeError) as error:
                raise RuntimeError(
                    f"the test names the step {step!r}: {error}; expected a function as 'package.module:name'"
                ) from None

    def disarm(self, number: int) -> None:
        """Let it happen no more; calls that are held there go on."""
        armed = self._armed.pop(number, None)
        if armed is None:
            return
        step = armed.failpoint.step
        self._by_step[step].remove(armed)
        if not self._by_step[step]:
            del self._by_step[step]
            self._unwrap(step)
        self._tell_place(step)
        for event in list(armed.waiting.values()):
            event.set()

    def disarm_all(self) -> None:
        """Disarm every failpoint: the test is gone, or has undone everything."""
        for number in list(self._armed):
            self.disarm(number)

    def release(self, number: int, arrivals: tuple[int, ...]) -> None:
        """Let those go on that wait at a failpoint, of these arrivals."""
        armed = self._armed.get(number)
        waiting = {} if armed is None else armed.waiting
        for arrival in arrivals:
            event = waiting.pop(arrival, None)
            if event is not None:
                event.set()

    def reach(self, step: str) -> None:
        """Act at a step, to which this process has come."""
        for armed in self.at(step):
            self.act(armed)

    async def reach_in_task(self, step: str) -> None:
        """Act at a step, to which a task of an asyncio loop has come: the loop goes on."""
        for armed in self.at(step):
            if isinstance(armed.failpoint.action, Hold):
                await self._hold_task(armed)
            elif isinstance(armed.failpoint.action, Delay):
                await _asyncio().sleep(seconds_of(armed, armed.failpoint.action))
            else:
                self.act(armed)

    def act(self, armed: Armed) -> None:
        """Do what is to be done where this process has come to: wait, raise, end, call."""
        action = armed.failpoint.action
        if isinstance(action, Hold):
            self._hold(armed)
        elif isinstance(action, Delay):
            time.sleep(seconds_of(armed, action))
        elif isinstance(action, End):
            end_process(action)
        elif isinstance(action, Fail | Do) and self.counts(armed):
            if isinstance(action, Fail):
                raise _error_of(action)
            resolve(action.function)(*pickle.loads(action.arguments))  # noqa: S301 - from the test, see wire

    def counts(self, armed: Armed) -> bool:
        """Whether it is to happen once more."""
        with self._lock:
            if armed.left:
                armed.left -= 1
                return True
            return armed.left is None

    def _hold(self, armed: Armed) -> None:
        from threading import Event  # gevent's by now, where this worker is patched

        if _is_in_event_loop():
            raise RuntimeError(
                f"the test holds {armed.failpoint.step!r}, a plain function that the event loop calls: that would hold "
                "the loop, and the order to go on with it; expected an async def function, or one that runs in a thread"
            )
        event = Event()
        arrival = self.arrived(armed, event)
        self._wait(event, HOLD_SECONDS)
        armed.waiting.pop(arrival, None)

    async def _hold_task(self, armed: Armed) -> None:
        asyncio = _asyncio()
        event = asyncio.Event()
        arrival = self.arrived(armed, event)
        try:
            await asyncio.wait_for(event.wait(), HOLD_SECONDS)
        except asyncio.TimeoutError:
            pass
        finally:
            armed.waiting.pop(arrival, None)

    def arrived(self, armed: Armed, event: Waiting) -> int:
        """Tell the test that somebody waits here; return the number by which it is let go."""
        arrival = next(self._arrivals)
        armed.waiting[arrival] = event
        self._tell(Reached(armed.failpoint.id, arrival, armed.failpoint.step))
        return arrival

    def _wrap(self, step: str) -> None:
        owner, name = place_of(step)
        original = getattr(owner, name)
        if not callable(original):
            raise TypeError(f"{step} is {original!r:.100}, and only what is called can be a step")
        if original is self.application:
            raise TypeError("it is the application itself, which the server has already; hold 'request' instead")
        self._replaced[step] = Replaced.put(owner, name, partial(self.reach, step), partial(self.reach_in_task, step))

    def _unwrap(self, step: str) -> None:
        if step in self._replaced:
            self._replaced.pop(step).restore()


def _asyncio() -> ModuleType:
    """Return the module, which only workers with an event loop have loaded."""
    return sys.modules["asyncio"]


def _is_in_event_loop() -> bool:
    """Whether an event loop of asyncio runs in this thread."""
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and asyncio._get_running_loop() is not None


def end_process(action: End) -> None:
    """End this process here and now, with nothing flushed and nobody told."""
    if action.signal is not None:
        os.kill(os.getpid(), action.signal)
        time.sleep(HOLD_SECONDS)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(action.code or 0)


def _check(action: Action) -> None:
    """Find out now, not at the step, whether it can be done."""
    if isinstance(action, Fail) and action.error is not None:
        _error_of(action)
    elif isinstance(action, Do):
        resolve(action.function)
        pickle.loads(action.arguments)  # noqa: S301 - from the test, see wire


def _error_of(action: Fail) -> Exception:
    if action.status is not None:
        return Answer(action.status, action.message)
    error: Exception = pickle.loads(action.error or b"")  # noqa: S301 - from the test, see wire
    return error
