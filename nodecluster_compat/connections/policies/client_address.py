"""Deal connections of one client to one worker, as far as its address tells: by rendezvous hashing.

A client of IPv6 has a network of its own and changes its address within that, so its *prefix* counts.  The worker is
named, so a connection waits for it, and when it is gone only its own clients go elsewhere.  Behind a NAT or a proxy all
clients have one address: then this puts them all on one worker.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from ...base.records import Connection, PeerAddress
from ...base.rendezvous import place_of
from .base import Workers
from .round_robin import RoundRobin

__all__ = ["ClientAddressHash", "network_of"]


class ClientAddressHash:
    """Names the worker to whose slot a client's network belongs; clients without an address are dealt round robin.

    Args:
        workers: asked who serves.
        ipv4_prefix: bits of an address that count, from 1 to 32.
        ipv6_prefix: bits of an address that count, from 1 to 128.
    """

    __slots__ = ("_anybody", "_prefixes", "_workers")

    def __init__(self, workers: Workers, ipv4_prefix: int = 32, ipv6_prefix: int = 64) -> None:
        self._workers = workers
        self._prefixes = ipv4_prefix, ipv6_prefix
        self._anybody = RoundRobin()

    def add(self, worker_id: int) -> None:
        """The worker is idle."""
        self._anybody.add(worker_id)

    def remove(self, worker_id: int) -> None:
        """It is not."""
        self._anybody.remove(worker_id)

    def choose(self, connection: Connection) -> int | None:
        """Return the worker to which the client belongs, idle or not."""
        network = network_of(connection.peer, *self._prefixes)
        if network is None:
            return self._anybody.choose(connection)
        by_slot = {self._workers.slot(worker_id): worker_id for worker_id in self._workers.serving()}
        slot = place_of(network, by_slot)
        if slot is None:
            return None
        self._anybody.remove(by_slot[slot])
        return by_slot[slot]


@lru_cache(maxsize=4096)
def _network(host: str, ipv4_prefix: int, ipv6_prefix: int) -> str | None:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if address.version == 6 and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    prefix = ipv4_prefix if address.version == 4 else ipv6_prefix
    return str(
        ipaddress.ip_network((int(address), prefix) if address.version == 4 else (address, prefix), strict=False)
    )


def network_of(peer: PeerAddress, ipv4_prefix: int, ipv6_prefix: int) -> str | None:
    """Return the network of a client; ``None`` where its address tells nothing, as on a unix socket."""
    return _network(str(peer[0]), ipv4_prefix, ipv6_prefix) if isinstance(peer, tuple) else None
