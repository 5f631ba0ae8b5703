"""Ask the other side of a channel and get its reply: ``reply = process.request(message, timeout=5)``.

What programs do by hand with messages (an id goes out, the id comes back) has frames of its own, so no message of a
program is taken for a reply, and a request that nobody answers ends: by its time-out, or with the channel.

    ask ──REQUEST──▶ event ``request(message, reply)``       reply(value) ──REPLY──▶ done(None, value)
                                                             reply.fail(reason) ───▶ done(RequestFailed, None)

Requests that come before the first ``request`` listener are kept, still encoded, up to the bounds of messages.

Once the channel is closed nothing is called that may refer to the worker, and a time-out that is still to come refers
to nothing of it: so all of it is freed without a search for cycles.
"""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from itertools import count
from typing import TYPE_CHECKING, Final, Protocol
from weakref import ref

from ..base.arguments import MOST_SECONDS
from ..base.records import Message
from ..errors import ArgumentTypeError, ChannelClosed, ClusterError, RequestFailed, RequestTimedOut
from ..messages.arrived import MOST_BYTES, MOST_MESSAGES
from ..messages.frames import Frame
from ..messages.line import Line
from ..messages.request_payloads import decode_asked, decode_reply
from .answers import Replied

__all__ = ["Reply", "RequestTimer", "Requests", "checked_request_timeout"]

_STALE: Final = 1000


if TYPE_CHECKING:

    class RequestTimer(Protocol):
        """The event loop of a process, as requests need it."""

        def call_later(self, seconds: float, callback: Callable[[], None]) -> object:
            """Call back after ``seconds``."""


def checked_request_timeout(timeout: object) -> float | None:
    """Return how long a request may take; ``None`` for as long as the channel is open.

    Raises:
        ArgumentTypeError: it is no number of seconds above 0.
    """
    if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0):
        raise ArgumentTypeError(f"expected a number of seconds above 0 as timeout, or None, got {timeout!r}")
    return None if timeout is None or timeout > MOST_SECONDS else float(timeout)


class Reply:
    """Answers one request, now or later: ``reply(value)``.  Only the first answer counts."""

    def __init__(self, send: Callable[[bool, Message], bool]) -> None:
        self._send: Callable[[bool, Message], bool] | None = send

    @property
    def is_sent(self) -> bool:
        """Whether the request was answered."""
        return self._send is None

    def __call__(self, value: Message = None) -> bool:
        """Answer.

        Args:
            value: anything that a message can be.

        Returns:
            Whether this was the first answer, and the channel took it.

        Raises:
            MessageNotSerializable, MessageTooLarge: nothing was sent; another answer may be.
        """
        return self._answer(True, value)

    def fail(self, reason: str) -> bool:
        """Answer that the request cannot be met: the asker gets :class:`RequestFailed` with the reason."""
        return self._answer(False, str(reason))

    def _answer(self, is_met: bool, value: Message) -> bool:
        if self._send is None:
            return False
        taken = self._send(is_met, value)
        self._send = None
        return taken


