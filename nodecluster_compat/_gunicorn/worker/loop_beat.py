"""Beat with the worker's loop, and write stacks when the primary asks: the worker's side of its health.

Signals ask.  For the first one a handler writes what each thread is doing, and what the engine has beside threads
(greenlets, tasks), as soon as Python runs.  Where that takes too long, the second one has ``faulthandler`` write what
each thread is doing: it needs no Python to run, so it works in C code that never comes back.  It takes no lock either,
which is why it is not asked first (``machine/python_stacks.py``).  Neither is chained to the other, because that would
interrupt system calls of libraries that do not expect it; so installed they are restarted where the kernel can.  The
price is that a worker which sleeps in a system call does not tell its greenlets, unless it is about to be ended: then
the third signal interrupts it.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Protocol

from ...base.records import NO_LOAD, Load
from ...lifecycle.loop_lag import BEAT_SECONDS, LagMeter
from ...machine.heartbeat import END_OF_STACKS, Heartbeat
from ...machine.python_stacks import python_stacks
from ...machine.real_time_signals import ENGINE_STACKS_SIGNAL, LAST_WORDS_SIGNAL, THREADS_SIGNAL

__all__ = ["LoopBeat"]


class _Loop(Protocol):
    """What beats: the loop whose turns are of interest."""

    def call_later(self, seconds: float, callback: Callable[[], None]) -> object:
        """Call back after ``seconds``."""


class LoopBeat:
    """Beats while the loop of this thread turns.

    Args:
        heartbeat: where to.
        loop: of the engine.
        stacks: returns what the engine is doing, given the frame that was interrupted; called in a signal handler.
        obey: carries out what else the primary has asked for by that signal, and says whether there was anything.
        interrupted: called after the last words, in the signal handler; may raise.
        load: returns how busy its threads are, where it has any.
    """

    def __init__(
        self,
        heartbeat: Heartbeat,
        loop: _Loop,
        stacks: Callable[[FrameType | None], str],
        obey: Callable[[], bool],
        load: Callable[[], Load] = lambda: NO_LOAD,
        interrupted: Callable[[], None] = lambda: None,
    ) -> None:
        self._heartbeat = heartbeat
        self._loop = loop
        self._stacks = stacks
        self._load = load
        self._said = NO_LOAD
        self._obey = obey
        self._interrupted = interrupted
        self._meter = LagMeter(time.monotonic())

    def start(self) -> None:
        """Beat from now on."""
        self._meter = LagMeter(time.monotonic())
        self.listen()
        self._beat()

    def listen(self) -> None:
        """Be examined from now on; once more where an application may have replaced signal handlers."""
        signal.signal(LAST_WORDS_SIGNAL, self._write_last_words)
        signal.signal(ENGINE_STACKS_SIGNAL, self._asked)
        signal.siginterrupt(ENGINE_STACKS_SIGNAL, False)
        faulthandler.register(THREADS_SIGNAL, self._heartbeat.fileno(), all_threads=True)

    def _beat(self) -> None:
        self._heartbeat.beat(self._meter.turn(time.monotonic()))
        load = self._load()
        if load != self._said:
            self._said = load
            self._heartbeat.note_load(load)
        self._loop.call_later(BEAT_SECONDS, self._beat)

    def _asked(self, number: int, frame: FrameType | None) -> None:
        if not self._obey():
            self._write_stacks(number, frame)

    def _write_last_words(self, number: int, frame: FrameType | None) -> None:
        self._write_stacks(number, frame)
        self._interrupted()

    def _write_stacks(self, _: int, frame: FrameType | None) -> None:
        try:
            text = self._stacks(frame)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not end what is examined
            text = f"(no greenlets or tasks: {error!r})"
        if self._heartbeat.fileno() >= 0:
            threads = "" if self._heartbeat.has_stacks() else python_stacks(frame)
            os.write(self._heartbeat.fileno(), f"{threads}\n{text}\n".encode(errors="replace") + END_OF_STACKS)
