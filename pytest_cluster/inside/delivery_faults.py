"""Delay, lose, hold and reorder the messages and connections of a worker, as armed failpoints say.

Each step (``receive``, ``send``, ``connection``) has a queue.  A delay holds up what comes behind, too: everything goes
on in the order in which it came, unless a failpoint reorders it.  Called in the worker's loop, with the lock of the
line held.
"""

from __future__ import annotations

import traceback
from _thread import RLock
from collections import deque
from collections.abc import Callable
from functools import partial
from time import monotonic

from ..wire.records import CONNECTION_STEP, MESSAGE_STEPS, Delay, Drop, Hold, Reorder
from .armed import Armed, seconds_of
from .hosts import WorkerHost
from .steps import Steps

__all__ = ["DeliveryFaults", "interpose_faults"]

PassOn = Callable[[], None]
CallLater = Callable[[float, Callable[[], None]], object]


def interpose_faults(steps: Steps, host: WorkerHost) -> None:
    """Let a worker's messages and its connections pass here, each from the first fault of theirs on."""
    faults = DeliveryFaults(steps, host.call_later)
    of_messages = _FirstArming(host.interpose, faults)
    for step in MESSAGE_STEPS:
        steps.place(step, of_messages)
    steps.place(CONNECTION_STEP, _FirstArming(host.interpose_connections, faults))


class _FirstArming:
    """A place at which the faults are interposed when something is armed there for the first time."""

    def __init__(self, interpose: Callable[[DeliveryFaults], object], faults: DeliveryFaults) -> None:
        self._interpose: Callable[[DeliveryFaults], object] | None = interpose
        self._faults = faults

    def __call__(self, _: object) -> None:
        interpose, self._interpose = self._interpose, None
        if interpose is not None:
            interpose(self._faults)


class DeliveryFaults:
    """Passes on the messages of one worker, in both directions, and its connections.

    :param steps: its failpoints.
    :param call_later: calls back in its loop, with the lock of the line held.
    """

    def __init__(self, steps: Steps, call_later: CallLater) -> None:
        self._queues = {step: _StepQueue(step, steps, call_later) for step in (*MESSAGE_STEPS, CONNECTION_STEP)}

    def __call__(self, step: str, pass_on: PassOn, lose: PassOn | None) -> None:
        """Take what has come (``receive``, ``connection``) or is to go (``send``); without *lose* it must go on."""
        self._queues[step].take(pass_on, lose)


class _StepQueue:
    """What passes one step, in order."""

    def __init__(self, step: str, steps: Steps, call_later: CallLater) -> None:
        self._step = step
        self._steps = steps
        self._call_later = call_later
        self._due: deque[tuple[float, PassOn]] = deque()
        self._groups: dict[Armed, _Group] = {}
        self._lock = RLock()

    def take(self, pass_on: PassOn, lose: PassOn | None) -> None:
        """Let something pass on as the failpoints that are armed at this step say: late, in another order, or never.

        :param pass_on: lets it go on.
        :param lose: forgets it; ``None`` where it must not be lost.
        """
        seconds = 0.0
        for armed in self._steps.at(self._step):
            action = armed.failpoint.action
            if isinstance(action, Delay):
                seconds += seconds_of(armed, action)
            elif isinstance(action, Drop):
                if lose is not None and armed.random.random() < action.share and self._steps.counts(armed):
                    lose()
                    return
            elif isinstance(action, Hold):
                self._steps.arrived(armed, _Released(partial(self._queue, pass_on, 0.0)))
                return
            elif isinstance(action, Reorder):
                self._group(armed, action).take(pass_on)
                return
            else:
                self._act(armed)
        self._queue(pass_on, seconds)

    def _act(self, armed: Armed) -> None:
        try:
            self._steps.act(armed)
        except Exception:  # noqa: BLE001 - the test's function, and nobody here could catch it
            traceback.print_exc()

    def _group(self, armed: Armed, action: Reorder) -> _Group:
        with self._lock:
            if armed not in self._groups:
                group = _Group(action.window, armed, lambda pass_on: self._queue(pass_on, 0.0))
                self._groups[armed] = group
                armed.waiting[0] = group  # arrivals count from 1: whoever disarms lets it go on
            group = self._groups[armed]
        if group.is_empty:
            self._call_later(action.seconds, group.set)
        return group

    def _queue(self, pass_on: PassOn, seconds: float) -> None:
        """Pass a message on in so many seconds, and behind those that came before."""
        with self._lock:
            if not self._due and not seconds:
                direct = True
            else:
                direct = False
                last = self._due[-1][0] if self._due else 0.0
                self._due.append((max(last, monotonic() + seconds), pass_on))
                if len(self._due) == 1:
                    self._call_later(seconds, self._pump)
        if direct:
            pass_on()

    def _pump(self) -> None:
        """Pass on what is due."""
        while self._due:
            with self._lock:
                due, pass_on = self._due[0]
                left = due - monotonic()
                if left > 0:
                    self._call_later(left, self._pump)
                    return
            try:
                pass_on()
            except Exception:  # noqa: BLE001 - those behind it go on
                traceback.print_exc()
            with self._lock:
                self._due.popleft()


class _Released:
    """A message that is held at a step, as if it were an event."""

    def __init__(self, go: PassOn) -> None:
        self.set = go


class _Group:
    """Messages that are to go on together, in another order; *go* takes each."""

    def __init__(self, window: int, armed: Armed, go: Callable[[PassOn], None]) -> None:
        self._window = window
        self._armed = armed
        self._go = go
        self._messages: list[PassOn] = []

    @property
    def is_empty(self) -> bool:
        return not self._messages

    def take(self, pass_on: PassOn) -> None:
        self._messages.append(pass_on)
        if len(self._messages) >= self._window:
            self.set()

    def set(self) -> None:
        """Let them go on now, however few they are: by a number of places further, so that each is in another one."""
        messages, self._messages = self._messages, []
        if len(messages) > 1:
            first = self._armed.random.randrange(1, len(messages))
            messages = messages[first:] + messages[:first]
        for pass_on in messages:
            self._go(pass_on)
