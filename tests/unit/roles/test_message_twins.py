"""The compiled twins of who delivers messages: told what the Python ones are told, they tell the same, and leave it."""

from __future__ import annotations

import _socket
import contextlib
import logging
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, Final, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nodecluster_compat.base.emitter import Emitter
from nodecluster_compat.base.handlers import Handlers
from nodecluster_compat.base.native import PYTHON, Choice, in_force
from nodecluster_compat.errors import FrameError
from nodecluster_compat.messages.arrived import ArrivedMessages
from nodecluster_compat.messages.channel import Channel
from nodecluster_compat.messages.frames import Frame, FrameKind
from nodecluster_compat.messages.line import Line
from nodecluster_compat.roles import inbox as inbox_module
from nodecluster_compat.roles.deliveries import Deliveries
from nodecluster_compat.roles.inbox import Inbox

pytestmark = pytest.mark.skipif(in_force().module is None, reason=str(in_force()))

LOG: Final = logging.getLogger("test")
PAYLOADS = st.sampled_from([b"1", b'{"a": [1]}', b'"leave"', b"{", b"null"])


class Rig:
    """Two ends, emitters to listen on, and what was told."""

    def __init__(self, choice: Choice) -> None:
        near, self.far = _socket.socketpair()
        self.told: list[Any] = []
        self.channel = Channel(near, lambda _: None, lambda _: None, choice=choice)
        self.line = Line(self.channel, LOG, choice=choice)
        self.emitters = [Emitter(), Emitter(), Emitter()]
        self.table: Handlers[Any, Frame] = Handlers("nobody wants")
        self.quick: Callable[[bytes], bool] | None = None

    def listen(self, which: int) -> None:
        emitter, name = self.emitters[which], f"{which}.{self.emitters[which].listener_count('message')}"

        def hear(*args: object) -> None:
            self.told.append((name, *args))
            if "leave" in args:
                raise SystemExit

        emitter.on("message", hear)

    def observe(self, which: int) -> None:
        """As a program that wants to see all events."""
        emitter: Any = self.emitters[which]
        emit = emitter.emit

        def observed(event: str, *args: object) -> bool:
            if event == "message":
                self.told.append((f"{which} emits", *args))
            result: bool = emit(event, *args)
            return result

        emitter.emit = observed

    def observe_all(self, patch: pytest.MonkeyPatch) -> None:
        """As a program that replaces the method of the class."""
        emit = Emitter.emit

        def observed(emitter: Emitter, event: str, *args: object) -> bool:
            if event == "message":
                self.told.append(("emitted", *args))
            return emit(emitter, event, *args)

        patch.setattr(Emitter, "emit", observed)

    def interrupt(self) -> None:
        """By a serializer that lets through what is no error of it."""
        decode = self.line.serializer.decode

        def interrupted(payload: bytes) -> Any:
            if payload == b"null":
                raise KeyboardInterrupt
            return decode(payload)

        self.line.serializer = cast("Any", SimpleNamespace(decode=interrupted, encode=self.line.serializer.encode))

    def come(self, payload: bytes) -> None:
        """As whoever reads the channel."""
        try:
            if self.quick is None or not self.quick(payload):
                self.table.handle(SENDER, Frame(FrameKind.MESSAGE, payload))
        except (FrameError, SystemExit, KeyboardInterrupt) as error:
            self.told.append(type(error))

    def wrap(self) -> None:
        def wrapped(handler: Callable[[Any, Frame], None]) -> Callable[[Any, Frame], None]:
            return lambda sender, frame: (self.told.append("wrapped"), handler(sender, frame))[1]

        self.table.wrap(FrameKind.MESSAGE, wrapped)

    def close(self) -> None:
        self.channel.close()
        self.far.close()


class Sender(Emitter):
    """A worker, as those see it who deliver."""


SENDER: Final = Sender()


def received(deeds: list[tuple[int, bytes]], choice: Choice) -> list[Any]:
    """Let messages come to a worker; return what was told, and what is left."""
    rig = Rig(choice)
    inbox = Inbox(rig.line, (rig.emitters[0], rig.emitters[1]), LOG)
    rig.table.on(FrameKind.MESSAGE, inbox.received)
    deliveries: list[Iterator[None]] = []

    def deliver(take: Callable[[], Frame | None], tell: Callable[[Frame], None]) -> None:
        def steps() -> Iterator[None]:
            while (frame := take()) is not None:
                yield
                tell(frame)

        deliveries.append(steps())

    inbox.attach(
        cast("Any", SimpleNamespace(lock=nullcontext(), deliver=deliver, call_soon=lambda call, *args: call(*args)))
    )
    rig.quick = inbox.quickly(rig.table, choice)
    slice_ended = getattr(rig.quick, "slice_ended", inbox.slice_ended)

    def go_on(steps: int) -> None:
        for _ in range(steps):
            for each in list(deliveries):
                try:
                    next(each)
                except StopIteration:
                    deliveries.remove(each)
                except (FrameError, SystemExit, KeyboardInterrupt) as error:
                    rig.told.append(type(error))
                    deliveries.remove(each)

    ways: list[Callable[[bytes], object]] = [
        rig.come,
        lambda payload: [rig.come(payload) for _ in range(7)],
        lambda payload: slice_ended(),
        lambda payload: go_on(len(payload)),
        lambda payload: rig.listen(0),
        lambda payload: rig.listen(1),
        lambda payload: rig.emitters[0].remove_all_listeners("message"),
        lambda payload: rig.emitters[1].remove_all_listeners(),
        lambda payload: rig.wrap() if payload == b"null" else None,
        lambda payload: inbox.received(None, Frame(FrameKind.MESSAGE, bytearray(payload))),
        lambda payload: rig.observe(len(payload) % 2),
        lambda payload: rig.interrupt(),
        lambda payload: inbox.received(None, Frame(FrameKind.CALL, payload[:1])),  # MessagePack, and JSON all the same
    ]
    for deed, payload in deeds:
        ways[deed](payload)
    left = [(bytes(frame.payload), frame.kind) for frame in inbox._arrived.frames]
    rig.close()
    return [*rig.told, left, inbox._arrived.bytes_waiting, inbox._is_paused, inbox._is_delivering]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), PAYLOADS), max_size=40))
