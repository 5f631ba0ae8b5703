"""Hold the mandate to lead all hosts, and remember which jobs any of them has run, on the server that they share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from .holds import Places, value_of
from .keeper import Claim
from .redis_engine import space_of

if TYPE_CHECKING:
    from .keeper import Keeper

__all__ = ["LEAD_SECONDS", "LIFE_SECONDS", "RemoteMandate", "RemoteOnces"]

LEAD_SECONDS: Final = 5.0
"""How long nobody leads after a host has vanished."""

LIFE_SECONDS: Final = 3600
"""How long what has run once is known after the last host has left."""

_RUN_SECONDS: Final = 10.0
_AGES: Final = """
local now = redis.call('TIME')
local answer = {now[1] .. '.' .. string.format('%06d', now[2])}
for _, one in ipairs(redis.call('HGETALL', KEYS[1])) do answer[#answer + 1] = one end
return answer
"""
_RAN: Final = """
local now = redis.call('TIME')
return redis.call('HSET', KEYS[1], ARGV[1], now[1] .. '.' .. string.format('%06d', now[2]))
"""


def _ages(answer: list[bytes]) -> dict[str, float]:
    """Return how many seconds ago each job has run."""
    now, *rest = answer
    return {key.decode(): float(now) - float(at) for key, at in zip(rest[::2], rest[1::2], strict=True)}


class RemoteMandate:
    """A :class:`~nodecluster_compat.sharing.leader.Mandate` of all hosts that share a server.

    Args:
        keeper: of this process.
        name: of the clusters that share the server.
        host: this one's id, the same in all its processes.
    """

    def __init__(self, keeper: Keeper, name: str, host: str) -> None:
        self._keeper = keeper
        self._space = space_of(name)
        self._host = host
        self._claim: Claim | None = None

    @property
    def is_held(self) -> bool:
        """See :class:`Mandate`."""
        return self._claim is not None and self._keeper.holds(self._claim)

    def seek(self, token: int, have: Callable[[int, dict[str, float]], None], lost: Callable[[], None]) -> None:
        """See :class:`Mandate`."""
        claim = self._claim = Claim(
            what="the leadership",
            places=Places((f"{self._space}leader",), f"{self._space}tokens"),
            value=value_of(self._host, 0, token),
            seconds=LEAD_SECONDS,
            is_renewed=True,
            got=lambda _, token: self._keeper.do(partial(begin, token), persists=True),
            lost=lost,
        )

        def begin(token: int | None, client: Any) -> None:  # noqa: ANN401 - redis-py's
            answer: list[bytes] = client.eval(_AGES, 1, self._ran_key)
            if token is not None and self._claim is claim and self._keeper.holds(claim):
                have(token, _ages(answer))

        self._keeper.claim(claim)

    @property
    def _ran_key(self) -> str:
        return f"{self._space}ran"

    def give_back(self, given: Callable[[], None]) -> None:
        """See :class:`Mandate`."""
        claim, self._claim = self._claim, None
        if claim is None:
            given()
        else:
            self._keeper.release(claim, given)

    def ran(self, key: str) -> None:
        """See :class:`Mandate`."""
        self._keeper.do(lambda client: client.eval(_RAN, 1, self._ran_key, key))


class RemoteOnces:
    """A :class:`~nodecluster_compat.sharing.once.RemoteOnce` of all hosts that share a server; arguments as there."""

    def __init__(self, keeper: Keeper, name: str, host: str) -> None:
        self._keeper = keeper
        self._space = space_of(name)
        self._host = host
        self._claims: dict[str, Claim] = {}

    @property
    def key(self) -> str:
        """Where it is noted what has run; whoever lives renews it."""
        return f"{self._space}once"

    def seek(self, key: str, decided: Callable[[bool], None]) -> None:
        """See :class:`RemoteOnce`."""
        claim = self._claims[key] = Claim(
            what=f"once {key!r}",
            places=Places((f"{self._space}once:{key}",), f"{self._space}tokens"),
            value=value_of(self._host, 0, 0),
            seconds=_RUN_SECONDS,
            is_renewed=True,
            got=lambda _, __: self._keeper.do(partial(self._decide, key, decided), persists=True),
            lost=lambda: None,
        )
        self._keeper.claim(claim)

    def _decide(self, key: str, decided: Callable[[bool], None], client: Any) -> None:  # noqa: ANN401 - redis-py's
        has_run = bool(client.hexists(self.key, key))
        if has_run:
            self._keeper.release(self._claims.pop(key))
        decided(not has_run)

    def has_run(self, key: str, noted: Callable[[], None]) -> None:
        """See :class:`RemoteOnce`."""

        def note(client: Any) -> None:  # noqa: ANN401 - redis-py's
            client.hset(self.key, key, 1)
            client.expire(self.key, LIFE_SECONDS)
            self._keeper.release(self._claims.pop(key), noted)

        self._keeper.do(note, persists=True)
