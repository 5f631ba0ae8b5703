"""Deal connections of one client to one worker, as far as its address tells: by rendezvous hashing.

A client of IPv6 has a network of its own and changes its address within that, so its *prefix* counts.  The worker is
named, so a connection waits for it, and when it is gone only its own clients go elsewhere.  Behind a NAT or a proxy all
clients have one address: then this puts them all on one worker.

A network has a number for each slot, and belongs to the slot with the highest; no two are equal.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Final, TypeAlias

from ...base.mixing import mixed, stepped
from ...base.records import Connection, PeerAddress
from .base import IdleLine, Workers

__all__ = ["ClientAddressHash", "key_of"]

_Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_MASK: Final = (1 << 64) - 1


class ClientAddressHash(IdleLine, twin=4):
    """Names the worker to whose slot a client's network belongs; clients without an address are dealt round robin.

    Args:
        workers: asked who serves.
        ipv4_prefix: bits of an address that count, from 1 to 32.
        ipv6_prefix: bits of an address that count, from 1 to 128.
    """

    __slots__ = ("_ipv4_prefix", "_ipv6_prefix", "_workers")

    def __init__(self, workers: Workers, ipv4_prefix: int = 32, ipv6_prefix: int = 64) -> None:
        super().__init__()
        self._workers = workers
        self._ipv4_prefix = ipv4_prefix
        self._ipv6_prefix = ipv6_prefix

    def choose(self, connection: Connection) -> int | None:
        """Return the worker to which the client belongs, idle or not."""
        key = key_of(connection.peer, self._ipv4_prefix, self._ipv6_prefix)
        if key is None:
            return self.first()
        # Two may have one slot, while one leaves: the younger gets what is new.
        by_slot = {self._workers.slot(worker_id): worker_id for worker_id in sorted(self._workers.serving())}
        if not by_slot:
            return None
        chosen = by_slot[max(by_slot, key=lambda slot: mixed(stepped(key, slot)))]
        self.remove(chosen)
        return chosen


def key_of(peer: PeerAddress, ipv4_prefix: int, ipv6_prefix: int) -> int | None:
    """Return the number of a client's network; ``None`` where its address tells nothing, as on a unix socket."""
    return _key(str(peer[0]), ipv4_prefix, ipv6_prefix) if isinstance(peer, tuple) else None


@lru_cache(maxsize=4096)
def _key(host: str, ipv4_prefix: int, ipv6_prefix: int) -> int | None:
    network = _network_of(host, ipv4_prefix, ipv6_prefix)
    if network is None:
        return None
    address = int(network.network_address)
    return mixed(mixed(address & _MASK ^ network.version) ^ address >> 64)


def _network_of(host: str, ipv4_prefix: int, ipv6_prefix: int) -> _Network | None:
    """Return the network of a client; ``None`` where that is no address."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if address.version == 6 and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.version == 4:
        return ipaddress.IPv4Network((int(address), ipv4_prefix), strict=False)
    return ipaddress.IPv6Network((int(address), ipv6_prefix), strict=False)
