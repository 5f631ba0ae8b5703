"""Act at the failpoints of this process: hold, delay, fail, end, call.

A step is one of the server's own (``fork``, ``online``, ``boot``, ``ready``, ``listening``, ``request``) or a function
of the application, which is replaced by a wrapper where its module, class or object keeps it. With no failpoint at a
step, reaching it costs a dictionary lookup.

Who is held waits as the code around it does: in a greenlet or a thread, or in a task where that is what runs there. A
plain function that an event loop calls cannot be held: the order to go on would come by the loop that it holds.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import pickle
import random
import sys
import time
from _thread import allocate_lock
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from types import ModuleType
from typing import TYPE_CHECKING, Any, ParamSpec

from ..wire.records import Action, Delay, Do, End, Fail, Failpoint, Hold, Reached
from .functions import resolve

if TYPE_CHECKING:
    import asyncio
    from threading import Event

__all__ = ["Answer", "Steps"]

P = ParamSpec("P")

HOLD_SECONDS = 300.0
"""A test that forgets what it holds does not hold it for ever."""


_ABSENT = object()


class Answer(Exception):
    """Answers a request with a status, in place of the application."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message


@dataclass(slots=True)
class _Armed:
    failpoint: Failpoint
    left: int | None
    random: random.Random
    waiting: dict[int, Event | asyncio.Event] = field(default_factory=dict)  # by arrival


class Steps:
    """Failpoints by step; *tell* sends a record to the test."""

    def __init__(self, tell: Callable[[Reached], None]) -> None:
        self._tell = tell
        self._armed: dict[int, _Armed] = {}
        self._by_step: dict[str, list[_Armed]] = {}
        self._replaced: dict[str, _Replaced] = {}
        self._pending: set[str] = set()  # functions whose module is not there before the application is loaded
        self._arrivals = count(1)
        self._lock = allocate_lock()  # threads may come to a step at once
        self.application: object = None  # as the server has it

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
        seed = action.seed if isinstance(action, Delay) else 0
        armed = _Armed(failpoint, action.times if isinstance(action, Fail | Do) else None, random.Random(seed))  # noqa: S311
        if ":" in failpoint.step and failpoint.step not in self._replaced:
            if early:
                self._pending.add(failpoint.step)
            else:
                self._wrap(failpoint.step)
        self._armed[failpoint.id] = armed
        self._by_step.setdefault(failpoint.step, []).append(armed)

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
        """Let it happen no more; whoever waits there goes on."""
        armed = self._armed.pop(number, None)
        if armed is None:
            return
        step = armed.failpoint.step
        self._by_step[step].remove(armed)
        if not self._by_step[step]:
            del self._by_step[step]
            self._unwrap(step)
        for event in armed.waiting.values():
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
        for armed in list(self._by_step.get(step, ())):
            self._act(armed)

    async def reach_in_task(self, step: str) -> None:
        """Act at a step, to which a task of an asyncio loop has come: the loop goes on."""
        for armed in list(self._by_step.get(step, ())):
            if isinstance(armed.failpoint.action, Hold):
                await self._hold_task(armed)
            elif isinstance(armed.failpoint.action, Delay):
                await _asyncio().sleep(_seconds(armed, armed.failpoint.action))
            else:
                self._act(armed)

    def _act(self, armed: _Armed) -> None:
        action = armed.failpoint.action
        if isinstance(action, Hold):
            self._hold(armed)
        elif isinstance(action, Delay):
            time.sleep(_seconds(armed, action))
        elif isinstance(action, End):
            end_process(action)
        elif self._counts(armed):
            if isinstance(action, Fail):
                raise _error_of(action)
            resolve(action.function)(*pickle.loads(action.arguments))  # noqa: S301 - from the test, see wire

    def _counts(self, armed: _Armed) -> bool:
        """Whether it is to happen once more."""
        with self._lock:
            if armed.left:
                armed.left -= 1
                return True
            return armed.left is None

    def _hold(self, armed: _Armed) -> None:
        from threading import Event  # gevent's by now, where this worker is patched

        if _is_in_event_loop():
            raise RuntimeError(
                f"the test holds {armed.failpoint.step!r}, a plain function that the event loop calls: that would hold "
                "the loop, and the order to go on with it; expected an async def function, or one that runs in a thread"
            )
        event = Event()
        arrival = self._arrived(armed, event)
        event.wait(HOLD_SECONDS)
        armed.waiting.pop(arrival, None)

    async def _hold_task(self, armed: _Armed) -> None:
        asyncio = _asyncio()
        event = asyncio.Event()
        arrival = self._arrived(armed, event)
        try:
            await asyncio.wait_for(event.wait(), HOLD_SECONDS)
        except asyncio.TimeoutError:
            pass
        finally:
            armed.waiting.pop(arrival, None)

    def _arrived(self, armed: _Armed, event: Event | asyncio.Event) -> int:
        arrival = next(self._arrivals)
        armed.waiting[arrival] = event
        self._tell(Reached(armed.failpoint.id, arrival, armed.failpoint.step))
        return arrival

    def _wrap(self, step: str) -> None:
        owner, name = _place(step)
        original = getattr(owner, name)
        if not callable(original):
            raise TypeError(f"{step} is {original!r:.100}, and only what is called can be a step")
        if original is self.application:
            raise TypeError("it is the application itself, which the server has already; hold 'request' instead")
        self._replaced[step] = _Replaced.put(owner, name, partial(self.reach, step), partial(self.reach_in_task, step))

    def _unwrap(self, step: str) -> None:
        if step in self._replaced:
            self._replaced.pop(step).restore()