@example([(4, b"1"), (5, b"1"), (1, b"1"), (2, b"1"), (3, b'{"a": [1]}'), (6, b"1"), (7, b"1"), (3, b"null")])
@example([(4, b"1"), (0, b'"leave"'), (0, b"1"), (2, b"1"), (3, b"null"), (2, b"1"), (3, b"null")])
@example([(4, b"1"), (0, b"{"), (2, b"1"), (3, b"null"), (0, b"1"), (2, b"1"), (3, b"null")])
@example([(4, b"1"), (10, b"1"), (10, b"null"), (0, b"1"), (2, b"1"), (3, b"null")])
@example([(4, b"1"), (12, b"1"), (0, b"1"), (2, b"1"), (3, b"null")])
@example([(4, b"1"), (11, b"1"), (0, b"null"), (2, b"1"), (3, b"null"), (0, b"1"), (2, b"1"), (3, b"null")])
def test_worker_is_told_the_same(deeds: list[tuple[int, bytes]]) -> None:
    """Whoever listens, comes or goes, ends or sends no JSON; also where so much waits that reading pauses."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inbox_module, "_MOST_WAITING", 5)
        assert received(deeds, in_force()) == received(deeds, PYTHON)


def delivered(deeds: list[tuple[int, bytes]], choice: Choice) -> list[Any]:
    """Let messages of a worker come to the primary; return what was told, and what is left."""
    with pytest.MonkeyPatch.context() as patch:
        return _delivered(deeds, choice, patch)


def _delivered(deeds: list[tuple[int, bytes]], choice: Choice, patch: pytest.MonkeyPatch) -> list[Any]:
    rig = Rig(choice)
    soon: list[Callable[[], None]] = []
    registry = SimpleNamespace(by_id={})
    deliveries = Deliveries(
        cast("Any", registry), cast("Any", SimpleNamespace(call_soon=soon.append)), rig.emitters[0], LOG, lambda: True
    )
    worker: Any = rig.emitters[1]
    worker.id, worker.line, worker.process = 1, rig.line, rig.emitters[2]
    worker.early_messages = ArrivedMessages("a worker", LOG)
    registry.by_id[1] = worker
    rig.table.on(FrameKind.MESSAGE, lambda _, frame: deliveries.received(worker, frame))
    for emitter in rig.emitters[1:]:
        deliveries.watch(emitter)
    rig.quick = deliveries.quickly(worker, rig.table, choice)

    def tap(_: object, frame: Frame) -> None:
        rig.told.append(("tap", bytes(frame.payload)))

    def turn() -> None:
        while soon:
            with contextlib.suppress(SystemExit, KeyboardInterrupt):
                soon.pop()()

    ways: list[Callable[[bytes], object]] = [
        rig.come,
        rig.come,
        lambda payload: turn(),
        lambda payload: rig.listen(0),
        lambda payload: rig.listen(1),
        lambda payload: rig.listen(2),
        lambda payload: rig.emitters[len(payload) % 3].remove_all_listeners("message"),
        lambda payload: setattr(deliveries, "received_tap", tap if payload == b"1" else None),
        lambda payload: rig.wrap() if payload == b"null" else None,
        lambda payload: rig.emitters[1].remove_all_listeners(),
        lambda payload: rig.observe(len(payload) % 3),
        lambda payload: rig.interrupt(),
        lambda payload: deliveries.received(worker, Frame(FrameKind.CALL, payload[:1])),
        lambda payload: rig.observe_all(patch) if payload == b"1" else patch.undo(),
    ]
    for deed, payload in deeds:
        ways[deed](payload)
    told = [
        tuple("worker" if part is worker else part for part in one) if isinstance(one, tuple) else one
        for one in rig.told
    ]
    left = [bytes(frame.payload) for frame in worker.early_messages.frames]
    rig.close()
    return [*told, left]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 13), PAYLOADS), max_size=40))
@example([(3, b"1"), (4, b"1"), (5, b"1"), (0, b'{"a": [1]}'), (7, b"1"), (0, b"1"), (7, b"null"), (0, b"{")])
@example([(0, b"1"), (4, b"1"), (0, b"null"), (2, b"1"), (0, b'"leave"'), (0, b"1")])
@example([(4, b"1"), (10, b"1"), (10, b"null"), (0, b"1")])
@example([(4, b"1"), (0, b"1"), (13, b"1"), (0, b"1"), (13, b"null"), (0, b"1")])
@example([(4, b"1"), (11, b"1"), (0, b"null"), (0, b"1")])
def test_primary_is_told_the_same(deeds: list[tuple[int, bytes]]) -> None:
    """Whoever listens, comes or goes, ends or sends no JSON; a tap hears all of it first."""
    assert delivered(deeds, in_force()) == delivered(deeds, PYTHON)
