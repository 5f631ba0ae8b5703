"""Sit at a real terminal: a program runs in a pseudo-terminal, and what it draws is read as a person sees it (pyte)."""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Final

import pyte

__all__ = ["Person"]

PATIENCE: Final = 30.0
_OTHER_SCREEN: Final = re.compile(rb"(\x1b\[\?1049[hl])")
_RUN: Final = 'exec "$@" <"$0" >"$0" 2>"$0"'  # who opens a terminal as the first of a session is in charge of it


class Person:
    """Somebody at a terminal in which a program runs; a context manager.

    Args:
        command: the program.
        columns: of the terminal.
        lines: likewise.
        env: further variables of the environment.
    """

    def __init__(self, command: Sequence[str], columns: int = 80, lines: int = 24, **env: str) -> None:
        self._main, terminal = os.openpty()
        self.resize(columns, lines)
        self.before = termios.tcgetattr(terminal)
        self.seen = b""
        self.program = subprocess.Popen(
            ["sh", "-c", _RUN, os.ttyname(terminal), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color", **env},
        )
        self._terminal = terminal

    def __enter__(self) -> Person:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.program.poll() is None:
            self.program.kill()
            self.program.wait()
        os.close(self._terminal)
        os.close(self._main)

    def resize(self, columns: int, lines: int) -> None:
        """Make the terminal as large."""
        fcntl.ioctl(self._main, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)

    def press(self, keys: str) -> None:
        """Press keys; ``\\x1b[A`` is the one that goes up."""
        os.write(self._main, keys.encode())

    @property
    def attributes(self) -> list[Any]:
        """Of the terminal: whether it echoes, and so on."""
        return termios.tcgetattr(self._terminal)

    @property
    def lines(self) -> list[str]:
        """What stands on the screen."""
        return [line.rstrip() for line in self._screen.display]

    @property
    def text(self) -> str:
        """The same as one."""
        return "\n".join(self.lines)

    def sees_selected(self, word: str) -> bool:
        """Whether a word stands on the screen in reverse video."""
        return any(
            self._screen.buffer[number][found.start()].reverse
            for number, line in enumerate(self._screen.display)
            for found in re.finditer(rf"\b{re.escape(word)}\b", line)
        )

    def wait(self, check: str | Callable[[str], bool]) -> str:
        """Wait until a text is on the screen, or a check of it holds; return the screen."""
        is_there = check if callable(check) else lambda text: check in text
        deadline = time.monotonic() + PATIENCE
        while not is_there(self.text):
            assert time.monotonic() < deadline, f"{check!r} does not come to be seen:\n{self.text}"
            self._look(0.05)
        return self.text

    def wait_for_end(self) -> int:
        """Wait for the end of the program; return its exit status."""
        deadline = time.monotonic() + PATIENCE
        while self.program.poll() is None:
            assert time.monotonic() < deadline, f"the program does not end:\n{self.text}"
            self._look(0.02)
        self._look(0.0)
        return self.program.returncode

    def _look(self, seconds: float) -> None:
        while select.select([self._main], [], [], seconds)[0]:
            try:
                data = os.read(self._main, 65536)
            except OSError:  # nobody has the terminal any more
                return
            self.seen += data
            seconds = 0.0
            for part in _OTHER_SCREEN.split(data):  # which pyte does not know
                if _OTHER_SCREEN.fullmatch(part):
                    self._screen.reset()
                else:
                    self._stream.feed(part)
