"""Write the stacks of this process when the test asks for them."""

from __future__ import annotations

import _socket
import faulthandler
import os
import signal
from collections.abc import Callable
from types import FrameType

from ..wire.files import END_LINE, STACK_SIGNAL, stacks_path

__all__ = ["Dumps"]


class Dumps:
    """The file that the stacks of this process are written to.

    Each process opens a file of its own; the one that a forked child inherits is closed there.
    """

    def __init__(self, folder: str, stacks: Callable[[FrameType | None], str] | None = None) -> None:
        self.stacks = stacks
        self._fd = os.open(stacks_path(folder, os.getpid()), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        signal.signal(STACK_SIGNAL, self._dump)
        faulthandler.register(STACK_SIGNAL, self._fd, all_threads=True, chain=True)

    def leave(self) -> None:
        """Close the parent's file in a forked child."""
        faulthandler.unregister(STACK_SIGNAL)
        signal.signal(STACK_SIGNAL, signal.SIG_DFL)
        _socket.close(self._fd)  # gevent's os.close puts it off

    def _dump(self, _: int, frame: FrameType | None) -> None:
        text = ""
        if self.stacks is not None:
            try:
                text = self.stacks(frame)
            except Exception as error:  # noqa: BLE001 - a broken dump must not end the process that is examined
                text = f"(no greenlets: {error!r})"
        os.write(self._fd, f"\n{text}\n{END_LINE}\n".encode())
