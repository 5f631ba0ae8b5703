"""What the primary passes on from a worker to all: to whom, and what it does not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from exchange_peers import LOG, Peer, Timers

from nodecluster_compat.errors import FrameError
from nodecluster_compat.messages.frames import Frame, FrameKind
from nodecluster_compat.sharing.exchange import Exchange
from nodecluster_compat.sharing.wire import decode, encode
from nodecluster_compat.sharing.worker_peers import WorkerPeers


class Rig:
    """A primary with two workers, and what it hears of them."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, Frame]] = []
        self.exchange = Exchange(Timers(), LOG)
        workers = {number: SimpleNamespace(id=number) for number in (1, 2)}
        primary: Any = SimpleNamespace(
            registry=SimpleNamespace(by_id=workers),
            inbound=SimpleNamespace(frames=SimpleNamespace(on=lambda *_: None)),
            deliveries=SimpleNamespace(received=lambda *told: self.heard.append(told)),
            taps=[],
            when_leaving=[],
        )
        WorkerPeers(primary, self.exchange, LOG)
        self.primary, self.first, self.second = (Peer(number, self.exchange) for number in range(3))


VALUES = [b"x", {1: 2}, {None: 1}, {(1, 2): 3}, 53, None]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_broadcast_reaches_all_others_as_it_came(value: object) -> None:
    rig = Rig()
    rig.first.calls("broadcast", value)
    assert (rig.first.sent, rig.second.sent) == ([], [("broadcast", value)])
    [(worker, frame)] = rig.heard
    assert (worker.id, frame.kind, decode(frame.payload)) == (1, FrameKind.CALL, value)


def test_a_broadcast_of_the_primary_reaches_all_workers() -> None:
    rig = Rig()
    rig.primary.calls("broadcast", "hello")
    assert rig.first.sent == rig.second.sent == [("broadcast", "hello")]
    assert rig.heard == []


def test_a_worker_that_does_not_read_misses_it() -> None:
    """Counted, as what is published is."""
    rig = Rig()
    rig.second.reads = False
    rig.first.calls("broadcast", "hello")
    assert rig.exchange.fan_out.lost == {"slow_worker": 1}


def test_what_is_too_large_for_all_closes_the_channel_of_its_sender() -> None:
    """Its own side would have refused it."""
    rig = Rig()
    body = encode("x" * 5_000_000, limit=10_000_000)
    with pytest.raises(FrameError, match="cannot be passed on"):
        rig.exchange.call(1, 0, "broadcast", body)
    assert (rig.second.sent, rig.heard) == ([], [])
