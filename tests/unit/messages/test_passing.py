"""What comes with a message becomes a handle, or is closed."""

from __future__ import annotations

import logging
import os
import socket
from typing import cast

import pytest

from nodecluster_compat.base.native import PYTHON
from nodecluster_compat.errors import FrameError
from nodecluster_compat.messages.channel import Channel
from nodecluster_compat.messages.frames import Frame, FrameKind
from nodecluster_compat.messages.line import Line
from nodecluster_compat.messages.passing import unpack

LOG = logging.getLogger("test")


@pytest.mark.parametrize("kind", [b"s", b"l", b"u", b"?"])
def test_descriptor_that_is_no_socket_is_garbage(kind: bytes) -> None:
    """And it is closed."""
    reading, writing = os.pipe()
    line = Line(cast("Channel", None), LOG, choice=PYTHON)
    with pytest.raises(FrameError, match="no usable socket"):
        line.open(Frame(FrameKind.HANDLE, kind + b'"x"', reading))
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(reading)
    os.close(writing)


def test_kind_of_a_large_message_comes_as_a_piece_of_its_buffer() -> None:
    near, far = socket.socketpair()
    with near, cast("socket.socket", unpack(bytearray(b"s"), far.detach())) as arrived:
        near.sendall(b"x")
        assert arrived.recv(1) == b"x"
