"""Exchange what processes publish and ask of each other: the middle of the sharing, in the primary.

    publish:  a process ──PUBLISH──▶ fan-out ──the same bytes──▶ each process that wants the topic
    call:     a process ──CALL─────▶ exchange: verbs in a table ──RETURN──▶ the process
    ask:      a process ──CALL ask─▶ exchange ──CALL──▶ who must answer ──RETURN──▶ gathered ──RETURN──▶ the process
    send:     a verb ──CALL, which wants no RETURN──▶ several processes

``fan_out`` passes on what is published; what processes call, and ask of each other, is here.

A process is a :class:`Peer`: a worker, or the primary itself (0).  A capability adds its verbs by
``exchange.verbs.on(verb, handler)``.  No worker is trusted: what makes no sense raises ``FrameError``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Protocol

from msgspec import Struct

from ..base.log import Log
from ..errors import FrameError
from .asked_processes import AskedProcesses, Timers
from .fan_out import FanOut, Receiver
from .outcomes import Failure, Gathered
from .verbs import PRIMARY, UNASKED, Caller, Moment, Returning, Verbs
from .wire import NO_RETURN, decode_call, decode_return, encode, encode_call

__all__ = ["Ask", "Exchange", "Peer"]

_MOST_CALLS: Final = 4096


class Peer(Caller, Receiver, Protocol):
    """A process that takes part."""

    def send(self, frame: bytes, verb: str, body: bytes, is_bounded: bool) -> bool:
        """Pass on a call that wants no answer; return whether it was taken, as it is where there is no bound."""


class Ask(Struct, array_like=True, frozen=True):
    """The arguments of ``ask``: of whom, by which verb, what, and how long."""

    target: int | str | None
    verb: str
    body: bytes
    seconds: float | None


class Exchange:
    """The middle of the sharing.

    Args:
        timers: of the loop that it runs on.
        log: told when a process is too slow.
        is_alone: whether there is no cluster, and this process does what workers do.

    Attributes:
        verbs: the table of calls; a door for capabilities.
        when_told: told of what becomes of a worker, by :class:`Moment` and id; a door, too.
        fan_out: passes on what is published; ``publish`` and ``publish_run`` are its methods.
        gather, give: those of :class:`~nodecluster_compat.sharing.asked_processes.AskedProcesses`.
    """

    def __init__(self, timers: Timers, log: Log, is_alone: bool = False) -> None:
        self._is_alone = is_alone
        self.verbs = Verbs()
        self.when_told: list[Callable[[Moment, int], None]] = []
        self.timers = timers
        self._peers: dict[int, Peer] = {}
        self._open: dict[int, set[Returning]] = {}  # calls of each that are not answered yet
        self.fan_out = FanOut(self.verbs, self._peers, log)
        self.publish = self.fan_out.publish
        self.publish_run = self.fan_out.publish_run
        self._asking = AskedProcesses(timers, self._peers.get)
        self.gather = self._asking.gather
        self.give = self._asking.give
        self.verbs.on("ask", Ask, self._ask)
        self.verbs.on("nothing", None, lambda _, __, returning: returning.value(None))  # what came before was passed on

    # --- who is there --------------------------------------------------------------------------

    @property
    def workers(self) -> list[int]:
        """The ids of the workers that are there."""
        return [one for one in self._peers if self._is_alone or one != PRIMARY]

    def join(self, peer: Peer) -> None:
        """A process is there."""
        self._peers[peer.id], self._open[peer.id] = peer, set()
        self.tell("joined", peer.id)

    def leave(self, peer: int) -> None:
        """A process has gone: what is asked of it fails, what it has asked interests nobody."""
        if self._peers.pop(peer, None) is None:
            return
        self._open.pop(peer).clear()
        self.fan_out.forget(peer)
        self._asking.left(peer)
        self.tell("left", peer)

    def tell(self, moment: Moment, peer: int) -> None:
        """Something becomes of a worker."""
        for told in self.when_told:
            told(moment, peer)

    def ask(self, peer: int, verb: str, arguments: object, done: Callable[[bool], None] | None = None) -> None:
        """Ask one process for a verb; ``done`` hears whether that was done."""
        body = encode(arguments)
        self.gather([peer], verb, body, None, lambda gathered: done(not gathered.missing) if done else None)

    def send(self, targets: Iterable[int], verb: str, body: bytes, *, is_bounded: bool = True) -> None:
        """Call a verb of several processes, and want no answer.

        Args:
            targets: their ids; one that is not there misses nothing.
            verb: of theirs.
            body: the arguments, encoded.
            is_bounded: whether one that does not read misses it, as it does what is published.
        """
        frame = encode_call(NO_RETURN, verb, body)
        for target in targets:
            peer = self._peers.get(target)
            if peer is not None and not peer.send(frame, verb, body, is_bounded):
                self.fan_out.miss(target)

    # --- calls ---------------------------------------------------------------------------------

    def called(self, peer: int, payload: bytes | bytearray) -> None:
        """A process calls.

        Raises:
            FrameError: the payload holds no call.
        """
        self.call(peer, *decode_call(payload))

    def call(self, peer: int, number: int, verb: str, body: bytes | bytearray) -> None:
        """As :meth:`called`, already decoded."""
        caller = self._peers.get(peer)
        if caller is None:
            return
        if number == NO_RETURN:
            self.verbs.call(caller, verb, body, UNASKED)
            return
        waiting = self._open[peer]
        returning = Returning(caller, number, waiting)
        if len(waiting) > _MOST_CALLS:
            returning.failure(Failure("failed", f"{_MOST_CALLS} calls of this worker wait already"))
        else:
            self.verbs.call(caller, verb, body, returning)

    def returned(self, peer: int, payload: bytes | bytearray) -> None:
        """A process answers; what it was not asked is ignored.

        Raises:
            FrameError: the payload holds no answer.
        """
        number, is_done, body = decode_return(payload)
        self.give(peer, number, is_done, body)

    # --- asking others -------------------------------------------------------------------------

    def _ask(self, peer: Caller, asked: Ask, returning: Returning) -> None:
        self.ask_here(asked, returning.value)

    def ask_here(self, asked: Ask, done: Callable[[Gathered], None]) -> None:
        """Ask those of this host whom a process wants to ask; ``done`` is told as by :meth:`gather`.

        Raises:
            FrameError: it asks for what it must not.
        """
        if not _is_time(asked.seconds):
            raise FrameError("a worker asks for an answer in a time that is none")
        if asked.verb not in ("asked", "run"):
            raise FrameError(f"a worker asks others for {asked.verb!r}, which only the primary does")
        self.gather(self._targets(asked.target), asked.verb, asked.body, asked.seconds, done)

    def _targets(self, target: int | str | None) -> list[int]:
        if isinstance(target, int):
            return [target]
        return self.workers if target is None else list(self.fan_out.wanting(target))


def _is_time(seconds: float | None) -> bool:
    return seconds is None or 0 < seconds < float("inf")
