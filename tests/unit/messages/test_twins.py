"""The compiled twins of reading and writing: what they are told is told the Python ones, and both leave the same."""

from __future__ import annotations

import _socket
import logging
from typing import cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from messages_twice import heard, sent

from nodecluster_compat.base.loop import Loop
from nodecluster_compat.base.native import PYTHON, Native, in_force
from nodecluster_compat.messages.channel import Channel
from nodecluster_compat.messages.frames import FrameDecoder, FrameKind
from nodecluster_compat.messages.line import Line

pytestmark = pytest.mark.skipif(in_force().module is None, reason=str(in_force()))

SIZES = st.integers(0, 80)
DEEDS = st.tuples(st.integers(0, 255), st.one_of(st.binary(max_size=80), SIZES.map(lambda size: b"!" * size)))
INPUTS = st.lists(DEEDS, max_size=14).map(
    lambda deeds: b"".join(bytes([deed, len(piece)]) + piece for deed, piece in deeds)
)


@settings(deadline=None)
@given(INPUTS)
@example(b"\x42\x03abc")  # 140 frames at once: two slices
@example(b"\x43\x05large\x41\x03abc")
@example(b"\x00\x03\x00\x00\x00\x40\x03\x03\x01a\x40\x02bc")  # a frame in three parts
@example(b"\x41\x01?\x42\x01?\x41\x03abc")  # a handler with a bug
@example(b"\x17\x05large\x41\x03abc")  # a large one in two parts
@example(b"\x17\x01!\x41\x03abc")
@example(b"\x1f\x08handles.\x41\x03abc")  # one that should have a descriptor
@example(b"\x17\x01?\x47\x05large\x41\x03abc")
@example(b"\x71\x08handles.\x41\x03abc")
@example(b"\x42\x01p\x41\x03abc\x81\x03abc")
@example(b"\x40\x08\x00\x00\x00\x00\x63abc")  # an unknown kind
@example(b"\x40\x05\xff\xff\xff\xff\x01")  # too long
@example(b"\x41\x01!\x41\x03abc")
@example(b"\x0a\x10" + b"x" * 16 + b"\x41\x03abc")  # 140 frames that publish: taken together
@example(b"\x0a\x23" + b"y" * 35 + b"\x41\x03abc")  # as many, another time
@example(b"\x0a\x10" + b"?" * 16 + b"\x41\x03abc")  # one by one, and a handler with a bug
@example(b"\x09\x10" + b"x" * 16 + b"\x09\x10" + b"p" * 16 + b"\x09\x10" + b"x" * 16 + b"\xc1\x03abc")
def test_both_hear_the_same(data: bytes) -> None:
    """However bytes are cut and whatever handlers do: the same frames, in order, and the same end."""
    assert heard(data, in_force()) == heard(data, PYTHON)


@settings(deadline=None)
@given(INPUTS)
@example(b"\x21\x03abc\x21\x03abc\x04\x00\x05\x00")
@example(b"\x21\x03abc\x61\x50" + b"x" * 80 + b"\x21\x03abc\x05\x00")  # the kernel takes no more
@example(b"\x21\x03abc\x22\x03abc\x23\x03abc\x21\x03abc\x05\x00")  # a callback and a frame of the runtime's between
@example(b"\x07\x00\x21\x03abc\x08\x00\x21\x03abc")  # behind a handle
@example(b"\x21\0\x85\0\x21\0\5\0\x21\0\x7f\0\x08\0\x61\0")  # answered before it was sent
@example(b"\x80\x01a\x81\x01a")  # no JSON
@example(b"\x21\x01a\x2a\x3d" + b"x" * 61 + b"\x21\x01a")  # closed
@example(b"\x21\0\5\0\1\0\5\0\x21\0\x61\x31" + b"x" * 49)  # frames that come as fast as they are refused
@example(b"\x21\x01a\x06\x05aaaaa\x20\x01a\x2b\x00\x04\x00\x21\x01a")
def test_both_send_the_same(data: bytes) -> None:
    """Whatever is sent between what: the same bytes in the same order, and senders are told the same."""
    assert sent(data, in_force()) == sent(data, PYTHON)


def test_c_sends_frames_of_another_kind_between_messages() -> None:
    """Each is whole, and they arrive in the order of the calls, however many are collected."""
    ours, far = _socket.socketpair()
    loop = Loop(logging.getLogger("test"))
    channel = Channel(ours, lambda _: None, lambda _: None, choice=in_force())
    line = Line(channel, logging.getLogger("test"), choice=in_force())
    channel.attach(loop)
    publish = channel.post_in_c(cast("Native", in_force().module), 100, FrameKind.PUBLISH)
    publish.encode = bytes
    sent = []
    for number in range(100):
        payload = str(number).encode()
        assert publish(payload) is True
        assert line.send_quickly is not None
        assert line.send_quickly(number) is True
        sent += [(FrameKind.PUBLISH, payload), (FrameKind.MESSAGE, payload)]
    assert publish(b"x" * 101) == b"x" * 101
    channel.flush(5)
    far.setblocking(False)
    assert [(frame.kind, frame.payload) for frame in FrameDecoder().feed(far.recv(1 << 20))] == sent
    channel.close()
    far.close()
    loop.close()
