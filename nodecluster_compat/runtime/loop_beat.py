"""Beat with the worker's loop, and write stacks when the primary asks: the worker's side of its health.

Signals ask.  For the first one ``faulthandler`` writes what each thread is doing, whatever it is doing: it needs no
Python to run, so it works in C code that never comes back.  For the second one a handler writes the greenlets, as soon
as Python runs.  Neither is chained to the other, because that would interrupt system calls of libraries that do not
expect it; so installed they are restarted where the kernel can.  The price is that a worker which sleeps in a system
call does not tell its greenlets, unless it is about to be ended: then the third signal interrupts it.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import time
from types import FrameType
from typing import Any

from gevent import get_hub

from ..lifecycle.loop_lag import BEAT_SECONDS, LagMeter
from ..machine.heartbeat import END_OF_STACKS, Heartbeat
from ..machine.real_time_signals import GREENLETS_SIGNAL, LAST_WORDS_SIGNAL, THREADS_SIGNAL
from .greenlet_stacks import greenlet_stacks

__all__ = ["LoopBeat"]


class LoopBeat:
    """Beats while the loop of this thread turns.

    Args:
        heartbeat: where to.
    """

    def __init__(self, heartbeat: Heartbeat) -> None:
        self._heartbeat = heartbeat
        self._meter = LagMeter(time.monotonic())
        self._timer: Any = get_hub().loop.timer(BEAT_SECONDS, BEAT_SECONDS, ref=False)

    def start(self) -> None:
        """Be examined from now on."""
        signal.signal(LAST_WORDS_SIGNAL, self._write_greenlets)
        signal.signal(GREENLETS_SIGNAL, self._write_greenlets)
        signal.siginterrupt(GREENLETS_SIGNAL, False)
        faulthandler.register(THREADS_SIGNAL, self._heartbeat.fileno(), all_threads=True)
        self._beat()
        self._timer.start(self._beat)

    def _beat(self) -> None:
        self._heartbeat.beat(self._meter.turn(time.monotonic()))

    def _write_greenlets(self, _: int, frame: FrameType | None) -> None:
        try:
            text = greenlet_stacks(frame)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not end what is examined
            text = f"(no greenlets: {error!r})"
        if self._heartbeat.fileno() >= 0:
            os.write(self._heartbeat.fileno(), f"\n{text}\n".encode(errors="replace") + END_OF_STACKS)
