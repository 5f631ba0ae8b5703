"""Keep who in this process waits for the outcome of a call, until it comes or the channel closes."""

from __future__ import annotations

from itertools import count

from ..errors import ChannelClosed, FrameError
from .outcomes import Done, Failure, error_of
from .wire import decode

__all__ = ["Calls"]


class Calls:
    """The calls of this process that have not ended."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._waiting: dict[int, Done] = {}

    def begin(self, done: Done) -> int:
        """Return the number of a call whose outcome ``done`` wants to hear."""
        number = next(self._numbers)
        self._waiting[number] = done
        return number

    def end(self, number: int, error: Exception | None, value: bytes | bytearray | None = None) -> None:
        """A call has ended; ``done`` hears it with the value still encoded."""
        done = self._waiting.pop(number, None)
        if done is not None:
            done(error, value)

    def returned(self, number: int, is_done: bool, body: bytes | bytearray) -> None:
        """An answer has come; one that nobody waits for is dropped."""
        if is_done:
            self.end(number, None, body)
            return
        try:
            error: Exception = error_of(decode(body, Failure))
        except FrameError as wrong:
            error = wrong
        self.end(number, error)

    def closed(self) -> None:
        """No answer comes any more."""
        for number in list(self._waiting):
            self.end(number, ChannelClosed("the channel to the primary was closed before it answered"))
