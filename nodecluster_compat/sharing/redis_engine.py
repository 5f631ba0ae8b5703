"""Keep the entries of ``cluster.store`` on a server that several hosts share: Redis or Valkey.

Whole numbers are kept as Redis has them, anything else as MessagePack, of which only whole numbers begin with a digit
or a ``-``.  All keys have one hash tag, so in a Redis Cluster they are in one slot, where several can be read and
written in one step.

    {nodecluster:NAME}:1:store:KEY        1 is the version of what is kept
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ..errors import ArgumentError, ArgumentTypeError, StoreCorrupt, StoreUnavailable
from .entries import name_of
from .near_cache import NearCache
from .server_clock import ServerClock
from .store_engine import Taken

if TYPE_CHECKING:
    from ..base.log import Log
    from .near_cache import Fetched
    from .server import Server
    from .store_engine import Kept, Step

__all__ = ["KEEP", "RedisEngine", "space_of"]

_LOG: Final = logging.getLogger("nodecluster_compat")
_SLICE: Final = 500
_MOST_SECONDS: Final = 30.0
_WHOLE: Final = b"-0123456789"
_SPECIAL: Final = frozenset("*?[]\\^-")
KEEP: Final = "keep"

_REPLACE: Final = """
local old = redis.call('GET', KEYS[1])
if ARGV[1] == '0' then
  if old then return 0 end
elseif old ~= ARGV[2] then
  return 0
end
if ARGV[4] == '' then
  redis.call('SET', KEYS[1], ARGV[3])
elseif ARGV[4] == 'keep' then
  redis.call('SET', KEYS[1], ARGV[3], 'KEEPTTL')
else
  redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
end
return 1
"""

_SET_ALL: Final = """
for at, key in ipairs(KEYS) do
  if ARGV[1] == '' then redis.call('SET', key, ARGV[at + 1])
  else redis.call('SET', key, ARGV[at + 1], 'PX', ARGV[1]) end
