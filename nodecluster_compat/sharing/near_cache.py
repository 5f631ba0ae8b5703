"""Cache keys of the server in this process, until the server says that they have changed.

Redis calls it client-side caching (``CLIENT TRACKING``): over one connection of this process, in broadcasting mode, the
server sends every changed key that begins with one of the prefixes that were asked for.  While that connection is down,
nothing is kept.

    a read: kept? ──yes──▶ from memory
              └─no──▶ asked ──answer, and nothing was told of the key meanwhile──▶ kept, at most as long as it lives
    told that a key has changed, or all have ──▶ not kept any more          connection lost ──▶ nothing is kept

So a value may be as old as the server's notice needs: about a round trip; or, if the server or the network stands
still, until that is noticed, :data:`SILENCE_SECONDS` later.  A process sees its own writes at once.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from msgspec import Struct

from ..errors import StoreUnavailable
from .server import client_of

if TYPE_CHECKING:
    from ..base.log import Log
    from .server_address import ServerAddress
    from .store_engine import Kept

__all__ = ["MOST_BYTES", "MOST_ENTRIES", "SILENCE_SECONDS", "NearCache"]

MOST_ENTRIES: Final = 10_000
"""Entries that a process keeps; beyond that what was read first goes first."""

MOST_BYTES: Final = 16 * 1024 * 1024
"""The bytes that they may have together."""

SILENCE_SECONDS: Final = 2.0
"""How long a connection of which nothing is heard is trusted."""

_PING: Final = SILENCE_SECONDS / 2
_LEAST_PAUSE: Final = 0.05
_MOST_PAUSE: Final = 0.5
_CHANNEL: Final = b"__redis__:invalidate"
_FOREVER: Final = float("inf")

Fetched: TypeAlias = tuple["Kept | None", float | None]
"""A value, and for how many seconds it is kept still: ``None`` for ever."""


class _Entry(Struct):
    value: Kept | None
    until: float
    size: int


class _Asked:
    """A read under way: what is told of its key meanwhile makes its answer one that is not kept."""


class NearCache:
    """Keeps keys of the server in this process.

    Args:
        address: of the server.
        space: what the names of all entries begin with.
        log: told when nothing can be kept.
        clock: seconds that only go on.

    Attributes:
        hits: how many reads were answered from memory.
        misses: how many of those that could have been were not.
    """

    def __init__(
        self, address: ServerAddress, space: bytes, log: Log, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.hits = self.misses = 0
        self._address = address
        self._space = space
        self._log = log
        self._clock = clock
        self._lock = threading.Lock()
        self._prefixes: tuple[bytes, ...] = ()
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._bytes = 0
        self._asked: dict[bytes, _Asked] = {}
        self._is_told = False
        self._pid = 0
        self._run: object = None

    # --- reading -------------------------------------------------------------------------------

    def cover(self, prefixes: Iterable[bytes]) -> None:
        """Keep what is read of names with one of these prefixes from now on."""
        wanted = _apart(prefixes)
        if wanted != self._prefixes:
            self._prefixes = wanted
            self.leave()

    def covers(self, name: bytes) -> bool:
        """Whether what is read of a name may be kept."""
        return name.startswith(self._prefixes)

    def found(self, name: bytes) -> tuple[Kept | None] | None:
        """Return what is kept of a name, in a tuple; ``None`` where it has to be asked for."""
        if not self.covers(name):
            return None
        with self._lock:
            entry = self._entries.get(name) if self._pid == os.getpid() else None
            if entry is None or entry.until <= self._clock():
                return None
            self.hits += 1
            return (entry.value,)

    def read(self, name: bytes, fetch: Callable[[], Fetched]) -> Kept | None:
        """Return what there is, and keep it."""
        if not self.covers(name):
            return fetch()[0]
        found = self.found(name)
        if found is not None:
            return found[0]
        self._begin()
        asked = _Asked()
        with self._lock:
            self.misses += 1
            self._asked[name] = asked
        try:
            value, seconds = fetch()
            self._keep(name, asked, value, seconds)
        finally:
            with self._lock:
                if self._asked.get(name) is asked:
                    del self._asked[name]
        return value

    def _keep(self, name: bytes, asked: _Asked, value: Kept | None, seconds: float | None) -> None:
        size = len(name) + (len(value) if isinstance(value, bytes) else 8)
        with self._lock:
            if not self._is_told or self._asked.get(name) is not asked or seconds == 0:
                return
            self._drop(name)
            self._entries[name] = _Entry(value, _FOREVER if seconds is None else self._clock() + seconds, size)
            self._bytes += size
            while len(self._entries) > MOST_ENTRIES or self._bytes > MOST_BYTES:
                self._drop(next(iter(self._entries)))

    def _drop(self, name: bytes) -> None:
        entry = self._entries.pop(name, None)
        if entry is not None:
            self._bytes -= entry.size

    # --- what has changed ----------------------------------------------------------------------

    def forget(self, names: Iterable[bytes]) -> None:
        """These have changed."""
        if not self._prefixes:
            return
        with self._lock:
            for name in names:
                self._drop(name)
                self._asked.pop(name, None)

    def forget_all(self) -> None:
        """Anything may have changed."""
        with self._lock:
            self._forget_all()

    def _forget_all(self) -> None:
        self._entries.clear()
        self._asked.clear()
        self._bytes = 0

    def leave(self) -> None:
        """Keep nothing, and let go of the connection; the next read begins anew."""
        with self._lock:
            self._run = None
            self._is_told = False
            self._forget_all()

    # --- the connection ------------------------------------------------------------------------

    def _begin(self) -> None:
        with self._lock:
            if self._run is not None and self._pid == os.getpid():
                return
            self._pid, self._is_told = os.getpid(), False
            self._forget_all()
            run = self._run = object()
        threading.Thread(target=self._persist, args=(run,), name="nodecluster-near", daemon=True).start()

    def _persist(self, run: object) -> None:
        pause, is_logged = _LEAST_PAUSE, False
        while self._run is run:
            try:
                self._listen(run)
            except Exception as error:  # noqa: BLE001 - whatever the server or the network has done
                if self._is_told:
                    pause, is_logged = _LEAST_PAUSE, False
                self._end(run)
                if not is_logged and self._run is run:
                    is_logged = True
                    self._log.warning("Nothing of the store is kept in this process for now: %s", error)
            time.sleep(pause)
            pause = min(_MOST_PAUSE, pause * 2)

    def _end(self, run: object) -> None:
        with self._lock:
            if self._run is run:
                self._is_told = False
                self._forget_all()

    def _listen(self, run: object) -> None:
        client = client_of(self._address, _PING, protocol=2)  # seconds until it is asked, and again to answer
        try:
            connection = _connection_of(client, self._space)
            try:
                self._track(connection)
                self._hear_all(connection, run)
            finally:
                connection.disconnect()
        finally:
            client.close()

    def _track(self, connection: Any) -> None:  # noqa: ANN401 - redis-py's
        """Have the server tell this very connection, which is one that subscribes."""
        connection.connect()
        connection.send_command("CLIENT", "ID")
        number = connection.read_response()
        prefixes = [word for prefix in self._prefixes for word in (b"PREFIX", prefix)]
        connection.send_command("CLIENT", "TRACKING", "ON", "REDIRECT", number, "BCAST", *prefixes)
        if connection.read_response() not in (b"OK", "OK"):
            raise StoreUnavailable("expected the server to track keys, which it refuses")
        connection.send_command("SUBSCRIBE", _CHANNEL)
        connection.read_response()

    def _hear_all(self, connection: Any, run: object) -> None:  # noqa: ANN401 - redis-py's
        with self._lock:
            if self._run is not run:
                return
            self._forget_all()
            self._is_told = True
        while self._run is run:
            if not connection.can_read(timeout=_PING):
                connection.send_command("PING")
            self._hear(connection.read_response())

    def _hear(self, told: object) -> None:
        if not isinstance(told, list) or len(told) != 3 or told[0] != b"message":
            return  # an answer to PING
        if told[2] is None:
            self.forget_all()
        else:
            self.forget(told[2])


def _apart(prefixes: Iterable[bytes]) -> tuple[bytes, ...]:
    """Return those that no other one begins: the server refuses prefixes that overlap."""
    wanted: list[bytes] = []
    for prefix in sorted(prefixes):  # a prefix comes before what it begins
        if not wanted or not prefix.startswith(wanted[-1]):
            wanted.append(prefix)
    return tuple(wanted)


def _connection_of(client: Any, space: bytes) -> Any:  # noqa: ANN401 - redis-py's
    """Return a connection to the server that has the entries: of a Redis Cluster the one that has their slot."""
    if hasattr(client, "get_node_from_key"):
        node = client.get_node_from_key(space.decode())
        client = client.get_redis_connection(node)
    return client.connection_pool.make_connection()
