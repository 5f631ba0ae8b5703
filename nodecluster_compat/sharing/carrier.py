"""Carry requests between hosts, and say that this one is there: in the worker that leads its host."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ..errors import ClusterError
from .outcomes import Gathered
from .redis_engine import space_of
from .remote_desk import GRACE_SECONDS, unreached
from .remote_leader import LIFE_SECONDS
from .remote_requests import RemoteRequests
from .wire import decode, encode

if TYPE_CHECKING:
    from .bridge import Bridge
    from .keeper import Keeper
    from .remote_desk import AskHosts
    from .sides import Around

__all__ = ["PRESENT_SECONDS", "Carrier"]

PRESENT_SECONDS: Final = 5.0
"""How long a host of which nobody hears any more is expected to answer requests."""

_BEAT: Final = 1.0
_PRESENT: Final = """
local now = redis.call('TIME')
local seconds = now[1] + now[2] / 1000000
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', seconds)
if ARGV[2] ~= '0' then redis.call('ZADD', KEYS[1], seconds + ARGV[2], ARGV[1]) end
redis.call('EXPIRE', KEYS[2], ARGV[3])
return redis.call('ZRANGE', KEYS[1], 0, -1)
"""


class Carrier:
    """Carries requests between hosts, in the worker that leads its host.

    Args:
        sharing: around it.
        keeper: of this process.
        name: of the clusters that share the server.
        host: this one's name.

    Attributes:
        when_present: told every second which other hosts are there, on the keeper's thread; a door.
    """

    def __init__(self, sharing: Around, keeper: Keeper, name: str, host: str) -> None:
        self.requests = RemoteRequests(host, self._answer, sharing.losses.count)
        self.when_present: list[Callable[[list[str]], None]] = [self.requests.present]
        self._sharing = sharing
        self._keeper = keeper
        self._name = name
        self._host = host
        self._ends = False
        self._bridge: Bridge | None = None

    def _channel(self, what: str) -> str:
        return f"nodecluster:{self._name}:{what}"

    def begin(self, bridge: Bridge) -> None:
        """Hear requests and replies by a bridge, and be present as long as it listens: others wait for who is."""
        self._bridge = bridge
        bridge.others[self._channel("requests").encode()] = self._requested
        bridge.others[self._channel(f"replies:{self._host}").encode()] = self.requests.replied
        self._beat()

    def end(self) -> None:
        """Be present no longer; what was asked fails."""
        self._ends = True
        self.requests.close()
        self._keeper.do(lambda client: client.zrem(self._hosts, self._host))

    # --- present -------------------------------------------------------------------------------

    @property
    def _hosts(self) -> str:
        return f"{space_of(self._name)}hosts"

    def _beat(self) -> None:
        if not self._ends and self._sharing.member is not None:
            self._keeper.do(self._look)
            runtime: Any = self._sharing.member.runtime
            runtime.call_later(_BEAT, self._beat)

    def _look(self, client: Any) -> None:  # noqa: ANN401 - redis-py's
        hosts = self._present(client)
        for tell in self.when_present:
            tell(hosts)

    @property
    def _hears(self) -> bool:
        return self._bridge is not None and self._bridge.is_listening

    def _present(self, client: Any) -> list[str]:  # noqa: ANN401 - redis-py's
        """Be present for a while, if this host hears what is asked of it; return who else is."""
        keys = [self._hosts, f"{space_of(self._name)}once"]
        seconds = PRESENT_SECONDS if self._hears else 0
        found: list[bytes] = client.eval(_PRESENT, 2, *keys, self._host, seconds, LIFE_SECONDS)
        return [one.decode() for one in found if one != self._host.encode()]

    # --- asking --------------------------------------------------------------------------------

    def ask(self, asked: AskHosts, done: Callable[[Gathered], None]) -> None:
        """Ask all hosts that are present; ``done`` is told once."""
        if not self._hears:
            done(unreached("this host is not connected to the server"))
            return
        until = None if asked.seconds is None else time.monotonic() + asked.seconds + GRACE_SECONDS
        failed = partial(self._locked, done, unreached("the server cannot be reached"))
        self._keeper.do(partial(self._ask, asked, until, partial(self._locked, done)), failed=failed)

    def _ask(
        self,
        asked: AskHosts,
        until: float | None,
        done: Callable[[Gathered], None],
        client: Any,  # noqa: ANN401 - redis-py's
    ) -> None:
        hosts = self._present(client)
        if not hosts:
            done(Gathered([], []))
            return
        number, data = self.requests.begin(hosts, asked.ask, done)
        if until is not None and self._sharing.member is not None:
            runtime: Any = self._sharing.member.runtime
            runtime.call_later(max(0.0, until - time.monotonic()), partial(self.requests.expire, number))
        send = partial(_publish, self._channel("requests"), data)
        self._keeper.do(send, failed=partial(self.requests.fail, number, "the server cannot be reached"))

    def _locked(self, done: Callable[[Gathered], None], gathered: Gathered) -> None:
        member = self._sharing.member
        if member is not None and member.runtime is not None:
            with member.runtime.lock:
                done(gathered)

    # --- answering -----------------------------------------------------------------------------

    def _requested(self, data: bytes) -> None:
        self.requests.requested(data, self._reply)

    def _reply(self, host: str, data: bytes) -> None:
        self._keeper.do(partial(_publish, self._channel(f"replies:{host}"), data))

    def _answer(self, body: bytes, answered: Callable[[Gathered], None]) -> None:
        def came(error: Exception | None, value: Any) -> None:  # noqa: ANN401 - encoded
            try:
                gathered = unreached(str(error)) if error is not None else decode(value, Gathered)
            except ClusterError as wrong:
                gathered = unreached(str(wrong))
            answered(gathered)

        try:
            self._sharing.side.call("ask for host", encode(body, limit=2 * len(body) + 64), came)
        except ClusterError as error:
            answered(unreached(str(error)))


def _publish(channel: str, data: bytes, client: Any) -> None:  # noqa: ANN401 - redis-py's
    client.publish(channel, data)