end
"""
_READ: Final = """
local data = redis.call('GET', KEYS[1])
return {data, data and redis.call('PTTL', KEYS[1]) or -1}
"""
_ADD: Final = """
local is_new = redis.call('EXISTS', KEYS[1]) == 0
redis.call('INCRBY', KEYS[1], ARGV[1])
if is_new then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return redis.call('GET', KEYS[1])
"""  # the text of it: a number of Lua's has 53 bits
_PERSIST: Final = """
redis.call('PERSIST', KEYS[1])
return redis.call('EXISTS', KEYS[1])
"""
_TIME: Final = "return redis.call('TIME')"


def space_of(name: str) -> str:
    """Return what all keys of the clusters of a name begin with."""
    return f"{{nodecluster:{name}}}:1:"


class RedisEngine:
    """A :class:`~nodecluster_compat.sharing.store_engine.StoreEngine` of several hosts.

    Args:
        server: that keeps the entries.
        name: of the clusters that share them.
        check: raises where this code must not wait for a server.
        log: told when nothing can be kept in this process.
        clock: seconds of this process that only go on.

    Attributes:
        near: what this process keeps of what it has read.
        clock: the server's.
    """

    def __init__(
        self,
        server: Server,
        name: str,
        check: Callable[[], None] = lambda: None,
        log: Log = _LOG,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._server = server
        self._space = f"{space_of(name)}store:".encode()
        self._check = check
        self.clock = ServerClock(self._ask_time, clock)
        self.near = NearCache(server.address, self._space, log)

    def _key(self, key: bytes) -> bytes:
        return self._space + name_of(key).encode()

    def _ask(self, question: Callable[[Any], Any]) -> Any:  # noqa: ANN401 - an answer
        self._check()
        return self._server.ask(question)

    def _ask_once(self, question: Callable[[Any], Any]) -> Any:  # noqa: ANN401 - an answer
        self._check()
        return self._server.ask_once(question)

    def leave(self) -> None:
        """See :class:`StoreEngine`."""
        self.near.leave()
        self._server.leave()

    def cache_locally(self, prefixes: Sequence[bytes]) -> None:
        """See :class:`StoreEngine`."""
        self.near.cover(self._space + name_of(prefix).encode() for prefix in prefixes)

    def now(self) -> float:
        """See :class:`StoreEngine`: of the server's clock."""
        return self.clock.now()

    def _ask_time(self) -> float:
        seconds, microseconds = self._ask(lambda client: client.eval(_TIME, 1, self._space))
        return int(seconds) + int(microseconds) / 1_000_000

    # --- reading -------------------------------------------------------------------------------

    def get(self, key: bytes) -> Kept | None:
        """See :class:`StoreEngine`."""
        name = self._key(key)
        return self.near.read(name, lambda: self._fetch(name))

    def at_hand(self, key: bytes) -> tuple[Kept | None] | None:
        """See :class:`StoreEngine`."""
        return self.near.found(self._key(key))

    def _fetch(self, name: bytes) -> Fetched:
        if not self.near.covers(name):
            return _kept(self._ask(lambda client: client.get(name))), None
        data, left = self._ask(lambda client: client.eval(_READ, 1, name))
        return _kept(data), None if left < 0 else left / 1000

    def get_many(self, keys: Sequence[bytes]) -> list[Kept | None]:
        """See :class:`StoreEngine`."""
        names = [self._key(key) for key in keys]
        return [_kept(data) for data in self._ask(lambda client: client.mget(names))] if names else []

    def ttl(self, key: bytes) -> float | None:
        """See :class:`StoreEngine`."""
        name = self._key(key)
        left: int = self._ask(lambda client: client.pttl(name))
        return None if left == -1 else max(0, left) / 1000

    def names(self, prefix: str) -> Iterator[str]:
        """See :class:`StoreEngine`; what is written meanwhile may be missed."""
        return (name.decode("utf-8", "replace") for name in self._names(prefix))

    def _names(self, prefix: str) -> set[bytes]:
        pattern = self._space.decode() + prefix
        escaped = "".join(f"\\{one}" if one in _SPECIAL else one for one in pattern) + "*"
        found: list[bytes] = self._ask(lambda client: list(client.scan_iter(match=escaped, count=_SLICE)))
        return {name[len(self._space) :] for name in found}

    def taken(self) -> Taken:
        """See :class:`StoreEngine`; it looks at all keys, and what is evicted is of the whole server."""
        names = [self._space + name for name in self._names("")]
        sizes = [self._ask(partial(_size, name)) for name in names]
        stats = self._ask(lambda client: client.info("stats"))
        return Taken(sum(sizes), len(names), int(stats.get("evicted_keys", 0)))

    # --- writing -------------------------------------------------------------------------------

    @contextmanager
    def _writing(self, names: Sequence[bytes]) -> Iterator[None]:
        """What is written is not what this process has kept, whether the server has answered or not."""
        try:
            yield
        finally:
            self.near.forget(names)

    def put(self, key: bytes, value: Kept, ttl: float | None, nx: bool) -> bool:
        """See :class:`StoreEngine`."""
        name, px = self._key(key), _px(ttl)
        with self._writing([name]):
            if nx:
                return bool(self._ask_once(lambda client: client.set(name, value, px=px, nx=True)))
            return bool(self._ask(lambda client: client.set(name, value, px=px)))

    def put_many(self, values: Sequence[tuple[bytes, Kept]], ttl: float | None) -> None:
        """See :class:`StoreEngine`."""
        if values:
            names = [self._key(key) for key, _ in values]
            arguments = [*names, _px(ttl) or "", *(value for _, value in values)]
            with self._writing(names):
                self._ask(lambda client: client.eval(_SET_ALL, len(names), *arguments))

    def delete(self, keys: Sequence[bytes]) -> int:
        """See :class:`StoreEngine`."""
        names = [self._key(key) for key in keys]
        with self._writing(names):
            return int(self._ask(lambda client: client.unlink(*names))) if names else 0

    def add(self, key: bytes, amount: int, ttl: float | None) -> int:
        """See :class:`StoreEngine`."""
        name, px = self._key(key), _px(ttl)

        def write(client: Any) -> int:  # noqa: ANN401 - redis-py's
            return int(client.incrby(name, amount) if px is None else client.eval(_ADD, 1, name, amount, px))

        try:
            with self._writing([name]):
                return int(self._ask_once(write))
        except StoreUnavailable as error:
            raise _not_added(name_of(key), error) from error.__cause__

    def change(self, key: bytes, step: Step, ttl: float | None, keep_ttl: bool) -> Any:  # noqa: ANN401 - the step's
        """See :class:`StoreEngine`; where others change it meanwhile the step is called again."""
        name, px = self._key(key), _px(ttl)
        until = time.monotonic() + _MOST_SECONDS
        while time.monotonic() < until:
            old: bytes | None = self._ask(lambda client: client.get(name))
            change = step(_kept(old))
            if change.value is None or self._replace(name, old, change.value, KEEP if keep_ttl and old else px):
                return change.result
        raise StoreUnavailable(
            f"expected {name_of(key)!r} to be left alone for a moment: others change it all the time"
        )

    def _replace(self, name: bytes, old: bytes | None, value: Kept, end: int | str | None) -> bool:
        arguments = [int(old is not None), old or b"", value, "" if end is None else end]
        with self._writing([name]):
            return bool(self._ask_once(lambda client: client.eval(_REPLACE, 1, name, *arguments)))

    def expire(self, key: bytes, ttl: float | None) -> bool:
        """See :class:`StoreEngine`."""
        name, px = self._key(key), _px(ttl)

        with self._writing([name]):
            if px is None:
                return bool(self._ask(lambda client: client.eval(_PERSIST, 1, name)))
            return bool(self._ask(lambda client: client.pexpire(name, px)))

    def delete_prefix(self, prefix: str) -> int:
        """See :class:`StoreEngine`: ``SCAN`` finds all that is there all the while."""
        names = [self._space + name for name in self._names(prefix)]
        with self._writing(names):
            return sum(self._ask(partial(_unlink, names[at : at + _SLICE])) for at in range(0, len(names), _SLICE))

    def clear(self) -> None:
        """See :class:`StoreEngine`; not in one step."""
        self.delete_prefix("")


def _size(name: bytes, client: Any) -> int:  # noqa: ANN401 - redis-py's
    return client.memory_usage(name) or 0


def _unlink(names: list[bytes], client: Any) -> int:  # noqa: ANN401 - redis-py's
    return int(client.unlink(*names))


def _px(ttl: float | None) -> int | None:
    return None if ttl is None else max(1, round(ttl * 1000))


def _kept(data: bytes | None) -> Kept | None:
    if not data or data[:1] not in _WHOLE:
        return data
    try:
        return int(data)
    except ValueError as error:
        raise StoreCorrupt("expected a value of this package's on the server, found something else") from error


def _not_added(name: str, error: StoreUnavailable) -> Exception:
    reason = str(error.__cause__)
    if "overflow" in reason:
        return ArgumentError(f"expected {name!r} to stay within 64 bits")
    if "not an integer" in reason:
        return ArgumentTypeError(f"expected a whole number to be kept as {name!r}, found something else")
    return error
