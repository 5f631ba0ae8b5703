"""Do to a channel what some bytes say, and write down what becomes of it: in C and in Python it is the same."""

from __future__ import annotations

import _socket
import array
import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from typing import Any, Final

from manual_clock import ManualClock

from nodecluster_compat.base.loop import Loop
from nodecluster_compat.base.native import Choice
from nodecluster_compat.errors import ClusterError, FrameError
from nodecluster_compat.messages import writer as channel_writer
from nodecluster_compat.messages.channel import Channel
from nodecluster_compat.messages.frames import LARGE_BYTES, Frame, FrameDecoder, FrameKind, encode_frame
from nodecluster_compat.messages.line import Line

__all__ = ["Limit", "heard", "sent"]

Limit = Callable[[int, int, int], object]
"""Let a socket, whose descriptor comes first, take so many bytes more than the second one has read."""

_LOG: Final = logging.getLogger("messages twice")
_LOG.addHandler(logging.NullHandler())
_LOG.propagate = False
_MOST_BYTES: Final = 100_000
_LIMIT: Final = 60_000
_UNREAD_BYTES: Final = 4000  # that a socket takes where it is limited: two small frames
_WIDE_BYTES: Final = 1 << 20  # for the kernel to take whatever the limit lets through
_TURNS: Final = 40
_REST: Final = 0.1  # at most, which a reader takes that has had its share of the time


class _Loops:
    """A loop, which is used again while nothing is left in it: to make one costs as much as a short input."""

    kept: Loop | None = None

    @classmethod
    def take(cls) -> Loop:
        loop, cls.kept = cls.kept or Loop(_LOG), None
        return loop

    @classmethod
    def give_back(cls, loop: Loop) -> None:
        if loop._soon or loop._timers or loop._writers or len(loop._readers) > 1 or cls.kept is not None:
            loop.close()
        else:
            cls.kept = loop


class _Hearing:
    """A channel, and what is heard on it."""

    def __init__(self, choice: Choice) -> None:
        self.loop = _Loops.take()
        self.far, ours = _socket.socketpair()
        self.far.setblocking(False)
        self.told: list[Any] = []
        self.channel = Channel(ours, self._frame, self._closed, max_message=_LIMIT, choice=choice)
        if choice.module is not None:
            self.channel.take_messages_by(self._message)
            self.channel.take_published_by(self._run)
        self.channel.attach(self.loop)

    def _message(self, payload: bytes) -> bool:
        """Take some, and leave the others to be told as frames."""
        if len(payload) % 3:
            return False
        self._tell(FrameKind.MESSAGE, payload, None)
        return True

    def _run(self, run: bytes) -> bool:
        """Take some, and leave the others to be told one by one, as whatever its handler would not do quietly."""
        frames = list(FrameDecoder().feed(run))
        if len(run) % 3 == 0 or any(frame.payload[:1] in (b"!", b"?", b"p") for frame in frames):
            return False
        for frame in frames:
            self._frame(frame)
        return True

    def _frame(self, frame: Frame) -> None:
        self._tell(frame.kind, bytes(frame.payload), frame.fd)

    def _tell(self, kind: FrameKind, payload: bytes, fd: int | None) -> None:
        self.told.append((kind, payload, fd is not None))
        if fd is not None:
            os.close(fd)
        if payload[:1] == b"!":
            raise FrameError("a handler has refused it")
        if payload[:1] == b"?":
            raise ValueError("a bug")
        if payload[:1] == b"p":
            self.channel.pause_reading()

    def _closed(self, error: ClusterError | None) -> None:
        self.told.append(("closed", str(error)))

    def turn(self) -> None:
        """Let the channel read all that has come, and that it wants."""
        for _ in range(_TURNS):
            self.loop.run_once(_REST if self.loop._timers else 0)
            if not self.loop._soon and not self.loop._timers and not self.loop._epoll.poll(0):
                return

    def drain(self) -> None:
        is_drained = False
        while not is_drained:
            with contextlib.suppress(ValueError):
                self.channel.drain()
                is_drained = True

    def close(self) -> None:
        self.channel.close()
        self.far.close()
        _Loops.give_back(self.loop)


