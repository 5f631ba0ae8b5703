"""Classify the errors of accept(2): those of one connection, those of the socket, and those that may pass."""

from __future__ import annotations

import errno
from typing import Final

__all__ = ["HOPELESS", "TRANSIENT"]

HOPELESS: Final = frozenset({errno.EBADF, errno.EINVAL, errno.ENOTSOCK, errno.EOPNOTSUPP})
"""Nothing can be accepted on that socket any more."""

TRANSIENT: Final = frozenset(
    {
        errno.ECONNABORTED,
        errno.EPROTO,
        errno.ENETDOWN,
        errno.EHOSTDOWN,
        errno.ENONET,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.EINTR,
        errno.ECONNRESET,
        errno.ETIMEDOUT,
        errno.ENOPROTOOPT,
    }
)
"""A connection is already gone: to be treated like "try the next one"."""