@dataclass(frozen=True, slots=True)
class _Replaced:
    """A function that is replaced by a wrapper where it was found, as ``unittest.mock.patch`` replaces.

    What a class keeps is wrapped as it is kept, so that a static method stays one; what is inherited, or belongs to the
    class of an object, is left alone, and hidden for the time.
    """

    owner: object
    name: str
    kept: object
    """As the owner has it; ``_ABSENT`` when it has it from elsewhere."""

    @classmethod
    def put(
        cls, owner: object, name: str, before: Callable[[], None], before_task: Callable[[], Awaitable[None]]
    ) -> _Replaced:
        """Put a wrapper there that calls *before* and then the original; an ``async def`` one awaits *before_task*."""
        kept = vars(owner).get(name, _ABSENT)
        static = inspect.getattr_static(owner, name, None) if isinstance(owner, type) else None
        if isinstance(static, staticmethod | classmethod):
            setattr(owner, name, type(static)(_wrapper(static.__func__, before, before_task)))
        else:
            setattr(owner, name, _wrapper(getattr(owner, name), before, before_task))
        return cls(owner, name, kept)

    def restore(self) -> None:
        """Put back what was there."""
        if self.kept is _ABSENT:
            delattr(self.owner, self.name)
        else:
            setattr(self.owner, self.name, self.kept)


def _wrapper(
    original: Callable[P, Any], before: Callable[[], None], before_task: Callable[[], Awaitable[None]]
) -> Callable[P, Any]:
    if inspect.iscoroutinefunction(original):

        @functools.wraps(original)
        async def reached_in_task(*args: P.args, **kwargs: P.kwargs) -> Any:  # noqa: ANN401 - the original's
            await before_task()
            return await original(*args, **kwargs)

        return reached_in_task

    @functools.wraps(original)
    def reached(*args: P.args, **kwargs: P.kwargs) -> Any:  # noqa: ANN401 - the original's
        before()
        return original(*args, **kwargs)

    return reached


def _seconds(armed: _Armed, delay: Delay) -> float:
    return delay.seconds + armed.random.random() * delay.jitter


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


def _place(step: str) -> tuple[object, str]:
    module, _, path = step.partition(":")
    owner: object = importlib.import_module(module)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    return owner, name
