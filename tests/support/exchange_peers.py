"""Processes that take part in an exchange by writing down what reaches them, and timers that a test fires."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from nodecluster_compat.messages.frames import HEADER
from nodecluster_compat.sharing.exchange import Exchange
from nodecluster_compat.sharing.outcomes import Gathered
from nodecluster_compat.sharing.publications import bodies_of
from nodecluster_compat.sharing.wire import decode, encode, encode_call, encode_return

__all__ = ["LOG", "Peer", "Timer", "Timers"]

LOG: Final = logging.getLogger("test")


class Timer:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Timers:
    def __init__(self) -> None:
        self.set: list[tuple[float, Timer]] = []

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        timer = Timer(callback)
        self.set.append((seconds, timer))
        return timer


class Peer:
    def __init__(self, number: int, exchange: Exchange) -> None:
        self.id = number
        self.exchange = exchange
        self.got: list[Any] = []
        self.runs: list[tuple[int, bytes]] = []
        self.asked: list[tuple[int, str, Any]] = []
        self.sent: list[tuple[str, Any]] = []
        self.given: list[tuple[int, bool, Any]] = []
        self.reads = True
        exchange.join(self)

    def publish(self, frame: bytes, topic: str, body: bytes | bytearray) -> bool:
        if self.reads:
            self.got.append((topic, decode(body)))
        return self.reads

    def publish_run(self, run: bytes) -> bool:
        if self.reads:
            messages = [(topic, decode(body)) for topic, bodies in bodies_of(run) or () for body in bodies]
            self.runs.append((len(messages), run))
            self.got += messages
        return self.reads

    def call(self, number: int, verb: str, body: bytes) -> bool:
        if self.reads:
            self.asked.append((number, verb, decode(body)))
        return self.reads

    def send(self, frame: bytes, verb: str, body: bytes, is_bounded: bool) -> bool:
        if self.reads or not is_bounded:
            self.sent.append((verb, decode(body)))
            return True
        return False

    def give(self, number: int, is_done: bool, body: bytes) -> None:
        self.given.append((number, is_done, body))

    def calls(self, verb: str, arguments: Any, number: int = 0) -> None:
        self.exchange.called(self.id, encode_call(number, verb, encode(arguments))[HEADER.size :])

    def returns(self, number: int, value: Any, is_done: bool = True) -> None:
        self.exchange.returned(self.id, encode_return(number, is_done, encode(value))[HEADER.size :])

    def outcome(self) -> tuple[dict[int, Any], dict[int, str]]:
        [(_, is_done, body)] = self.given
        assert is_done
        gathered: Gathered = decode(body, Gathered)
        return (
            {one.worker: decode(one.value) for one in gathered.answers},
            {one.worker: one.cause for one in gathered.missing},
        )