def _pieces(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Cut an input: a byte says what is done, the next one how long the piece is."""
    while data:
        deed, size = data[0], data[1] if len(data) > 1 else 0
        yield deed, data[2 : 2 + size]
        data = data[2 + size :]


def _bytes_of(deed: int, piece: bytes) -> bytes:
    """What travels: as it is, as a frame, as many of them, as a large one, or as one in two parts."""
    kind = FrameKind(1 + (len(piece) % len(FrameKind))) if deed & 8 else FrameKind.MESSAGE
    ways: tuple[Callable[[], bytes], ...] = (
        lambda: piece,
        lambda: encode_frame(kind, piece),
        lambda: encode_frame(kind, piece) * (140 if deed & 4 else 2),
        lambda: encode_frame(kind, piece * (LARGE_BYTES * (3 if deed & 4 else 1) // max(1, len(piece)) + 1)),
    )
    return ways[deed & 3]()


def _with_descriptors(sock: _socket.socket, data: bytes, count: int) -> None:
    reading, writing = os.pipe()
    rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array.array("i", [reading] * count))
    with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
        sock.sendmsg([data], [rights])
    os.close(reading)
    os.close(writing)


def _in_parts(rig: _Hearing, data: bytes, size: int) -> None:
    """Send so many bytes, and the others once these were read."""
    with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
        rig.far.send(data[:size])
        if data[size:]:
            rig.turn()
            rig.far.send(data[size:])


def heard(data: bytes, choice: Choice) -> list[Any]:
    """Let bytes come, as an input says; return what was heard of them."""
    rig, written = _Hearing(choice), 0
    for deed, piece in _pieces(data):
        came = _bytes_of(deed, piece)
        written += len(came)
        if written > _MOST_BYTES:
            break
        if deed & 0x30 == 0x30 and came:
            _with_descriptors(rig.far, came, 1 + (deed & 1))
        else:
            _in_parts(rig, came, LARGE_BYTES if deed & 0x10 else len(came))
        if deed & 0x40:
            rig.turn()
        if deed & 0x80:
            rig.channel.resume_reading()
    rig.turn()
    rig.channel.resume_reading()
    rig.turn()
    rig.drain()
    rig.close()
    return rig.told


class _Sending:
    """A line, and what arrives of it.

    Args:
        choice: C or Python.
        clock: what says when frames come fast.
        limit: called with both descriptors and bytes: the first takes so many more than the second has read; without
            it the kernel has its own idea, which depends on the sizes of the calls.
    """

    def __init__(self, choice: Choice, clock: ManualClock, limit: Limit | None) -> None:
        self.loop = _Loops.take()
        ours, self.far = _socket.socketpair()
        ours.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDBUF, 1)
        self.far.setblocking(False)
        self.told: list[Any] = []
        self.decoder, self.reads = FrameDecoder(), True
        self.channel = Channel(ours, lambda frame: None, self._closed, max_queued=100 * _LIMIT, choice=choice)
        if limit is not None:  # behind the channel, which has asked how long a frame may be by then
            ours.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDBUF, _WIDE_BYTES)
            limit(ours.fileno(), self.far.fileno(), _UNREAD_BYTES)
        self.line = Line(self.channel, _LOG, limit=20_000, choice=choice)
        if self.line.send_quickly is not None:
            self.line.send_quickly.clock = clock.monotonic  # type: ignore[attr-defined]
        self.line.attach(self.loop)
        self.arrived: list[tuple[FrameKind, bytes]] = []

    def _closed(self, error: ClusterError | None) -> None:
        self.told.append(("closed", type(error)))
        self.line.closed()

    def send(self, message: Any, callback: Callable[..., Any] | None = None) -> None:
        """As ``WorkerHandle.send``."""
        payload = None
        if callback is None and self.line.send_quickly is not None:
            sent = self.line.send_quickly(message)
            if isinstance(sent, bool):
                self.told.append(sent)
                return
            payload = sent
        try:
            self.told.append(self.line.send(message, None, False, callback, self._failed, payload))
        except ClusterError as error:
            self.told.append(type(error))

    def _failed(self, error: object) -> None:
        self.told.append(type(error))

    def pass_handle(self) -> None:
        """Pass a socket of TCP: where one of a unix domain is under way, the kernel looks for cycles at each close."""
        one = _socket.socket()
        with contextlib.suppress(ClusterError):
            self.line.send("with a handle", one, False, None, self._failed)
        one.close()

    def read(self) -> None:
        """Let the receiver catch up."""
        for _ in range(_TURNS * 20):
            self.loop.run_once(0)
            try:
                data, ancillary, _, _ = self.far.recvmsg(1 << 16, 1000)
            except (BlockingIOError, ConnectionResetError):
                return
            for _, _, rights in ancillary:
                for fd in array.array("i", rights):
                    os.close(fd)
            if not data:
                return
            if self.reads:
                self.arrived += [(frame.kind, bytes(frame.payload)) for frame in self.decoder.feed(data)]


def _message(deed: int, piece: bytes) -> Any:
    if deed & 0x40:
        return "x" * (70 * len(piece))
    return {"n": len(piece), "text": piece.decode("latin-1")} if deed & 0x20 else object() if deed & 0x80 else None


def sent(data: bytes, choice: Choice, reads: bool = True, limit: Limit | None = None) -> list[Any]:
    """Send as an input says; return what senders were told, and what has arrived where that is to be read."""
    clock = ManualClock()
    outer, channel_writer.time = channel_writer.time, clock  # type: ignore[assignment]
    rig = _Sending(choice, clock, limit)
    rig.reads = reads
    deeds: tuple[Callable[[int, bytes], object], ...] = (
        lambda deed, piece: rig.send(_message(deed, piece)),
        lambda deed, piece: [rig.send(_message(deed, piece)) for _ in range(40)],
        lambda deed, piece: rig.send(_message(deed, piece), lambda error: rig.told.append(type(error))),
        lambda deed, piece: rig.line.send_own(encode_frame(FrameKind.DUE, piece)),
        lambda deed, piece: rig.loop.run_once(0),
        lambda deed, piece: rig.read(),
        lambda deed, piece: setattr(clock, "now", clock.now + len(piece) * 0.0005),
        lambda deed, piece: rig.pass_handle(),
        lambda deed, piece: rig.line.taken(),
        lambda deed, piece: rig.line.flush(0.0),
        lambda deed, piece: rig.channel.close() if len(piece) > 60 else channel_writer.write_collected(),
        lambda deed, piece: rig.far.send(encode_frame(FrameKind.DUE)) if rig.channel.is_open else None,
    )
    try:
        for deed, piece in _pieces(data):
            deeds[(deed & 0x1F) % len(deeds)](deed, piece)
        rig.read()
        waiting = rig.channel.queued_bytes
        rig.channel.close()
        rig.read()
    finally:
        channel_writer.time = outer
        if limit is not None:
            limit(-1, -1, 0)
        rig.far.close()
        _Loops.give_back(rig.loop)
    return [*rig.told, *rig.arrived, waiting]
