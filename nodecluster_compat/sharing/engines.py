"""Choose what keeps the shared state: this host, or the server that ``NODECLUSTER_BUS`` names.

Each is imported when the store is first used: each process of a cluster would hold both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .server_address import asked_name, asked_url

if TYPE_CHECKING:
    from ..base.log import Log
    from .store_engine import StoreEngine

__all__ = ["store_engine"]


def store_engine(
    folder: Callable[[], str], give: Callable[[str], None], check: Callable[[], None], log: Callable[[], Log]
) -> StoreEngine:
    """Return the engine of the store.

    Args:
        folder: returns where the state of this host's cluster is.
        give: told of each file in it, for whoever else has to use that.
        check: raises where this code must not wait for a server.
        log: returns who is told of what lasts.

    Raises:
        SettingsError: the environment names no server that could be.
    """
    url = asked_url()
    if url:
        from .redis_engine import RedisEngine
        from .server import Server

        return RedisEngine(Server(url), asked_name(), check, log())
    from .lmdb_engine import LmdbEngine

    return LmdbEngine(folder, give)
