"""Ask other hosts, and answer them, through the server: who must answer is fixed at the beginning.

asks ──request to all──▶ each host that was present ──reply to the one who asks──▶ … ──the last one──▶ done
└──time is over, a host is present no longer──▶ done, with the rest missing

request = version, host that asks, number, what is asked                 on  nodecluster:NAME:requests
reply   = version, host that answers, number, what came                  on  nodecluster:NAME:replies:HOST

All versions begin with these three.  So what another version asks is refused, and what it replies counts as no answer:
during a rolling upgrade nobody waits for a host that does not understand.
"""

from __future__ import annotations

import _thread  # noqa: F401 - ``original`` looks for it
from collections.abc import Callable, Collection
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from ..base.loop import original
from ..errors import FrameError
from .outcomes import Answer, Gathered, Missing
from .wire import decode, encode

if TYPE_CHECKING:
    from .losses import Reason

__all__ = ["RemoteReply", "RemoteRequest", "RemoteRequests"]

_VERSION: Final = 1
_MOST_BYTES: Final = 64 * 1024 * 1024


class RemoteRequest(msgspec.Struct, array_like=True, frozen=True):
    """What a host asks of others; it begins as :class:`_Head` in all versions."""

    version: int
    host: str
    number: int
    body: bytes


class _Head(msgspec.Struct, array_like=True, frozen=True):
    version: int
    host: str
    number: int


class RemoteReply(msgspec.Struct, array_like=True, frozen=True):
    """The answer of a host."""

    version: int
    host: str
    number: int
    gathered: Gathered


_Kind = TypeVar("_Kind", RemoteRequest, RemoteReply)


class _Asked:
    def __init__(self, hosts: Collection[str], done: Callable[[Gathered], None]) -> None:
        self.waiting = set(hosts)
        self.answers: list[Answer] = []
        self.missing: list[Missing] = []
        self.done = done


class RemoteRequests:
    """The requests between this host and others.

    Args:
        host: the name of this one.
        answer: called with what another host asks, and who wants to hear what came of it.
        lost: told of what was of another version, or broken.

    Attributes:
        foreign: how many messages were of another version, or broken.
    """

    def __init__(
        self,
        host: str,
        answer: Callable[[bytes, Callable[[Gathered], None]], None],
        lost: Callable[[Reason], object] = lambda _: None,
    ) -> None:
        self.foreign = 0
        self._lost = lost
        self._host = host
        self._answer = answer
        self._numbers = count(1)
        self._asked: dict[int, _Asked] = {}
        self._lock = original("_thread", "allocate_lock")()

    # --- asking --------------------------------------------------------------------------------

    def begin(self, hosts: Collection[str], body: bytes, done: Callable[[Gathered], None]) -> tuple[int, bytes]:
        """Return the number of a new request, and what to send to all; ``done`` is told once.

        Args:
            hosts: that must answer; at least one.
            body: what is asked.
            done: told what came, and who is missing.
        """
        number = next(self._numbers)
        self._asked[number] = _Asked(hosts, done)
        return number, encode(RemoteRequest(_VERSION, self._host, number, body), limit=_MOST_BYTES)

    def expire(self, number: int) -> None:
        """The time of a request is over."""
        self._miss(number, None, "late", "did not reply in time")

    def fail(self, number: int, reason: str) -> None:
        """A request could not be sent."""
        self._miss(number, None, "failed", f"was not asked: {reason}")

    def present(self, hosts: Collection[str]) -> None:
        """Only these hosts are there."""
        for number, asked in list(self._asked.items()):
            for gone in [host for host in asked.waiting if host not in hosts]:
                self._miss(number, gone, "gone", "has gone before it replied")

    def close(self) -> None:
        """Hear nobody any more."""
        for number in list(self._asked):
            self.fail(number, "the worker that reaches other hosts leaves")

    def _miss(self, number: int, host: str | None, cause: str, reason: str) -> None:
        with self._lock:
            asked = self._asked.get(number)
            late = [] if asked is None else [one for one in asked.waiting if host in (None, one)]
            for one in late:
                assert asked is not None
                asked.waiting.discard(one)
                asked.missing.append(Missing(0, cause, f"the host {one} {reason}", one))
        self._look(number)

    def replied(self, data: bytes) -> None:
        """A reply has come."""
        reply = self._decoded(data, RemoteReply, self._refused)
        if reply is None:
            return
        with self._lock:
            asked = self._asked.get(reply.number)
            if asked is None or reply.host not in asked.waiting:
                return
            asked.waiting.discard(reply.host)
            asked.answers += [Answer(one.worker, one.value, reply.host) for one in reply.gathered.answers]
            asked.missing += [Missing(one.worker, one.cause, one.reason, reply.host) for one in reply.gathered.missing]
        self._look(reply.number)

    def _look(self, number: int) -> None:
        with self._lock:
            asked = self._asked.get(number)
            if asked is None or asked.waiting:
                return
            del self._asked[number]
        asked.done(Gathered(asked.answers, asked.missing))

    # --- answering -----------------------------------------------------------------------------

    def requested(self, data: bytes, send: Callable[[str, bytes], None]) -> None:
        """A request has come: answer it by ``send(host, reply)``; our own is none."""
        request = self._decoded(data, RemoteRequest, partial(self._refuse, send))
        if request is None or request.host == self._host:
            return

        def answered(gathered: Gathered) -> None:
            reply = RemoteReply(_VERSION, self._host, request.number, gathered)
            send(request.host, encode(reply, limit=_MOST_BYTES))

        self._answer(request.body, answered)

    def _refuse(self, send: Callable[[str, bytes], None], head: _Head) -> None:
        if head.host != self._host:
            missing = Missing(0, "failed", f"the host {self._host} does not speak version {head.version}", self._host)
            send(head.host, encode(RemoteReply(_VERSION, self._host, head.number, Gathered([], [missing]))))

    def _refused(self, head: _Head) -> None:
        self._miss(head.number, head.host, "failed", f"answers in version {head.version}, which is not spoken here")

    def _decoded(self, data: bytes, kind: type[_Kind], is_foreign: Callable[[_Head], None]) -> _Kind | None:
        try:
            head: _Head = decode(data, _Head)
            if head.version == _VERSION:
                message: _Kind = decode(data, kind)
                return message
            is_foreign(head)
        except FrameError:
            pass
        self.foreign += 1
        self._lost("foreign")
        return None
