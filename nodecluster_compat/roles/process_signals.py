"""Turn signals of this process into events: ``process.on("SIGTERM", handler)``.

A signal is watched while there is a handler for it, which then stands in place of what the signal did before (Node's
rule); without one that is in force again.  The event is emitted outside of what the signal interrupted: on a later turn
of the primary's loop, in a greenlet of its own in a worker.  A plain program has neither: there it is emitted at once.
"""

from __future__ import annotations

import signal as signals
from collections.abc import Callable, Collection
from typing import Any, Final

from ..errors import ArgumentError

__all__ = ["SIGNAL_EVENTS", "SignalEvents"]

SIGNAL_EVENTS: Final = {one.name: 2 for one in signals.Signals}
_UNCATCHABLE: Final = frozenset({"SIGKILL", "SIGSTOP"})


class SignalEvents:
    """The signals of this process that a program has handlers for.

    Args:
        emit: ``emit(name, name, number)``.
    """

    def __init__(self, emit: Callable[..., object]) -> None:
        self._emit = emit
        self._soon: Callable[[Callable[[], None]], object] = lambda call: call()
        self._former: dict[str, Any] = {}
        self._shared: Collection[int] = ()
        self._owned: Collection[int] = ()

    def run_by(self, soon: Callable[[Callable[[], None]], object], shared: Collection[int] = ()) -> None:
        """Emit by ``soon(call)`` from now on.

        Args:
            soon: called in a signal handler, for each signal.
            shared: signals whose former handler goes on being called, too.
        """
        self._soon = soon
        self._shared = shared

    def yield_to_owner(self, owned: Collection[int]) -> list[str]:
        """Leave these signals to the server around this process; return those that a program has handlers for."""
        self._owned = owned
        lost = [name for name in self._former if signals.Signals[name] in owned]
        for name in lost:
            del self._former[name]
        return lost

    def is_owned(self, name: str) -> bool:
        """Whether the server around this process acts on a signal, so that no event comes."""
        return name in SIGNAL_EVENTS and signals.Signals[name] in self._owned

    def watch(self, name: str) -> None:
        """Emit ``name`` at each such signal.

        Raises:
            ArgumentError: nobody can catch it, or not here.
        """
        if name in self._former or self.is_owned(name):
            return
        if name in _UNCATCHABLE:
            raise ArgumentError(f"expected a signal that can be caught, got {name}: it ends or stops a process at once")
        try:
            self._former[name] = signals.signal(signals.Signals[name], self._came)
        except ValueError as error:
            raise ArgumentError(f"expected handlers of {name} to be registered in the main thread: {error}") from None

    def unwatch(self, name: str) -> None:
        """Let a signal do again what it did before."""
        if name in self._former:
            signals.signal(signals.Signals[name], self._former.pop(name) or signals.SIG_DFL)

    def abandon(self) -> None:
        """In a forked worker: signals do what they do to any program."""
        for name, former in self._former.items():
            ignored = former is signals.SIG_IGN
            signals.signal(signals.Signals[name], signals.SIG_IGN if ignored else signals.SIG_DFL)
        self._former.clear()

    def _came(self, number: int, frame: object) -> None:
        name = signals.Signals(number).name
        former = self._former.get(name)
        if number in self._shared and callable(former):
            former(number, frame)
        self._soon(lambda: self._tell(name, number))

    def _tell(self, name: str, number: int) -> None:
        self._emit(name, name, number)
