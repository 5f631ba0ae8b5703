"""Forward what one member of a group has for the others, in the primary: by ``join``, ``post`` and ``members``.

A topic of the bus asks nobody who listens.  A group says exactly who its members are: whenever one comes or goes, all
of them are told, in order with what is posted, so whoever asks all others knows from whom an answer can still come.

    join ──▶ members to all members                        a member's process leaves ──▶ members to those that are left
    post to W, a member ──▶ post to W        post to all, or to who is no member ──▶ post to all others

A post for a worker that is gone goes to all others, because what it was for may have moved to one of them.  A member
that does not read loses posts beyond the exchange's bound, and is told of members all the same.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from msgspec.msgpack import Encoder

from ..errors import FrameError
from .exchange import Caller, Exchange, Moment, Returning
from .topics import MOST_TOPIC_BYTES
from .wire import encode

__all__ = ["ALL_OTHERS", "GroupDesk", "GroupMembers", "GroupPost", "encode_post"]

ALL_OTHERS: Final = 0
"""In the place of a worker's id: every other member."""

_encode: Final = Encoder().encode
_MOST_GROUPS: Final = 64  # of one worker


class GroupPost(Struct, array_like=True, frozen=True, gc=False):
    """What a member has for others, on its way to the primary and from there.

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
    """Who takes part in a group: the ids of its members, the receiver's among them."""

    group: str
    members: list[int]


class GroupDesk:
    """The groups of one exchange.

    Args:
        exchange: that.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._members: dict[str, dict[int, None]] = {}
        exchange.verbs.on("join", str, self._join)
        exchange.verbs.on("post", GroupPost, self._post)
        exchange.when_told.append(self._told)

    def members(self, group: str) -> list[int]:
        """Return the ids of those who take part in a group, in the order in which they came."""
        return list(self._members.get(group, ()))

    def _join(self, peer: Caller, group: str, _: Returning) -> None:
        if not 0 < len(group.encode()) <= MOST_TOPIC_BYTES:
            raise FrameError(f"expected a group with a name of 1 to {MOST_TOPIC_BYTES} bytes, got {group[:40]!r}")
        if sum(peer.id in members for members in self._members.values()) >= _MOST_GROUPS:
            raise FrameError(f"a worker joins more than {_MOST_GROUPS} groups")
        self._members.setdefault(group, {})[peer.id] = None
        self._tell_members(group)

    def _post(self, peer: Caller, post: GroupPost, _: Returning) -> None:
        members = self._members.get(post.group, {})
        sender = peer.id
        if sender not in members:
            raise FrameError(f"a worker posts to the group {post.group[:40]!r}, in which it takes no part")
        targets = (post.peer,) if post.peer in members else members
        body = encode_post(GroupPost(sender, post.group, post.body))
        self._exchange.send([one for one in targets if one != sender], "post", body)

    def _told(self, moment: Moment, peer: int) -> None:
        if moment != "left":
            return
        for group, members in list(self._members.items()):
            if peer in members:
                del members[peer]
                self._tell_members(group)
            if not members:
                del self._members[group]

    def _tell_members(self, group: str) -> None:
        members = self._members[group]
        self._exchange.send(members, "members", encode(GroupMembers(group, sorted(members))), is_bounded=False)
