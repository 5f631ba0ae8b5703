"""Find out once whether this kernel reports when an offer was taken.

Linux calls the sending end of a SEQPACKET pair writable while its queue takes up at most a quarter of the buffer.  One
packet takes up more than a quarter of the smallest buffer.  So the end is writable again exactly when the packet was
taken, and epoll reports that by an edge.  Other kernels that run Linux programs (gVisor) may count differently.
"""

from __future__ import annotations

import select
from functools import cache
from typing import Final

from ..base.loop import original
from .dealing_loop import EDGE, WRITABLE
from .offers import OfferingEnd, connection_pair
from .taking_end import TakingEnd

__all__ = ["kernel_tells_what_was_taken"]

_ROUNDS: Final = 3


@cache
def kernel_tells_what_was_taken() -> bool:
    """Return whether an offer makes the channel unwritable, and taking it makes it writable again, every time."""
    try:
        return _try_it()
    except OSError:
        return False


def _try_it() -> bool:
    near, far = connection_pair()
    end = OfferingEnd(0, near, far)
    taker = TakingEnd(far, lambda *_: None, lambda: None)
    epoll = original("select", "epoll")()
    try:
        epoll.register(near.fileno(), WRITABLE | EDGE)
        epoll.poll(0)
        return all(_one_round(end, taker, epoll, by_the_worker=bool(number % 2)) for number in range(2 * _ROUNDS))
    finally:
        epoll.close()
        end.close()


def _one_round(end: OfferingEnd, taker: TakingEnd, epoll: select.epoll, *, by_the_worker: bool) -> bool:
    end.probe()
    if epoll.poll(0):
        return False
    if by_the_worker:
        taker.read()
    else:
        end.take_back()
    return bool(epoll.poll(0))
