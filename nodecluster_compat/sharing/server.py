"""Reach the server that several hosts share: connections of redis-py, what is asked again, what its errors mean.

A question that changes nothing, or changes it only once however often it is asked, is asked again while the server
cannot be reached, with pauses, for a while.  Any other one is asked again only where it has certainly not been sent, or
was refused by a server that is not ready.  After that nobody asks for a moment, so that a server that is away does not
hold up every request for so long.

    asked ──answered──▶ well
      └──not reached──▶ again, with pauses ──too long──▶ StoreUnavailable, at once for everybody, for REST seconds
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ..base.variables import BUS
from ..errors import StoreCorrupt, StoreFull, StoreUnavailable
from .server_address import address_of
from .server_lines import is_unsent, telling

if TYPE_CHECKING:
    from .server_address import ServerAddress

__all__ = ["PATIENCE", "Server", "client_of"]

PATIENCE: Final = 1.5
"""Seconds for which a server that cannot be reached is tried."""

_REST: Final = 0.2
_TIMEOUT: Final = 1.0
_LEAST_PAUSE: Final = 0.005
_MOST_PAUSE: Final = 0.1
_MOST_CONNECTIONS: Final = 64
_UNREACHED: Final = f"expected to reach the server of {BUS}"
_DEMOTED: Final = "previous master is now a slave"  # what redis-py makes of -READONLY, where Sentinels name the master

Result = TypeVar("Result")


def client_of(address: ServerAddress, timeout: float = _TIMEOUT, protocol: int | None = None) -> Any:  # noqa: ANN401 - redis-py's, which is optional
    """Return a client of redis-py's, which asks nothing again by itself.

    Args:
        address: of the server.
        timeout: seconds for a connection, and for an answer.
        protocol: of Redis, 2 or 3; ``None`` for redis-py's choice.

    Raises:
        StoreUnavailable: redis is not installed.
    """
    redis = _redis()
    options: dict[str, Any] = {
        "socket_connect_timeout": timeout,
        "socket_timeout": timeout,
    }
    if not address.url.startswith("unix:"):
        options["socket_keepalive"] = True  # what redis-py refuses for a socket of a file
    spoken = {} if protocol is None else {"protocol": protocol}
    once = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
    if address.kind == "cluster":
        nodes = [redis.cluster.ClusterNode(host, port) for host, port in address.hosts]
        return redis.cluster.RedisCluster(startup_nodes=nodes, retry=once, **options | address.options | spoken)
    if address.kind == "sentinel":
        sentinel = redis.sentinel.Sentinel(
            list(address.hosts), sentinel_kwargs=options | address.sentinel_options, retry=once, **options
        )
        master = sentinel.master_for(address.service, **address.options | spoken)
        master.connection_pool.connection_class = telling(master.connection_pool.connection_class)
        return master
    url = address.url if protocol is None else _without_protocol(address.url)
    pool = redis.ConnectionPool.from_url(url, max_connections=_MOST_CONNECTIONS, retry=once, **options | spoken)
    pool.connection_class = telling(pool.connection_class)
    return redis.Redis(connection_pool=pool)


def _without_protocol(url: str) -> str:
    base, mark, query = url.partition("?")
    return base + mark + "&".join(one for one in query.split("&") if not one.startswith("protocol="))


def _redis() -> Any:  # noqa: ANN401 - optional
    try:
        import redis
        import redis.backoff
        import redis.cluster
        import redis.retry
        import redis.sentinel
    except ImportError as error:
        raise StoreUnavailable(
            f"expected redis for {BUS}, which is not installed: pip install 'nodecluster-compat[redis]'"
        ) from error
    return redis


class Server:
    """The server, as one process reaches it; its connections are made when they are needed.

    Args:
        url: as in the environment.
        patience: seconds for which it is tried; afterwards nobody tries for a moment.
        clock: seconds that only go on.
        sleep: waits.

    Raises:
        SettingsError: the URL is none.
    """

    def __init__(
        self,
        url: str,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        self._address = address_of(url)
        self._patience = patience
        self._clock = clock
        self._sleep = sleep or time.sleep
        self._made: Any = None
        self._rests_until = 0.0

    @property
    def address(self) -> ServerAddress:
        """The address of the server."""
        return self._address

    @property
    def client(self) -> Any:  # noqa: ANN401 - redis-py's
        """The client of redis-py's.

        Raises:
            StoreUnavailable: redis is not installed.
        """
        if self._made is None:
            self._made = client_of(self._address)
        return self._made

    def leave(self) -> None:
        """Close all connections."""
        made, self._made = self._made, None
        if made is not None:
            made.close()

    def ask(self, question: Callable[[Any], Result]) -> Result:
        """Ask what may be asked again: ``question(client)``.

        Raises:
            StoreUnavailable: the server cannot be reached, or refuses.
            StoreFull: its memory is full.
            StoreCorrupt: what is there was not put there by this package.
        """
        return self._persist(question, lambda _: True)

    def ask_once(self, question: Callable[[Any], Result]) -> Result:
        """Ask what must not be done twice: otherwise as :meth:`ask`."""
        return self._persist(question, lambda error: _is_undone(_redis(), error))

    def _persist(self, question: Callable[[Any], Result], is_safe: Callable[[Exception], bool]) -> Result:
        began = self._clock()
        if began < self._rests_until:
            raise StoreUnavailable(f"{_UNREACHED}, which nobody could a moment ago")
        redis = _redis()
        backoff = redis.backoff.ExponentialBackoff(cap=_MOST_PAUSE, base=_LEAST_PAUSE)
        failures = 0
        while True:
            try:
                return question(self.client)
            except redis.RedisError as error:
                failures += 1
                pause: float = backoff.compute(failures)
                is_late = self._clock() + pause - began > self._patience
                if not _is_passing(redis, error) or not is_safe(error) or is_late:
                    if is_late or isinstance(error, redis.TimeoutError):
                        self._rest()
                    raise self._meant(redis, error) from error
            self._sleep(pause)

    def _rest(self) -> None:
        self._rests_until = self._clock() + _REST

    def _meant(self, redis: Any, error: Exception) -> Exception:  # noqa: ANN401 - the module
        exceptions = redis.exceptions
        if isinstance(error, exceptions.OutOfMemoryError) or "OOM" in str(error):
            return StoreFull(f"expected room on the server of {BUS}: {error}")
        if str(error).startswith("WRONGTYPE"):
            return StoreCorrupt(f"expected a value of this package's on the server of {BUS}: {error}")
        if isinstance(error, exceptions.ConnectionError | exceptions.TimeoutError):
            return StoreUnavailable(f"{_UNREACHED}: {error}")
        return StoreUnavailable(f"expected the server of {BUS} to do as it is asked: {error}")


def _is_undone(redis: Any, error: Exception) -> bool:  # noqa: ANN401 - the module
    """Whether the server has certainly not done what it was asked: it has not heard of it, or said so."""
    is_refused = isinstance(error, redis.exceptions.BusyLoadingError) or _DEMOTED in str(error)
    return is_refused or is_unsent(error)


def _is_passing(redis: Any, error: Exception) -> bool:  # noqa: ANN401 - the module
    """Whether another attempt may help: not where it has refused us, nor where it stands still."""
    exceptions = redis.exceptions
    refused = exceptions.AuthenticationError, exceptions.AuthorizationError
    return isinstance(error, exceptions.ConnectionError) and not isinstance(error, refused)
