"""Connect this process to what several hosts share, where the environment names a server.

the worker that leads its host:  the bridge for topics, what ended processes have held
every worker:                    its locks, and the mandate to lead all hosts, by its keeper

What does that is imported where a server is named, before the fork (:func:`import_all`); a host alone needs none of it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from ..errors import MessageTooLarge, SettingsError, StoreUnavailable
from .lock_desk import Abandoned
from .outcomes import MOST_GATHERED_BYTES, fitting
from .remote_desk import AskHosts, unreached
from .server_address import asked_name, asked_url
from .verbs import Caller, Returning, Verbs
from .wire import encode

if TYPE_CHECKING:
    from .bridge import Bridge
    from .carrier import Carrier
    from .keeper import Keeper
    from .leader import Leader
    from .remote_leader import RemoteMandate, RemoteOnces
    from .remote_locks import RemoteLocks
    from .remote_posts import RemotePosts
    from .sides import Around

__all__ = ["Remote", "import_all"]

_FOR_HOSTS: Final = ("bridge", "carrier", "consumer", "remote_leader", "remote_locks", "remote_posts", "redis_engine")
_NO_PATIENCE: Final = 0.0
_BESIDE_BYTES: Final = 32 * 1024  # for who is missing, and why


def import_all() -> None:
    """Import what is needed where several hosts share, and is not imported yet."""
    for name in _FOR_HOSTS:
        import_module(f"{__package__}.{name}")


def _import_client() -> None:
    """Import redis-py before this worker serves: a third of a second, for which a loop stood still at its first use.

    Not before the fork: it must find what gevent replaces in a worker.
    """
    with suppress(ImportError):  # told by whoever wants to use it
        import_module("redis")


class Remote:
    """This process' part.

    Attributes:
        bridge: to the server, in a worker that leads its host; ``None`` elsewhere.
        leader: of this process.
    """

    def __init__(self, sharing: Around, verbs: Verbs) -> None:
        self.bridge: Bridge | None = None
        self._sharing = sharing
        self._host = ""
        self._pid = 0
        self._keeper: Keeper | None = None
        self._carrier: Carrier | None = None
        self._posts: RemotePosts | None = None
        verbs.on("carry", bytes, self._carry)
        verbs.on("let go", Abandoned, self._let_go)
        verbs.on("ask hosts", AskHosts, self._ask_hosts)
        verbs.on("carry groups", Any, self._carry_groups)

    def become_host(self) -> None:
        """Begin a host: this process is a primary, whose workers are of one host from now on."""
        self._host = _new_host()
        self._keeper = None

    def attached(self, leader: Leader) -> None:
        """Begin: this process is a worker that runs."""
        self._keeper = self.bridge = None
        if asked_url():
            _import_client()
            leader.when_chosen.append(self._begin)
            leader.when_dismissed.append(self._end)
            leader.stand()

    @property
    def host(self) -> str:
        """The name of this host, the same in all processes of a cluster."""
        self._host = self._host or _new_host()
        return self._host

    # --- what this process holds ---------------------------------------------------------------

    def locks(self) -> RemoteLocks | None:
        """Return where locks are held for other hosts; ``None`` where there are none.

        Raises:
            SettingsError: the environment names no server that could be.
        """
        if not asked_url():
            return None
        from .remote_locks import RemoteLocks

        return RemoteLocks(self.keeper, asked_name(), self.host)

    def mandate(self) -> RemoteMandate | None:
        """Return what is needed to lead all hosts; otherwise as :meth:`locks`."""
        if not asked_url():
            return None
        from .remote_leader import RemoteMandate

        return RemoteMandate(self.keeper, asked_name(), self.host)

    def onces(self) -> RemoteOnces | None:
        """Return what has run on any host; otherwise as :meth:`locks`."""
        if not asked_url():
            return None
        from .remote_leader import RemoteOnces

        return RemoteOnces(self.keeper, asked_name(), self.host)

    @property
    def keeper(self) -> Keeper:
        """What keeps this process' holds."""
        if self._keeper is None or self._pid != os.getpid():
            from .keeper import Keeper
            from .server import Server

            self._pid = os.getpid()
            self._keeper = Keeper(Server(asked_url(), _NO_PATIENCE), self._sharing.log)
        return self._keeper

    # --- what the worker does that leads its host ----------------------------------------------

    def _begin(self) -> None:
        from .bridge import Bridge
        from .carrier import Carrier
        from .remote_posts import RemotePosts

        try:
            self.bridge = Bridge(asked_url(), asked_name(), self._inject, self._sharing.log, self._sharing.losses.count)
        except (SettingsError, StoreUnavailable) as error:
            self._sharing.log.error("Topics stay on this host: %s", error)
            return
        self._carrier = Carrier(self._sharing, self.keeper, asked_name(), self.host)
        self._posts = RemotePosts(self._sharing, asked_name(), self.host)
        self._posts.begin(self.bridge)
        self._carrier.when_present.append(self._posts.present)
        self._carrier.begin(self.bridge)
        self.bridge.begin()
        for verb in ("bridge", "carrier"):
            self._sharing.side.call(verb, encode(True), None)

    def _end(self) -> None:
        bridge, self.bridge = self.bridge, None
        if bridge is not None:
            for verb in ("bridge", "carrier"):
                self._sharing.side.call(verb, encode(False), None)
            if self._carrier is not None:
                self._carrier.end()
            if self._posts is not None:
                self._posts.end()
            bridge.end()
            self._sharing.losses.tell_now()  # this worker leaves

    def _carry(self, _: Caller, payload: bytes, __: Returning) -> None:
        if self.bridge is None:
            self._sharing.losses.count("server_away")  # the primary has not heard yet that it is ended
        else:
            self.bridge.publish(payload)

    def _let_go(self, _: Caller, abandoned: Abandoned, returning: Returning) -> None:
        locks = self.locks()
        if locks is not None:
            locks.let_go(abandoned)
        returning.value(None)

    def _ask_hosts(self, _: Caller, asked: AskHosts, returning: Returning) -> None:
        if self.bridge is None or self._carrier is None:
            returning.value(unreached("this worker no longer reaches them"))
        else:
            self._carrier.ask(asked, lambda gathered: returning.value(fitting(gathered, self._most_answers)))

    @property
    def _most_answers(self) -> int:
        """What other hosts may answer together: the primary takes so much from this worker."""
        member = self._sharing.member
        limit = MOST_GATHERED_BYTES if member is None else member.max_message_bytes - _BESIDE_BYTES
        return min(MOST_GATHERED_BYTES, limit)

    def _carry_groups(self, _: Caller, told: Any, __: Returning) -> None:  # noqa: ANN401 - decoded
        if self.bridge is not None and self._posts is not None:
            self._posts.tell(told)

    def _inject(self, payload: bytes) -> None:
        try:
            self._sharing.side.tell("inject", encode(payload, "a message", 2 * len(payload) + 64))
        except MessageTooLarge:
            self._sharing.losses.count("too_large")


def _new_host() -> str:
    return f"{os.uname().nodename[:64]}-{os.urandom(6).hex()}"
