"""Have a terminal to oneself for a while: draw on it, hear its keys, and leave it as it was, however that ends.

Signals are taken note of, and told where keys are: so nothing is interrupted half-way, and what was changed is changed
back before the process ends by SIGTERM or SIGHUP, or stops by Ctrl-Z.  Only SIGKILL leaves a terminal as it is then.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Final

from ...errors import ClusterError
from .cells import Line
from .keys import Keys

__all__ = ["NoTerminal", "Terminal"]

_ENTER: Final = "\x1b[?1049h\x1b[?25l\x1b[?7l"  # another screen, no cursor, no line that goes on in the next one
_LEAVE: Final = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"
_STYLES: Final[Mapping[str, str]] = {
    "": "", "bold": "\x1b[1m", "inverse": "\x1b[7m", "dim": "\x1b[2m",
    "good": "\x1b[1;32m", "poor": "\x1b[1;33m", "bad": "\x1b[1;31m",
}  # fmt: skip
_NO_COLOURS: Final[Mapping[str, str]] = {**_STYLES, "good": "\x1b[1m", "poor": "\x1b[1m", "bad": "\x1b[1m"}
_ENDING: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)
_NOTED: Final = (*_ENDING, signal.SIGTSTP, signal.SIGCONT, signal.SIGWINCH)
_READ_BYTES: Final = 4096
_USUAL_SIZE: Final = (80, 24)
_LEAST: Final = 1


class NoTerminal(ClusterError):
    """There is no terminal to draw on; the sentence says what there is."""


class Terminal:
    """The terminal of this process; a context manager.

    Attributes:
        ended_by: the signal that ends this process, once it has come.
        is_gone: whether there is nobody at the terminal any more.

    Raises:
        NoTerminal: standard input or output is none, or one that cannot move its cursor.
    """

    def __init__(self) -> None:
        if not (os.isatty(0) and os.isatty(1)):
            raise NoTerminal(
                "top needs a terminal to draw on: without one, 'nodeclusterctl top --once' prints the same"
            )
        if os.environ.get("TERM", "dumb") in ("", "dumb"):
            kind = os.environ.get("TERM") or "not set"
            raise NoTerminal(f"top needs a terminal that can move its cursor, and TERM is {kind}: try 'top --once'")
        self.ended_by: int | None = None
        self.is_gone = False
        self._styles = _NO_COLOURS if os.environ.get("NO_COLOR") else _STYLES
        self._encoding = sys.stdout.encoding or "utf-8"
        self._keys = Keys()
        self._before: list[Any] = []
        self._handlers: dict[int, Any] = {}
        self._noted: list[int] = []
        self._wake_reader, self._wake_writer = -1, -1

    def __enter__(self) -> Terminal:
        self._wake_reader, self._wake_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._before = termios.tcgetattr(0)
        self._handlers = {number: signal.signal(number, self._note) for number in _NOTED}
        signal.set_wakeup_fd(self._wake_writer, warn_on_full_buffer=False)
        self._take()
        return self

    def __exit__(self, *_: object) -> None:
        self._give_back()
        signal.set_wakeup_fd(-1)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        os.close(self._wake_reader)
        os.close(self._wake_writer)

    # --- what is drawn ---------------------------------------------------------------------------------

    @property
    def size(self) -> tuple[int, int]:
        """Its columns and lines."""
        try:
            columns, lines = os.get_terminal_size(1)
        except OSError:
            return _USUAL_SIZE
        return (max(columns, _LEAST), max(lines, _LEAST)) if columns and lines else _USUAL_SIZE

    def draw(self, lines: Sequence[Line]) -> None:
        """Draw a screen; there are as many lines as it has."""
        drawn = "\x1b[K\r\n".join(map(self._styled, lines))
        self._write(f"\x1b[H{drawn}\x1b[K\x1b[J")

    def _styled(self, line: Line) -> str:
        return "".join(f"{self._styles[style]}{text}\x1b[0m" if style else text for style, text in line)

    def _write(self, text: str) -> None:
        data = memoryview(text.encode(self._encoding, "replace"))
        try:
            while data:
                data = data[os.write(1, data) :]
        except OSError:
            self.is_gone = True

    # --- what is heard ---------------------------------------------------------------------------------

    def wake(self) -> None:
        """Let :meth:`hear` return; for other threads."""
        with suppress(OSError):  # it is full, or closed
            os.write(self._wake_writer, b"\0")

    def hear(self, seconds: float) -> Iterator[str]:
        """Wait for keys, at most so long, and return them; a signal or :meth:`wake` ends the wait.

        A size that has changed is no key; nor is a stop by Ctrl-Z, which comes back here when the process goes on.
        """
        ready, _, _ = select.select([0, self._wake_reader], [], [], max(seconds, 0.0))
        if self._wake_reader in ready:
            with suppress(BlockingIOError):
                os.read(self._wake_reader, _READ_BYTES)
        self._heed()
        return self._keys.feed(self._read() if 0 in ready else b"")

    def _read(self) -> bytes:
        try:
            data = os.read(0, _READ_BYTES)
        except OSError:
            data = b""
        self.is_gone = self.is_gone or not data
        return data

    def _note(self, number: int, _: FrameType | None) -> None:
        self._noted.append(number)

    def _heed(self) -> None:
        noted, self._noted = self._noted, []
        for number in noted:
            if number in _ENDING:
                self.ended_by = number
            elif number == signal.SIGTSTP:
                self._stop()
            elif number == signal.SIGCONT:  # somebody has sent SIGSTOP, and the shell has changed the terminal
                self._take()

    # --- taking it, and giving it back ------------------------------------------------------------------

    def _take(self) -> None:
        with self._without_stops():
            tty.setcbreak(0, termios.TCSANOW)
            changed = termios.tcgetattr(0)
            changed[0] &= ~termios.IXON  # or Ctrl-S would hold up what is drawn, and with it everything
            termios.tcsetattr(0, termios.TCSANOW, changed)
        self._write(_ENTER)

    def _give_back(self) -> None:
        self._write(_LEAVE)
        with suppress(termios.error), self._without_stops():
            termios.tcsetattr(0, termios.TCSANOW, self._before)

    def _stop(self) -> None:
        """Stop, as after Ctrl-Z, with the terminal as it was; go on when somebody says so."""
        self._give_back()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, self._note)
        self._take()

    @staticmethod
    @contextmanager
    def _without_stops() -> Iterator[None]:
        """Change a terminal that is not this process's any more, as after its shell has gone: that would stop it."""
        before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        try:
            yield
        finally:
            signal.signal(signal.SIGTTOU, before)
