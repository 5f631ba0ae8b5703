"""Envelopes between hosts, what waits for a server that is away."""

from __future__ import annotations

import logging
import socket

import pytest

from nodecluster_compat.sharing.bridge import MOST_KEPT, Bridge, Envelopes

LOG = logging.getLogger("test")


def test_envelopes() -> None:
    """Another host's is opened, our own is not; of another version, or broken, is counted."""
    ours, theirs = Envelopes(), Envelopes()
    assert theirs.open(ours.seal(b"payload")) == b"payload"
    assert ours.open(ours.seal(b"payload")) is None
    for broken in (b"", b"\x01short", b"\x02" + ours.seal(b"payload")[1:], "text", None):
        assert theirs.open(broken) is None
    assert (ours.foreign, theirs.foreign) == (0, 5)


def test_what_waits_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """A server that is not there costs so much memory; the oldest messages are lost, and counted; it ends at once."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{probe.getsockname()[1]}"
    bridge = Bridge(url, "test", lambda _: None, LOG)
    for number in range(MOST_KEPT + 100):
        bridge.publish(b"%d" % number)
    assert bridge.lost == 100
    for _ in range(50):
        bridge.publish(b"x" * 1024 * 1024)
    assert len(bridge._kept._items) <= 16
    bridge.end()
