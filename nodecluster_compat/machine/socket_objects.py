"""Make a socket object for a descriptor that another process or object shares, and leave its modes alone.

An object that is made the usual way obeys ``socket.setdefaulttimeout``, which applications and configurations call: it
sets ``O_NONBLOCK`` on the connection, for every process that has it, and its methods wait that long even with
``MSG_DONTWAIT``.  An object that is told ``SOCK_NONBLOCK`` does neither.  The descriptor keeps its mode, so a call that
must not wait needs ``MSG_DONTWAIT`` all the same.
"""

from __future__ import annotations

import _socket
from typing import Final

__all__ = ["AS_IT_IS", "shared_socket"]

AS_IT_IS: Final = _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK
"""The type to make such an object with.  It need not be the socket's own: only ``type`` tells it back."""

_ASK: Final = -1


def shared_socket(fd: int) -> _socket.socket:
    """Return an object for the socket ``fd``; call ``detach()`` when done, unless it is to be closed.

    Raises:
        OSError: ``fd`` is not a socket.
    """
    return _socket.socket(_ASK, AS_IT_IS, _ASK, fd)