class Requests:
    """The requests over one line, in both directions.

    Args:
        line: to the other side.
        peer: who that is, for the sentences of errors.
        deliver: emits ``request`` with a message and its :class:`Reply`.
        has_listener: whether anybody listens for that.
        clock: seconds that only go on.

    Attributes:
        lock: held by callers; taken here where a handler replies.
    """

    def __init__(
        self,
        line: Line,
        peer: str,
        deliver: Callable[[Message, Reply], None],
        has_listener: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.lock: AbstractContextManager[object] = nullcontext()
        self._line = line
        self._peer = peer
        self._deliver = deliver
        self._has_listener = has_listener
        self._clock = clock
        self._numbers = count(1)
        self._asked: dict[int, Replied] = {}
        self._deadlines: list[tuple[float, int]] = []
        self._wakes_at: float | None = None
        self._kept: deque[Frame] = deque()
        self._kept_bytes = 0

    # --- asking --------------------------------------------------------------------------------

    def ask(self, message: Message, seconds: float | None, done: Replied, timer: RequestTimer) -> None:
        """Send a request; ``done(error, reply)`` follows once, on a later turn.

        Raises:
            MessageNotSerializable, MessageTooLarge: nothing was sent.
        """
        number = next(self._numbers)
        self._asked[number] = done
        try:
            self._line.send_request(number, message, lambda error: self._sent(number, error))
        except ClusterError:
            del self._asked[number]
            raise
        if seconds is not None and number in self._asked:
            self._watch(number, seconds, timer)

    def replied(self, frame: Frame) -> None:
        """A reply has come; one that is no longer waited for is dropped."""
        number, is_met, value = decode_reply(frame.payload, self._line.serializer)
        error = None if is_met else RequestFailed(f"{self._peer} answered that it cannot: {value}")
        self._end(number, error, value if is_met else None)

    def closed(self) -> None:
        """The channel is closed: nothing is answered, and nothing comes, any more."""
        self._deliver, self._has_listener = _ignore, _never
        self._kept.clear()
        self._kept_bytes = 0
        for number in list(self._asked):
            self._end(number, ChannelClosed(f"the channel to {self._peer} was closed before it replied"), None)

    def _sent(self, number: int, error: ClusterError | None) -> None:
        if error is not None:
            self._end(number, error, None)

    def _end(self, number: int, error: Exception | None, value: Message) -> None:
        done = self._asked.pop(number, None)
        if done is not None:
            done(error, value)

    def _watch(self, number: int, seconds: float, timer: RequestTimer) -> None:
        if len(self._deadlines) > 2 * len(self._asked) + _STALE:
            self._deadlines = [entry for entry in self._deadlines if entry[1] in self._asked]
            heapq.heapify(self._deadlines)
        deadline = self._clock() + seconds
        heapq.heappush(self._deadlines, (deadline, number))
        if self._wakes_at is None or deadline < self._wakes_at:
            self._wake(deadline, timer)

    def _wake(self, deadline: float, timer: RequestTimer) -> None:
        self._wakes_at = deadline
        this = ref(self)
        timer.call_later(max(0.0, deadline - self._clock()), lambda: _time_out(this, deadline, timer))

    def time_out(self, deadline: float, timer: RequestTimer) -> None:
        """The time of the request that was to end first is over, unless an earlier one was set since."""
        if deadline != self._wakes_at:
            return
        self._wakes_at = None
        now = self._clock()
        while self._deadlines and (self._deadlines[0][0] <= now or self._deadlines[0][1] not in self._asked):
            _, number = heapq.heappop(self._deadlines)
            self._end(number, RequestTimedOut(f"{self._peer} did not reply in time"), None)
        if self._deadlines:
            self._wake(self._deadlines[0][0], timer)

    # --- answering -----------------------------------------------------------------------------

    def asked(self, frame: Frame) -> None:
        """A request has come: deliver or keep it."""
        message, reply = self._decoded(frame)  # also of one that is kept: what makes no sense is told at once
        if self._has_listener() and not self._kept:
            self._deliver(message, reply)
        elif len(self._kept) < MOST_MESSAGES and self._kept_bytes + len(frame.payload) <= MOST_BYTES:
            self._kept.append(frame)
            self._kept_bytes += len(frame.payload)
        else:
            reply.fail("nobody listens for 'request', and too many wait already")

    def listener_added(self) -> None:
        """Somebody listens: deliver what was kept."""
        with self.lock:
            while self._kept and self._has_listener():
                frame = self._kept.popleft()
                self._kept_bytes -= len(frame.payload)
                self._deliver(*self._decoded(frame))

    def _decoded(self, frame: Frame) -> tuple[Message, Reply]:
        number, message = decode_asked(frame.payload, self._line.serializer)
        return message, Reply(lambda is_met, value: self._send_reply(number, is_met, value))

    def _send_reply(self, number: int, is_met: bool, value: Message) -> bool:
        with self.lock:
            return self._line.send_reply(number, is_met, value)


def _time_out(requests: ref[Requests], deadline: float, timer: RequestTimer) -> None:
    here = requests()
    if here is not None:
        here.time_out(deadline, timer)


def _ignore(_: Message, reply: Reply) -> None:
    """Nobody could be answered."""


def _never() -> bool:
    return False
