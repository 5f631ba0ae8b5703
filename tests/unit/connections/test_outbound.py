"""What a worker says while the primary does not read: it waits, in its order, and nothing of it is lost or left."""

from __future__ import annotations

import _socket
import errno
import itertools
import logging
import os
import struct
from collections.abc import Iterator

import pytest
from own_descriptors import own_descriptors

from nodecluster_compat.base.loop import Loop
from nodecluster_compat.connections import outbound
from nodecluster_compat.connections.offers import connection_pair
from nodecluster_compat.connections.outbound import Outbound

MORE_THAN_FIT = 1000


class Rig:
    """A worker's end, whose loop is turned by hand, and the primary's, which reads when it is told to."""

    def __init__(self) -> None:
        self.primary, self.worker = connection_pair()
        self.loop = Loop(logging.getLogger("test"))
        self.out = Outbound(self.worker)
        self.out.attach(self.loop)
        self.fds = (os.open("/dev/null", os.O_RDONLY), os.open("/dev/null", os.O_RDONLY))

    def send(self, number: int) -> bool:
        return self.out.send(number.to_bytes(256, "big"), self.fds)

    def read(self) -> Iterator[int]:
        """Read what is there; two descriptors come with each."""
        while True:
            try:
                data, ancillary, _, _ = self.primary.recvmsg(256, _socket.CMSG_SPACE(8))
            except BlockingIOError:
                return
            for _, _, fds in ancillary:
                for fd in struct.unpack("2i", fds):
                    os.close(fd)
            assert ancillary
            yield int.from_bytes(data, "big")

    def read_all(self, most: int) -> list[int]:
        said: list[int] = []
        while len(said) < most:
            said += self.read()
            self.loop.run_once(0)
        return said


@pytest.fixture
def rig(no_leaks: None) -> Iterator[Rig]:
    made = Rig()
    yield made
    made.out.close()
    for fd in made.fds:
        os.close(fd)
    made.worker.close()
    made.primary.close()
    made.loop.close()


def test_what_does_not_fit_waits_in_its_order(rig: Rig) -> None:
    """What comes while something waits goes behind it, although the channel has room by then."""
    for number in range(MORE_THAN_FIT):
        assert rig.send(number)
    first = list(rig.read())
    assert len(first) < MORE_THAN_FIT
    assert rig.send(MORE_THAN_FIT)
    assert first + rig.read_all(MORE_THAN_FIT + 1 - len(first)) == list(range(MORE_THAN_FIT + 1))
    assert rig.send(7)  # as if nothing had been
    assert list(rig.read()) == [7]


def test_what_waits_goes_when_the_kernel_has_memory_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Descriptors under way are bounded for all of a user; the channel is writable all the while."""
    short = [OSError(errno.ETOOMANYREFS, "too many references")] * 2
    send = rig.out._send

    def failing(packet: bytes, fds: tuple[int, ...]) -> None:
        if short:
            raise short.pop()
        send(packet, fds)

    monkeypatch.setattr(rig.out, "_send", failing)
    assert rig.send(1)
    assert rig.send(2)
    assert rig.read_all(2) == [1, 2]
    assert short == []


def test_what_waits_is_closed_when_the_primary_is_gone(rig: Rig) -> None:
    for number in range(MORE_THAN_FIT):
        rig.send(number)
    held = len(own_descriptors())
    rig.primary.close()
    while len(own_descriptors()) > held - MORE_THAN_FIT:
        rig.loop.run_once(0)
    assert not rig.send(0)


def test_what_waits_is_sent_before_the_end(rig: Rig) -> None:
    sent = next(number for number in itertools.count() if rig.send(number) and rig.out._waiting)
    first = list(rig.read())
    rig.out.close()
    assert first + list(rig.read()) == list(range(sent + 1))


def test_what_the_primary_does_not_read_is_closed_at_the_end(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbound, "_LAST_SECONDS", 0.01)
    while not rig.out._waiting:
        rig.send(0)
    held = len(own_descriptors())
    rig.out.close()
    assert len(own_descriptors()) == held - len(rig.fds)


def test_without_a_loop_nothing_waits() -> None:
    primary, worker = connection_pair()
    out = Outbound(worker)
    assert not all(out.send(bytes(256)) for _ in range(MORE_THAN_FIT))
    primary.close()
    worker.close()
