"""Wait in the primary, where that holds up nobody: in another thread, or between the turns of a script that waits."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import TYPE_CHECKING, Final

from ..errors import WouldBlock

if TYPE_CHECKING:
    from ..base.loop import Loop

__all__ = ["Waiting"]

_TURN_SECONDS: Final = 1.0


class Waiting:
    """Decides who may wait in one primary, and how.

    Args:
        loop: the primary's.

    Attributes:
        turn: runs one turn of the loop, while the script runs and nothing else is under way; otherwise ``None``.
    """

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self.turn: Callable[[float], None] | None = None

    @property
    def is_allowed(self) -> bool:
        """Whether the caller holds up nobody: it is in another thread, or the script itself."""
        return self._loop.is_elsewhere() or self.turn is not None

    def wait_for(self, begin: Callable[[Callable[[], None]], None]) -> None:
        """Call ``begin(done)``, and wait until ``done()`` is called.

        Raises:
            WouldBlock: a handler in the primary waits.
        """
        if self._loop.is_elsewhere():
            done = Event()
            self._loop.call_soon_threadsafe(begin, done.set)
            done.wait()
        elif self.turn is not None:
            self._turn_until(begin, self.turn)
        elif self._loop.wait_beside is None or not self._loop.wait_beside(begin):
            raise WouldBlock(
                "expected a callback: a handler in the primary must not wait, because no event is told meanwhile; "
                "write worker.request(message, callback)"
            )

    def _turn_until(self, begin: Callable[[Callable[[], None]], None], turn: Callable[[float], None]) -> None:
        """The script itself waits: nothing else is under way, so the loop may turn; in its handlers nobody may wait."""
        ended: list[bool] = []
        self.turn = None
        try:
            begin(lambda: ended.append(True))
            while not ended:
                turn(_TURN_SECONDS)
        finally:
            self.turn = turn
