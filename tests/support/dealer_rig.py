"""A dealer on a thread of its own, with one listening socket and one worker whose channel the test reads."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Iterator

from nodecluster_compat.base.loop import Loop
from nodecluster_compat.connections.dealer import Dealer
from nodecluster_compat.connections.offers import OfferingEnd, connection_pair
from nodecluster_compat.connections.policies import RoundRobin

__all__ = ["DealerRig", "dealer_rig"]

LOG = logging.getLogger("test")


class DealerRig:
    """A dealer that runs beside this thread, with one listening socket and one worker."""

    def __init__(self) -> None:
        self.loop = Loop(LOG)
        self.told: list[object] = []
        self.dealer = Dealer(self.loop, LOG, RoundRobin, 4, self.told.append, lambda *told: self.told.append(told))
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.sock.setblocking(False)
        self.dealer.run_beside()
        self.listener_id = self.dealer.add(self.sock, socket.AF_INET).listener_id
        near, far = connection_pair()
        self.worker = socket.socket(fileno=os.dup(far.fileno()))
        self.worker.settimeout(20)
        self.dealer.enrol(OfferingEnd(1, near, far, asks=self.dealer.asks), os.getpid())
        self.dealer.join(1, self.listener_id)
        self.clients: list[socket.socket] = []

    def connect(self) -> None:
        self.clients.append(socket.create_connection(self.sock.getsockname()))

    def take(self) -> None:
        """What the kernel brings, without a turn of the arbiter's loop."""
        _, fds, _, _ = socket.recv_fds(self.worker, 512, 1)
        os.close(fds[0])

    def run_until(self, number: int) -> None:
        while len(self.told) < number:
            self.loop.run_once(0 if self.loop.has_work else 1)

    def close(self) -> None:
        self.dealer.lost(1)
        self.dealer.close()
        for one in (self.worker, self.sock, *self.clients, self.loop):
            one.close()


def dealer_rig() -> Iterator[DealerRig]:
    """What a fixture yields: a rig, after which the interpreter switches between threads as before."""
    interval = sys.getswitchinterval()
    made = DealerRig()
    yield made
    made.close()
    sys.setswitchinterval(interval)
