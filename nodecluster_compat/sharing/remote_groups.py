"""Let groups span hosts: a member on another host has an id here, and is posted to like a worker.

    join, post ──▶ GroupDesk ──▶ this desk ──CALL carry groups──▶ carrier ──publish──▶ Redis ──▶ carriers of other hosts
                   GroupDesk ◀── this desk ◀──CALL carried groups──┘

Each host says every second, and whenever that changes, who takes part in its groups; a host that is not there any more
has no members.  One that has just begun may say who takes part before it is known to be there: so it is gone when it
was not there twice, and has said nothing in between.  What is posted to another host arrives at most once, as Redis'
publishing has it, in the order of its sender.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from ..errors import ClusterError, FrameError
from .wire import decode, encode

if TYPE_CHECKING:
    from .exchange import Exchange
    from .group_desk import GroupDesk
    from .remote_desk import RemoteDesk
    from .verbs import Caller, Returning

__all__ = ["FIRST_REMOTE", "RemoteGroups", "RemotePost", "RemoteTable", "is_remote"]

FIRST_REMOTE: Final = 2**31
"""The ids from here on are of workers of other hosts, as this host has numbered them."""

_MOST_BYTES: Final = 16 * 1024 * 1024
_MOST_HOSTS: Final = 1024
_MOST_MEMBERS: Final = 65_536


def is_remote(member: int) -> bool:
    """Whether an id is that of a worker of another host."""
    return member >= FIRST_REMOTE


class RemoteTable(Struct, array_like=True, frozen=True, tag="table"):
    """The members of a host's groups: the ids of its workers, by group."""

    groups: dict[str, list[int]]


class RemotePost(Struct, array_like=True, frozen=True, tag="post"):
    """What a member has for those of other hosts.

    Attributes:
        group: to which they belong.
        sender: its id, on its host.
        host: whom it is for; empty for all.
        worker: its id there.
        body: whatever the members understand.
    """

    group: str
    sender: int
    host: str
    worker: int
    body: bytes


class FromHost(Struct, array_like=True, frozen=True):
    """What a carrier has heard: of which host, and what."""

    host: str
    told: RemoteTable | RemotePost


class RemoteGroups:
    """The members on other hosts, as one primary knows them.

    Args:
        exchange: where the verbs are registered.
        groups: of this host.
        remote: knows who carries.
    """

    def __init__(self, exchange: Exchange, groups: GroupDesk, remote: RemoteDesk) -> None:
        self._exchange = exchange
        self._groups = groups
        self._remote = remote
        self._numbers = count(FIRST_REMOTE)
        self._ids: dict[tuple[str, int], int] = {}
        self._places: dict[int, tuple[str, int]] = {}
        self._tables: dict[str, dict[str, frozenset[int]]] = {}
        self._absent: set[str] = set()  # at the last look, and not heard since
        groups.remote = self
        exchange.verbs.on("carried groups", bytes, self._heard)
        exchange.verbs.on("hosts", list[str], self._hosts)
        remote.when_carried.append(self.tell_table)

    # --- from here -----------------------------------------------------------------------------

    def members(self, group: str) -> Iterable[int]:
        """Return the ids of those who take part elsewhere."""
        return [one for table in self._tables.values() for one in table.get(group, ())]

    def knows(self, member: int) -> bool:
        """Whether an id is that of a worker elsewhere, which perhaps has posted before it was said to be a member."""
        return member in self._places

    def tell_table(self) -> None:
        """Tell other hosts who takes part here."""
        self._tell(RemoteTable({group: self._groups.members(group) for group in self._groups.names}))

    def post(self, group: str, sender: int, target: int | None, body: bytes) -> None:
        """Post to a member elsewhere, or to all of them."""
        host, worker = ("", 0) if target is None else self._places.get(target, ("", 0))
        if target is None and not any(group in table for table in self._tables.values()):
            return
        self._tell(RemotePost(group, sender, host, worker, body))

    def _tell(self, told: RemoteTable | RemotePost) -> None:
        if self._remote.carrier is None:
            if isinstance(told, RemotePost):  # a table is told to the next one that carries
                self._exchange.fan_out.lost["server_away"] += 1
        else:
            try:
                data = encode(told, "a post", _MOST_BYTES)
            except ClusterError:
                self._exchange.fan_out.lost["too_large"] += 1
            else:
                self._exchange.send([self._remote.carrier], "carry groups", data)

    # --- from elsewhere ------------------------------------------------------------------------

    def _heard(self, caller: Caller, data: bytes, _: Returning) -> None:
        if caller.id != self._remote.carrier:
            return
        try:
            heard: FromHost = decode(data, FromHost)
        except FrameError:  # another host's: the worker that brings it has done nothing wrong
            self._exchange.fan_out.lost["foreign"] += 1
            return
        self._absent.discard(heard.host)
        if isinstance(heard.told, RemoteTable):
            self._learn(heard.host, heard.told)
        else:
            self._deliver(heard.host, heard.told)

    def _learn(self, host: str, told: RemoteTable) -> None:
        if host not in self._tables and len(self._tables) >= _MOST_HOSTS:
            return
        former = self._tables.get(host, {})
        table = {
            group: frozenset(self._id_of(host, worker) for worker in members[:_MOST_MEMBERS])
            for group, members in told.groups.items()
            if members
        }
        self._tables[host] = table
        self._forget_those_gone(host)
        for group in {*former, *table}:
            if former.get(group) != table.get(group):
                self._groups.tell_members(group)

    def _hosts(self, caller: Caller, present: list[str], _: Returning) -> None:
        if caller.id == self._remote.carrier:
            absent = self._tables.keys() - set(present)
            for host in absent & self._absent:
                self._learn(host, RemoteTable({}))
                del self._tables[host]
            self._absent = absent - self._absent

    def _deliver(self, host: str, post: RemotePost) -> None:
        if len(self._ids) < _MOST_MEMBERS:
            self._groups.deliver(post.group, self._id_of(host, post.sender), post.worker, post.body)

    def _id_of(self, host: str, worker: int) -> int:
        place = host, worker
        if place not in self._ids:
            number = self._ids[place] = next(self._numbers)
            self._places[number] = place
        return self._ids[place]

    def _forget_those_gone(self, host: str) -> None:
        there = {one for members in self._tables[host].values() for one in members}
        for place in [place for place, number in self._ids.items() if place[0] == host and number not in there]:
            del self._places[self._ids.pop(place)]
