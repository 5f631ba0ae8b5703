"""Forward the posts of a group's members, in the primary: ``join``, ``post`` and ``members``.

A topic of the bus does not know who listens.  A group says exactly who its members are: whenever one comes or goes, all
of them are told, in order with what is posted.  So a member that asks all others knows which of them can still answer.

    join ──▶ members to all members                        a member's process leaves ──▶ members to those that are left
    post to W, a member ──▶ post to W        post to all, or to who is no member ──▶ post to all others

A post for a worker that is gone goes to all others, because what it was for may have moved to one of them.  A member
that does not read loses posts beyond the exchange's bound, and is told of members all the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

from msgspec import Struct
from msgspec.msgpack import Encoder

from ..errors import FrameError
from .exchange import Exchange
from .topics import MOST_TOPIC_BYTES
from .verbs import Caller, Moment, Returning
from .wire import encode

__all__ = ["ALL_OTHERS", "MOST_GROUPS", "GroupDesk", "GroupMembers", "GroupPost", "encode_post"]

ALL_OTHERS: Final = 0
"""In the place of a worker's id: every other member."""

_encode: Final = Encoder().encode
MOST_GROUPS: Final = 64
"""In which one worker takes part."""


class GroupPost(Struct, array_like=True, frozen=True, gc=False):
    """A member's post for others, on its way to the primary and from there.

    Attributes:
        peer: whom it is for, :data:`ALL_OTHERS` for all; on the way from the primary, who sent it.
        group: to which both belong.
        body: whatever the members of the group understand.
    """

    peer: int
    group: str
    body: bytes


def encode_post(post: GroupPost) -> bytes:
    """Return a post as MessagePack; it has the bounds of the frame around it."""
    return _encode(post)


class GroupMembers(Struct, array_like=True, frozen=True):
    """The members of a group: their ids, the receiver's among them."""

    group: str
    members: list[int]


class RemoteMembers(Protocol):
    """The members on other hosts."""

    def members(self, group: str) -> Iterable[int]:
        """Return their ids, as this host has numbered them."""

    def knows(self, member: int) -> bool:
        """Whether an id is that of one of them."""

    def tell_table(self) -> None:
        """Who takes part here has changed."""

    def post(self, group: str, sender: int, target: int | None, body: bytes) -> None:
        """Post to one of them, or to all."""


class GroupDesk:
    """The groups of one exchange.

    Args:
        exchange: that.

    Attributes:
        remote: those who take part on other hosts, if there are any.
    """

    def __init__(self, exchange: Exchange) -> None:
        self.remote: RemoteMembers | None = None
        self._exchange = exchange
        self._members: dict[str, dict[int, None]] = {}
        exchange.verbs.on("join", str, self._join)
        exchange.verbs.on("post", GroupPost, self._post)
        exchange.when_told.append(self._told)

    @property
    def names(self) -> list[str]:
        """The groups that have members here."""
        return list(self._members)

    def members(self, group: str) -> list[int]:
        """Return the ids of those who take part in a group here, in the order in which they came."""
        return list(self._members.get(group, ()))

    def _join(self, peer: Caller, group: str, _: Returning) -> None:
        if not 0 < len(group.encode()) <= MOST_TOPIC_BYTES:
            raise FrameError(f"expected a group with a name of 1 to {MOST_TOPIC_BYTES} bytes, got {group[:40]!r}")
        if sum(peer.id in members for members in self._members.values()) >= MOST_GROUPS:
            raise FrameError(f"a worker joins more than {MOST_GROUPS} groups")
        self._members.setdefault(group, {})[peer.id] = None
        self._changed(group)

    def _post(self, peer: Caller, post: GroupPost, _: Returning) -> None:
        members = self._members.get(post.group, {})
        sender = peer.id
        if sender not in members:
            raise FrameError(f"a worker posts to the group {post.group[:40]!r}, in which it takes no part")
        if self.remote is not None and post.peer not in members:
            elsewhere = self.remote.knows(post.peer)
            self.remote.post(post.group, sender, post.peer if elsewhere else None, post.body)
            if elsewhere:
                return
        self.deliver(post.group, sender, post.peer, post.body)

    def deliver(self, group: str, sender: int, target: int, body: bytes) -> None:
        """Give a post to a member of this host, or to all of them but its sender.

        Args:
            group: to which they belong.
            sender: its id, perhaps of another host.
            target: whom it is for; who is no member stands for all.
            body: of the post.
        """
        members = self._members.get(group, {})
        targets = (target,) if target in members else members
        post = encode_post(GroupPost(sender, group, body))
        self._exchange.send([one for one in targets if one != sender], "post", post)

    def _told(self, moment: Moment, peer: int) -> None:
        if moment != "left":
            return
        for group, members in list(self._members.items()):
            is_gone = peer in members
            if is_gone:
                del members[peer]
            if not members:
                del self._members[group]
            if is_gone:
                self._changed(group)

    def _changed(self, group: str) -> None:
        self.tell_members(group)
        if self.remote is not None:
            self.remote.tell_table()

    def tell_members(self, group: str) -> None:
        """Tell the members of this host who takes part, on whichever host."""
        members = self._members.get(group, {})
        all_members = sorted([*members, *(self.remote.members(group) if self.remote is not None else ())])
        self._exchange.send(members, "members", encode(GroupMembers(group, all_members)), is_bounded=False)
