"""Deal on a thread of C while the dealer waits for the interpreter's lock (GIL).

That needs a thread without Python: ``native/standby.c`` has it, and the theory.  In Python alone there is none, and
connections wait as long as somebody keeps that lock.
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["NoStandby", "Standby"]


class Standby(Protocol):
    """Deals while the dealer is away; every method is called with the lock of the dealer's loop held."""

    def start(self) -> object:
        """Begin; without a thread left in the kernel it never deals."""

    def stop(self) -> None:
        """End; what it has dealt is noted by then."""

    def take_snapshot(self) -> None:
        """Tell it what to do with the next connections, from now on, by a copy of what it needs to know."""

    def reconcile(self) -> None:
        """Have it do nothing any more, and note what it has dealt; a no-op when it has no snapshot."""


class NoStandby:
    """Nobody."""

    def start(self) -> None:
        """See :class:`Standby`."""

    def stop(self) -> None:
        """See :class:`Standby`."""

    def take_snapshot(self) -> None:
        """See :class:`Standby`."""

    def reconcile(self) -> None:
        """See :class:`Standby`."""
