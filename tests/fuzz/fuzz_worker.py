"""A worker that says anything on both of its channels to a real primary, which must not notice more than its end."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterable
from typing import Any, Final

from fuzz_targets import _FRAMES, Target

from nodecluster_compat.base.emitter import Emitter
from nodecluster_compat.base.loop import Loop
from nodecluster_compat.base.records import ExitStatus
from nodecluster_compat.connections.packets import PACKET_BYTES, PacketKind, encode_packet
from nodecluster_compat.messages.advanced import ADVANCED
from nodecluster_compat.roles.primary import Primary

__all__ = ["WORKER"]


class _Log:
    """Fails on what the primary only logs when something is wrong with itself."""

    def debug(self, *_: Any) -> None:
        """A line that does not matter."""

    info = warning = error = debug

    def exception(self, message: str, *args: Any) -> None:
        """An exception that a worker has caused in the primary."""
        raise SystemError(message % args) from None


class _Host:
    """The server around the primary: there is none."""

    def __getattr__(self, _: str) -> Any:
        return lambda *args: None

    def is_dealing(self) -> bool:
        return True

    def message_limit(self) -> int:
        return 1 << 16

    def is_binding(self) -> bool:
        return False


class _Stage:
    """One primary for all inputs, and a new worker for each."""

    made: _Stage | None = None

    def __init__(self) -> None:
        self.loop = Loop(_Log())
        self.events = Emitter()
        self.primary = Primary(_Host(), self.loop, self.events, _Log(), 0, 4)  # type: ignore[arg-type]
        self.heard: list[Any] = []
        for event in ("online", "listening", "message", "disconnect", "exit"):
            self.events.on(event, lambda worker, *args, event=event: self.heard.append((event, *args)))

    @classmethod
    def get(cls) -> _Stage:
        if cls.made is None:
            cls.made = cls()
        return cls.made

    def say(self, advanced: bool, frames: bytes, packets: Iterable[bytes]) -> None:
        """Let a worker say this, read what it is told, and die."""
        worker = self.primary.new_worker()
        if advanced:
            worker.line.serializer = ADVANCED
        ends = self.primary._child_ends[worker.id]
        messages = socket.socket(fileno=os.dup(ends.messages.fileno()))
        connections = socket.socket(fileno=os.dup(ends.connections.fileno()))
        self.primary.started(worker, 1_000_000 + worker.id)
        with messages, connections:
            messages.setblocking(False)
            connections.setblocking(False)
            with contextlib.suppress(OSError):
                messages.send(frames)
                for packet in packets:
                    connections.send(packet.ljust(PACKET_BYTES, b"\0"))
            for _ in range(4):
                self.loop.run_once(0)
        self.primary.reaped(worker, ExitStatus(None, "SIGKILL"))
        for _ in range(2):
            self.loop.run_once(0)


def check_worker(data: bytes) -> None:
    """Nothing raises in the primary; the worker's last events come, in order; no descriptor and no worker is kept."""
    stage = _Stage.get()
    stage.heard.clear()
    before = len(os.listdir("/proc/self/fd"))
    split = data[1] if len(data) > 1 else 0
    packets = [data[2 + 5 * n : 7 + 5 * n] for n in range(split % 4)]
    stage.say(bool(data[:1] and data[0] & 1), data[2 + 5 * len(packets) :], packets)
    names = [event for event, *_ in stage.heard]
    assert names[-2:] == ["disconnect", "exit"]
    assert names.count("disconnect") == names.count("exit") == 1
    assert not stage.primary.registry.by_id
    for event, *args in stage.heard:
        if event == "message" and args[1] is not None:
            args[1].close()
    assert len(os.listdir("/proc/self/fd")) <= before  # what an earlier test left may be collected meanwhile


_SEEDS: Final = [
    b"\0\0" + b"".join((_FRAMES[2][:5], _FRAMES[3], _FRAMES[0], _FRAMES[1])),
    b"\0\1" + encode_packet(PacketKind.TAKEN, 0)[:5] + _FRAMES[2],
    b"\0\2" + encode_packet(PacketKind.ROOM, 1)[:5] + encode_packet(PacketKind.LEAVE)[:5] + b"".join(_FRAMES[2:]),
    b"\1\0" + _FRAMES[2][:5] + b"\0\0\0\x05\x01" + ADVANCED.encode([1])[:5],
    *(b"\0\0" + frame for frame in _FRAMES),
]
WORKER: Final[dict[str, Target]] = {
    "worker": Target(check_worker, _SEEDS, [*_FRAMES, b"\0\0\0\0\2", b"\0\0\0\0\5", b"\0\0\0\1\1", b"\xff\xff\xff\xff"])
}
